//! When a disk counts as full and when it has room again. Pure.

/// Whether there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Everything may be written.
    Enough,
    /// Only votes and marks may be written.
    Full,
}

/// What a look at the disk found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) free: u64,
    pub(super) reserve_held: bool,
}

/// Two marks, so that a disk at one of them does not make leadership go to and fro.
pub(super) fn next(before: Level, seen: Seen, reserve_bytes: u64) -> Level {
    if !seen.reserve_held || seen.free < reserve_bytes / 2 {
        Level::Full
    } else if seen.free >= reserve_bytes {
        Level::Enough
    } else {
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: Level, free: u64, reserve_held: bool, expected: Level) {
        assert_eq!(next(before, Seen { free, reserve_held }, 100), expected, "{before:?} {free} {reserve_held}");
    }

    #[test]
    fn a_disk_is_full_below_the_mark_or_without_its_reserve() {
        check(Level::Enough, 50, true, Level::Enough);
        check(Level::Enough, 49, true, Level::Full);
        check(Level::Enough, 1_000, false, Level::Full);
    }

    #[test]
    fn a_full_disk_has_room_again_at_twice_the_mark() {
        check(Level::Full, 99, true, Level::Full);
        check(Level::Full, 100, true, Level::Enough);
        check(Level::Full, 1_000, false, Level::Full);
    }
}
