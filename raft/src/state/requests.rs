//! Remembered effects of request ids: the same id, sent again by the same caller, has one effect. Part of the
//! replicated state. Knows no object's contents.

mod lists;

use std::sync::Arc;

use boss_proto::{
    ids::{Revision, Uid},
    key::Key,
    raft::v1::Caller,
    v1::RequestId,
};

use self::lists::Lists;
use super::{digest::Digest, limits::Limits, tail::Tail};
use crate::bugs::{self, Bug};

/// A request id within its caller's uid, hashed: ids of different callers never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey(Digest);

impl RequestKey {
    /// The key of an id that this caller sent.
    #[must_use]
    pub fn new(caller: &Caller, id: &RequestId) -> Self {
        Self(Digest::of(&[b"request", caller.uid.as_bytes(), &id.nonce]))
    }

    /// As it is stored.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// Reads what [`RequestKey::to_bytes`] wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Digest::from_bytes(bytes).map(Self)
    }
}

/// How an answer to a repeated request looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectKind {
    /// The object was written.
    Written,
    /// The object got its deletion timestamp.
    Marked,
    /// The object went away.
    Gone,
    /// The comparisons of a transaction held, and it wrote something.
    Success,
    /// They did not hold, and it wrote something.
    Failure,
}

/// What a request did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The object.
    pub key: Key,
    /// Its uid.
    pub uid: Uid,
    /// Revision of the write.
    pub revision: Revision,
    /// What it was.
    pub kind: EffectKind,
    /// Registry time of the write, in milliseconds since the epoch.
    pub time_ms: u64,
}

/// What the registry remembers of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// It had this effect.
    Done(Arc<Effect>),
    /// It had none.
    New,
    /// It may have had one that is forgotten.
    Expired,
}

/// The effect of one request.
#[derive(Debug, Clone)]
struct Remembered {
    key: RequestKey,
    /// Of the effect, here because a look for another request needs no more of it.
    revision: Revision,
    effect: Arc<Effect>,
}

/// Effects in the order in which they go, which is that of their revisions, and by request id.
///
/// Most writes are new, and their clients have seen almost everything: whether one is known is a look at the few
/// effects since then. So there is no map of all of them, which would copy a path for every write of every server.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    order: Tail<Remembered>,
    /// All but the newest, to be found by their ids.
    lists: Lists,
    /// How many of the newest are in no list yet.
    unlisted: usize,
    /// The newest revision whose effect was forgotten.
    floor: Revision,
    /// The newest effect that left: lists may hold it for a while longer.
    left: Revision,
}

impl Requests {
    /// Ids that have seen less than this are not known any more.
    #[must_use]
    pub fn floor(&self) -> Revision {
        self.floor
    }

    /// Number of remembered effects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// What is known of an id that was made by somebody who had seen that revision. An effect always has a revision above
    /// the one that its id has seen; so an id that has seen the floor or more is either remembered or new.
    #[must_use]
    pub fn recall(&self, key: RequestKey, seen: Revision) -> Memory {
        match self.find(key, seen.max(self.left)) {
            Some(effect) => Memory::Done(effect.clone()),
            None if seen < self.floor => Memory::Expired,
            None => Memory::New,
        }
    }

    /// The effect of an id among those after a revision.
    fn find(&self, key: RequestKey, after: Revision) -> Option<&Arc<Effect>> {
        let newest = self.order.newest().take(self.unlisted).take_while(|known| known.revision > after);
        let mut newest = newest.filter(|known| known.key == key);
        newest.next().map(|known| &known.effect).or_else(|| self.lists.find(key, after))
    }

    /// Every remembered effect, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (RequestKey, &Arc<Effect>)> {
        self.order.iter().map(|known| (known.key, &known.effect))
    }

    pub(super) fn set_floor(&mut self, floor: Revision) {
        self.floor = floor;
    }

    /// Effects must come in the order of their revisions.
    pub(super) fn remember(&mut self, key: RequestKey, effect: Arc<Effect>) {
        self.order.push(Remembered { key, revision: effect.revision, effect });
        self.unlisted += 1;
        if self.unlisted == lists::SHORTEST {
            self.lists.add(self.order.newest().take(self.unlisted).cloned().collect());
            self.unlisted = 0;
        }
    }

    /// Forgets the oldest effect if there are too many or it is too old at registry time `now_ms`.
    pub(super) fn evict(&mut self, now_ms: u64, limits: &Limits) -> Option<(RequestKey, Arc<Effect>)> {
        let oldest = &self.order.first()?.effect;
        let age_max_ms = if bugs::on(Bug::RequestForgotten) { 1_000 } else { limits.request_age_max_ms };
        let too_old = oldest.time_ms.saturating_add(age_max_ms) < now_ms;
        if !too_old && self.order.len() <= limits.requests_max {
            return None;
        }
        let Remembered { key, revision, effect } = self.order.pop()?;
        self.left = revision;
        self.unlisted = self.unlisted.min(self.order.len());
        self.lists.drop_through(revision);
        if !bugs::on(Bug::RequestForgotten) {
            self.floor = revision;
        }
        Some((key, effect))
    }
}

pub(super) fn digest(key: RequestKey, effect: &Effect) -> Digest {
    Digest::of(&[
        b"effect",
        &key.to_bytes(),
        effect.key.to_path().as_bytes(),
        effect.uid.as_str().as_bytes(),
        &effect.revision.0.to_le_bytes(),
        &[effect.kind as u8],
        &effect.time_ms.to_le_bytes(),
    ])
}

#[cfg(test)]
mod tests;
