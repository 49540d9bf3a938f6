//! What /proc says of one process. A pid alone is reused; with its start time it is not.

use std::{fs, io};

/// The fields of /proc/PID/stat that tell whose process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcStat {
    /// One letter: R, S, Z...
    pub state: u8,
    /// Its parent.
    pub parent: u32,
    /// Its session.
    pub session: u32,
    /// Start time in clock ticks since boot.
    pub start_ticks: u64,
}

impl ProcStat {
    /// Reads it; `None` when there is no such process.
    pub fn read(pid: u32) -> io::Result<Option<Self>> {
        match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(text) => Ok(Self::parse(&text)),
            // ESRCH: it went away between open and read.
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(3) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it still executes; a zombie does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X')
    }

    fn parse(text: &str) -> Option<Self> {
        // The name stands in parentheses and may hold anything, also ") 1 (": fields count from the last one.
        let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split_ascii_whitespace().collect();
        Some(Self {
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Every process there is.
pub fn all_pids() -> io::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// Names this boot of the machine; empty when the kernel does not say.
#[must_use]
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let rest = "S 7 42 42 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 1 0 555 1000 1 18446744073709551615";
        let stat = ProcStat::parse(&format!("42 (a) R 1 (b) {rest}")).unwrap();
        assert_eq!(stat, ProcStat { state: b'S', parent: 7, session: 42, start_ticks: 555 });
    }

    #[test]
    fn this_process_is_alive_and_pid_max_is_not() {
        assert!(ProcStat::read(std::process::id()).unwrap().unwrap().is_alive());
        assert_eq!(ProcStat::read(u32::MAX).unwrap(), None);
    }

    #[test]
    fn nonsense_is_no_process() {
        for text in ["", ")", "1 (x)", "1 (x) S a b c"] {
            assert_eq!(ProcStat::parse(text), None, "{text:?}");
        }
    }
}
