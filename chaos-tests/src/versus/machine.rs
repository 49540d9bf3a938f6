//! What a load cost the machine: processor time, memory, disk of some processes.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use crate::proc;

/// `sysconf(_SC_CLK_TCK)` is this on every Linux of the last twenty years.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of the processes together, in user and kernel mode.
pub(super) fn cpu(pids: &[i32]) -> Duration {
    let ticks: u64 = pids.iter().filter_map(|pid| proc::usage(*pid)).map(|usage| usage.cpu_ticks).sum();
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Memory that is really there, for each of the processes, largest first.
pub(super) fn resident_bytes(pids: &[i32]) -> Vec<u64> {
    let mut resident: Vec<u64> =
        pids.iter().filter_map(|pid| proc::usage(*pid)).map(|usage| usage.resident_bytes).collect();
    resident.sort_by_key(|bytes| std::cmp::Reverse(*bytes));
    resident
}

/// Bytes that the files of a folder take on the disk.
pub(super) fn disk_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    // A file may be renamed or removed while we look: then it is not there.
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_all_levels_count_with_the_blocks_that_they_take() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::create_dir(folder.path().join("a")).expect("it can be written");
        fs::write(folder.path().join("a/b"), vec![1; 100_000]).expect("it can be written");
        let bytes = disk_bytes(folder.path());
        assert!((100_000..120_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn this_process_uses_memory() {
        let own = std::process::id().cast_signed();
        assert!(resident_bytes(&[own])[0] > 0);
    }
}
