//! Which keys a load touches, and what it writes there. The same seed gives the same choices. Pure.

/// Numbers that are spread well and cost nothing (SplitMix64); not for keys of any lock.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias of the remainder is far below what a benchmark could see.
        self.next_u64() % end
    }

    /// 16 bytes that nobody else draws, for request ids.
    pub fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        nonce[8..].copy_from_slice(&self.next_u64().to_be_bytes());
        nonce
    }
}

/// So many keys, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpace {
    /// How many.
    pub len: u64,
}

impl KeySpace {
    /// The name of a key: of fixed length, in the order of the numbers.
    #[must_use]
    pub fn name(self, number: u64) -> String {
        format!("key-{number:08}")
    }

    /// The name of any key.
    pub fn any(self, random: &mut Random) -> String {
        self.name(random.below(self.len))
    }
}

/// A value of so many bytes that does not compress to nothing.
#[must_use]
pub fn value(bytes: usize, random: &mut Random) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..bytes).map(|_| char::from(ALPHABET[(random.next_u64() >> 58) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_choices() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (value(20, &mut random), KeySpace { len: 50 }.any(&mut random), random.nonce())
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn keys_are_of_the_space_and_sort_by_their_number() {
        let (space, mut random) = (KeySpace { len: 3 }, Random::new(1));
        let known = [space.name(0), space.name(1), space.name(2)];
        assert!(known.is_sorted());
        let mut drawn: Vec<String> = (0..100).map(|_| space.any(&mut random)).collect();
        drawn.sort();
        drawn.dedup();
        assert_eq!(drawn, known);
    }

    #[test]
    fn a_value_has_the_wanted_length() {
        assert_eq!(value(0, &mut Random::new(1)), "");
        assert_eq!(value(256, &mut Random::new(1)).len(), 256);
    }
}
