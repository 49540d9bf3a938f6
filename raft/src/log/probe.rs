//! How fast the disk makes bytes durable, asked at start: elections must not be shorter than that.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::Duration,
};

use boss_base::clock::Clock;

/// Syncs that are timed: enough to meet a slow one on a slow disk, few enough not to be felt.
const SYNCS: u64 = 16;
const BLOCK: [u8; 4_096] = [0x5a; 4_096];

/// What a few small syncs took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The one in the middle.
    pub median: Duration,
    /// The slowest.
    pub slowest: Duration,
}

/// Times some syncs of a file in the directory, which it removes again. Blocks.
pub fn probe(dir: &Path, clock: &dyn Clock) -> io::Result<Probe> {
    let path = dir.join("probe.tmp");
    let file = File::create(&path)?;
    let times = (0..SYNCS).map(|block| time_sync(&file, block, clock)).collect::<io::Result<Vec<_>>>();
    fs::remove_file(&path)?;
    let mut times = times?;
    times.sort_unstable();
    let slowest = times.last().copied().unwrap_or_default();
    Ok(Probe { median: times[times.len() / 2], slowest })
}

fn time_sync(file: &File, block: u64, clock: &dyn Clock) -> io::Result<Duration> {
    file.write_all_at(&BLOCK, block * BLOCK.len() as u64)?;
    let before = clock.monotonic();
    file.sync_data()?;
    Ok(clock.monotonic().saturating_sub(before))
}

#[cfg(test)]
mod tests {
    use boss_base::clock::SystemClock;

    use super::*;

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let dir = tempfile::TempDir::new().unwrap();
        let probe = probe(dir.path(), &SystemClock).unwrap();
        assert!(probe.median <= probe.slowest && probe.slowest > Duration::ZERO);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
