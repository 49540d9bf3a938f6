//! Remembered effects of request ids: the same id, sent again by the same caller, has one effect. Part of the
//! replicated state. Knows no object's contents.

use std::sync::Arc;

use boss_proto::{
    ids::{Revision, Uid},
    key::Key,
    raft::v1::Caller,
    v1::RequestId,
};
use rpds::HashTrieMapSync;

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

/// Effects by request id, and in the order in which they go.
#[derive(Debug, Clone)]
pub struct Requests {
    effects: HashTrieMapSync<RequestKey, Arc<Effect>>,
    /// By the revisions of their effects.
    order: Tail<RequestKey>,
    /// The newest revision whose effect was forgotten.
    floor: Revision,
}

impl Default for Requests {
    fn default() -> Self {
        Self { effects: HashTrieMapSync::new_sync(), order: Tail::default(), floor: Revision::ZERO }
    }
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

    /// What is known of an id. An effect always has a revision above the one that its id has seen; so an id that has
    /// seen the floor or more is either remembered or new.
    #[must_use]
    pub fn recall(&self, key: RequestKey, seen: Revision) -> Memory {
        match self.effects.get(&key) {
            Some(effect) => Memory::Done(effect.clone()),
            None if seen < self.floor => Memory::Expired,
            None => Memory::New,
        }
    }

    /// Every remembered effect, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (RequestKey, &Arc<Effect>)> {
        self.order.iter().filter_map(|key| Some((*key, self.effects.get(key)?)))
    }

    pub(super) fn set_floor(&mut self, floor: Revision) {
        self.floor = floor;
    }

    /// Effects must come in the order of their revisions.
    pub(super) fn remember(&mut self, key: RequestKey, effect: Arc<Effect>) {
        self.order.push(key);
        self.effects.insert_mut(key, effect);
    }

    /// Forgets the oldest effect if there are too many or it is too old at registry time `now_ms`.
    pub(super) fn evict(&mut self, now_ms: u64, limits: &Limits) -> Option<(RequestKey, Arc<Effect>)> {
        let key = *self.order.first()?;
        let effect = self.effects.get(&key)?.clone();
        let age_max_ms = if bugs::on(Bug::RequestForgotten) { 1_000 } else { limits.request_age_max_ms };
        let too_old = effect.time_ms.saturating_add(age_max_ms) < now_ms;
        if !too_old && self.order.len() <= limits.requests_max {
            return None;
        }
        self.order.pop();
        self.effects.remove_mut(&key);
        if !bugs::on(Bug::RequestForgotten) {
            self.floor = effect.revision;
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
