//! The keys that sign tokens: published some time before they are used, so that every server knows a token's key before
//! there is a token of it, and kept until the last token of it has expired. An annotation asks for the next one.

use std::{sync::Arc, time::Duration};

use boss_base::{clock::Clock, jwt};
use boss_proto::{
    ids::Uid,
    kind::Kind,
    limits::TOKEN_LIFETIME_MAX,
    object::Resource,
    v1::{ObjectMeta, SigningKey, SigningKeySpec},
};
use boss_raft::state::{Record, View};
use pbjson_types::Timestamp;

use super::{
    driver::{Controller, Error, NextRun},
    leader::{Changes, Leader, Write},
    was_written,
};
use crate::sealing::{Vault, active_key};

/// The annotation on the newest key that asks for the next one.
const ROTATE: &str = "boss.dev/rotate";
/// Far above what a server in touch with its leader is behind.
const PUBLISHED_BEFORE_USE: Duration = Duration::from_secs(5);
/// A key that leaked unnoticed makes no tokens for longer than that, and those end with their lifetime.
const ROTATE_AFTER: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How far clocks may differ.
const MARGIN: Duration = Duration::from_secs(60);
/// Nothing but time makes a key due.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Until there is a key that seals the private parts.
const SEALING_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the signing keys.
pub(super) struct SigningKeys {
    leader: Leader,
    clock: Arc<dyn Clock>,
    vault: Vault,
    changes: Changes,
}

impl SigningKeys {
    /// For one term.
    #[must_use]
    pub(super) fn new(leader: Leader, clock: Arc<dyn Clock>, vault: Vault) -> Self {
        let changes = leader.changes(&[Kind::SigningKey, Kind::SealingKey]);
        Self { leader, clock, vault, changes }
    }

    fn made(&self, sealing_key: &str, active_from: u64) -> Result<SigningKey, String> {
        let key = jwt::SigningKey::generate().map_err(|error| error.to_string())?;
        let uid = Uid::random().to_string();
        let metadata = Some(ObjectMeta { name: key.kid().to_owned(), uid, ..ObjectMeta::default() });
        let sealed = self
            .vault
            .seal_bytes(sealing_key, Kind::SigningKey, metadata.as_ref(), key.private_pem().as_bytes())
            .map_err(|error| error.to_string())?;
        let spec = SigningKeySpec {
            public_key: key.public_key().to_vec().into(),
            sealed_private_key: Some(sealed),
            active_from: Some(timestamp(active_from)),
            ..SigningKeySpec::default()
        };
        Ok(SigningKey { metadata, spec: Some(spec), ..SigningKey::default() })
    }
}

impl Controller for SigningKeys {
    const NAME: &'static str = "signing-keys";

    async fn reconcile(&mut self) -> Result<NextRun, Error> {
        let (view, now) = (self.leader.view(), self.clock.unix_seconds());
        let Some(sealing_key) = active_key(&view) else { return Ok(NextRun::Within(SEALING_INTERVAL)) };
        let Plan { successor, retire, remove } = plan(&view, now);
        let mut writes = Vec::new();
        let active_from = now + PUBLISHED_BEFORE_USE.as_secs();
        if successor {
            match self.made(&sealing_key, active_from) {
                Ok(key) => writes.push(Write::create(key)),
                Err(why) => return Err(Error::Refused { what: "a signing key".to_owned(), why }),
            }
        }
        writes.extend(retire.iter().filter_map(|record| Some(Write::update(record, retired(record, active_from)?))));
        writes.extend(remove.iter().map(|record| Write::delete(record)));
        for outcome in self.leader.write(writes).await? {
            was_written(&outcome, &boss_proto::key::Key::cluster(Kind::SigningKey, "any"))?;
        }
        Ok(NextRun::Within(LOOK_INTERVAL))
    }

    async fn changed(&mut self) {
        self.changes.next().await;
    }
}

#[derive(Debug, Default, PartialEq)]
struct Plan {
    /// A key is to be made.
    successor: bool,
    /// Keys that a successor takes the place of.
    retire: Vec<Arc<Record>>,
    /// Keys of which no token is good any more.
    remove: Vec<Arc<Record>>,
}

fn plan(view: &View, now: u64) -> Plan {
    let mut plan = Plan::default();
    let mut newest: Option<(u64, &Arc<Record>)> = None;
    for record in view.list(Kind::SigningKey, None) {
        let spec = SigningKey::from_object(&record.object).and_then(|key| key.spec.as_ref());
        let Some(spec) = spec else { continue };
        match seconds(spec.removed_from) {
            Some(end) if end <= now => plan.remove.push(record.clone()),
            Some(_) => {}
            None => {
                let from = seconds(spec.active_from).unwrap_or_default();
                // Two keys without a successor: the older one has lost its successor's note.
                match newest {
                    Some((other, _)) if other >= from => plan.retire.push(record.clone()),
                    _ => plan.retire.extend(newest.replace((from, record)).map(|(_, older)| older.clone())),
                }
            }
        }
    }
    match newest {
        None => plan.successor = true,
        Some((from, record)) => {
            let asked = record.metadata().annotations.contains_key(ROTATE);
            // A key that is not in use yet is its own successor.
            if (asked || from + ROTATE_AFTER.as_secs() <= now) && from <= now {
                plan.successor = true;
                plan.retire.push(record.clone());
            }
        }
    }
    plan
}

fn retired(record: &Record, from: u64) -> Option<SigningKey> {
    let mut key = SigningKey::from_object(&record.object)?.clone();
    key.metadata.as_mut()?.annotations.remove(ROTATE);
    let spec = key.spec.as_mut()?;
    spec.retired_from = Some(timestamp(from));
    spec.removed_from = Some(timestamp(from + TOKEN_LIFETIME_MAX.as_secs() + MARGIN.as_secs()));
    Some(key)
}

fn seconds(at: Option<Timestamp>) -> Option<u64> {
    at.map(|at| u64::try_from(at.seconds).unwrap_or(0))
}

fn timestamp(seconds: u64) -> Timestamp {
    Timestamp { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos: 0 }
}

#[cfg(test)]
mod tests;
