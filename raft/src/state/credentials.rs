//! Which credentials count no more: tokens and certificates that were revoked, subjects whose credentials so far were,
//! and credentials whose objects are gone. Follows from the objects alone; the registry asks it for every write at the
//! write's own place in the log, and servers ask it for every read at the read's own view. Knows no token's text.

use boss_proto::{
    key::Key,
    kind::Kind,
    limits::REVOCATIONS_MAX,
    object::Resource,
    raft::v1::Caller,
    v1::{Object, ObjectReference, Revocation, RevocationSpec},
};
use rpds::RedBlackTreeMapSync;

use super::{digest::Digest, record::Record, registry::Registry};
use crate::bugs::{self, Bug};

/// Why a credential counts no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Withdrawn {
    /// This token was.
    #[error("the token was revoked")]
    Token,
    /// This certificate was.
    #[error("the certificate was revoked")]
    Certificate,
    /// All of the subject's credentials were, and this one is not newer.
    #[error("all credentials of {subject:?} that are older than generation {generation} were revoked")]
    Subject {
        /// Its uid.
        subject: String,
        /// The first generation that counts.
        generation: u64,
    },
    /// An object that it is bound to is gone.
    #[error("the token is bound to {key}, which is gone")]
    Unbound {
        /// Which.
        key: String,
    },
}

/// What a revocation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A token, by its jti.
    Token(&'a str),
    /// A certificate, by its serial.
    Certificate(&'a str),
    /// A subject, by its uid.
    Subject(&'a str),
}

impl<'a> Target<'a> {
    /// Of a revocation; `None` unless it names exactly one.
    #[must_use]
    pub fn of(spec: &'a RevocationSpec) -> Option<Self> {
        match (&*spec.token_id, &*spec.certificate_serial, &*spec.subject) {
            (token, "", "") if !token.is_empty() => Some(Self::Token(token)),
            ("", serial, "") if !serial.is_empty() => Some(Self::Certificate(serial)),
            ("", "", subject) if !subject.is_empty() => Some(Self::Subject(subject)),
            _ => None,
        }
    }

    /// The only name that its revocation can have: one thing is revoked by one object.
    #[must_use]
    pub fn revocation_name(self) -> String {
        let (prefix, text) = match self {
            Self::Token(id) => ("token", id),
            Self::Certificate(serial) => ("certificate", serial),
            Self::Subject(uid) => ("subject", uid),
        };
        format!("{prefix}-{}", Digest::of(&[prefix.as_bytes(), text.as_bytes()]))
    }

    /// Where its revocation stands.
    #[must_use]
    pub fn revocation_key(self) -> Key {
        Key::cluster(Kind::Revocation, self.revocation_name())
    }
}

/// What of a credential decides whether it still counts.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Of the subject.
    pub uid: &'a str,
    /// Empty for a certificate.
    pub token_id: &'a str,
    /// Empty for a token.
    pub certificate_serial: &'a str,
    /// What the token states, or the second of the credential's issue.
    pub generation: u64,
    /// All of them must stand.
    pub bound_to: &'a [ObjectReference],
}

impl<'a> From<&'a Caller> for Shown<'a> {
    fn from(caller: &'a Caller) -> Self {
        Self {
            uid: &caller.uid,
            token_id: &caller.token_id,
            certificate_serial: &caller.certificate_serial,
            generation: caller.subject_generation,
            bound_to: &caller.bound_to,
        }
    }
}

/// Everything that was revoked. Cloning costs nothing; a clone never changes.
#[derive(Debug, Clone)]
pub(super) struct Revocations {
    tokens: RedBlackTreeMapSync<String, ()>,
    certificates: RedBlackTreeMapSync<String, ()>,
    /// With the first generation that counts.
    subjects: RedBlackTreeMapSync<String, u64>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            tokens: RedBlackTreeMapSync::new_sync(),
            certificates: RedBlackTreeMapSync::new_sync(),
            subjects: RedBlackTreeMapSync::new_sync(),
        }
    }
}

