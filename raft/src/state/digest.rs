//! The running hash of the state: a sum over its items, so that it neither depends on the order of changes nor
//! needs a walk over the state after each of them. Knows nothing of what it sums.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// 128 bits of a hash. Items are added and taken away; the same set of items gives the same sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u128);

impl Digest {
    /// Hash of one item: the parts with their lengths, so that `ab, c` is not `a, bc`.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut half = [0; 16];
        half.copy_from_slice(&hasher.finalize()[..16]);
        Self(u128::from_le_bytes(half))
    }

    /// The sum with one item more.
    #[must_use]
    pub fn plus(self, item: Self) -> Self {
        Self(self.0.wrapping_add(item.0))
    }

    /// The sum with one item less.
    #[must_use]
    pub fn minus(self, item: Self) -> Self {
        Self(self.0.wrapping_sub(item.0))
    }

    /// As it is stored and sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// Reads what [`Digest::to_bytes`] wrote; `None` when the length is another.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(u128::from_le_bytes(bytes)))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn order_does_not_matter_and_a_removed_item_leaves_no_trace() {
        let (a, b) = (Digest::of(&[b"a"]), Digest::of(&[b"b"]));
        assert_eq!(a.plus(b), b.plus(a));
        assert_eq!(a.plus(b).minus(b), a);
        assert_ne!(Digest::of(&[b"ab", b"c"]), Digest::of(&[b"a", b"bc"]));
        assert_eq!(Digest::from_bytes(&a.to_bytes()), Some(a));
    }
}
