//! Typed ids, so that a revision is never passed where a term belongs. Knows nothing of what carries them.

use std::{fmt, str::FromStr};

use bytes::Bytes;

use crate::v1;

/// Registry-wide counter of writes; `resourceVersion` of an object is the revision of its last write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first write.
    pub const ZERO: Revision = Revision(0);

    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

/// A control-plane replica; never reused for another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u64);

impl FromStr for ServerId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(ServerId)
    }
}

/// One life of a cluster: a restore from a snapshot begins a new one. Members, watches and page tokens of another life
/// are refused: they know of writes that never happened in this one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// Of a cluster that was never restored.
    pub const FIRST: Incarnation = Incarnation(0);

    /// A fresh one, for a restore. Random: two restores of one snapshot are two lives.
    #[must_use]
    pub fn random() -> Self {
        // The first half of a version 4 UUID carries its version and so is never 0.
        Self(uuid::Uuid::new_v4().as_u64_pair().0)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_number!(Revision, ServerId);

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Wraps text that was validated where it came in.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    )*};
}
text_id! {
    /// Identity of one object over its whole life; a UUID, never reused.
    Uid,
    /// Name of a machine that runs sandboxes.
    NodeName,
    /// Identity of the cluster, made once by `cluster init`.
    ClusterId,
}

impl Uid {
    /// A fresh random one. Only the leader may call this, before it proposes.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }
}

impl v1::RequestId {
    /// A fresh id for a client that has seen `seen`.
    #[must_use]
    pub fn random(seen: Revision) -> Self {
        Self { seen_revision: seen.0, nonce: Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()) }
    }
}