impl Revocations {
    /// Takes the change of one object in; other kinds change nothing.
    pub(super) fn change(&mut self, before: Option<&Record>, now: Option<&Record>) {
        if let Some((target, _)) = before.and_then(revoked) {
            match target {
                Target::Token(id) => drop(self.tokens.remove_mut(id)),
                Target::Certificate(serial) => drop(self.certificates.remove_mut(serial)),
                Target::Subject(uid) => drop(self.subjects.remove_mut(uid)),
            }
        }
        if let Some((target, generation)) = now.and_then(revoked) {
            match target {
                Target::Token(id) => self.tokens.insert_mut(id.to_owned(), ()),
                Target::Certificate(serial) => self.certificates.insert_mut(serial.to_owned(), ()),
                Target::Subject(uid) => self.subjects.insert_mut(uid.to_owned(), generation),
            }
        }
    }

    fn is_full_for(&self, target: Target<'_>) -> bool {
        let count = match target {
            Target::Token(_) => self.tokens.size(),
            Target::Certificate(_) => self.certificates.size(),
            Target::Subject(_) => self.subjects.size(),
        };
        count >= REVOCATIONS_MAX
    }

    fn check(&self, shown: Shown<'_>) -> Result<(), Withdrawn> {
        if self.tokens.contains_key(shown.token_id) {
            return Err(Withdrawn::Token);
        }
        if self.certificates.contains_key(shown.certificate_serial) {
            return Err(Withdrawn::Certificate);
        }
        match self.subjects.get(shown.uid) {
            Some(&generation) if shown.generation < generation => {
                Err(Withdrawn::Subject { subject: shown.uid.to_owned(), generation })
            }
            _ => Ok(()),
        }
    }
}

fn revoked(record: &Record) -> Option<(Target<'_>, u64)> {
    let spec = Revocation::from_object(&record.object)?.spec.as_ref()?;
    Some((Target::of(spec)?, spec.generation))
}

impl Registry {
    /// Whether the caller's credential still counts here.
    pub fn check_credential(&self, shown: Shown<'_>) -> Result<(), Withdrawn> {
        if bugs::on(Bug::RevocationIgnored) {
            return Ok(());
        }
        self.revocations().check(shown)?;
        match shown.bound_to.iter().find(|bound| !self.stands(bound)) {
            None => Ok(()),
            Some(gone) => Err(Withdrawn::Unbound { key: format!("{} {:?}", gone.kind, gone.name) }),
        }
    }

    /// Whether this very object is there.
    fn stands(&self, bound: &ObjectReference) -> bool {
        let Ok(kind) = bound.kind.parse() else { return false };
        let key = Key::new(kind, &*bound.namespace, &*bound.name);
        self.get(&key).is_some_and(|record| record.metadata().uid == bound.uid)
    }

    /// The first generation of the subject's credentials that counts; 0 when none were revoked.
    #[must_use]
    pub fn subject_generation(&self, uid: &str) -> u64 {
        self.revocations().subjects.get(uid).copied().unwrap_or_default()
    }

    /// Whether one more revocation of this sort has no place.
    #[must_use]
    pub(super) fn revocations_are_full_for(&self, target: Target<'_>) -> bool {
        self.revocations().is_full_for(target)
    }
}

/// Whether the object revokes the very credential that the caller calls with: everybody may do that.
#[must_use]
pub fn ends_own(caller: &Caller, object: &Object) -> bool {
    let spec = Revocation::from_object(object).and_then(|revocation| revocation.spec.as_ref());
    match spec.and_then(Target::of) {
        Some(Target::Token(id)) => id == caller.token_id,
        Some(Target::Certificate(serial)) => serial == caller.certificate_serial,
        Some(Target::Subject(_)) | None => false,
    }
}

#[cfg(test)]
mod tests;
