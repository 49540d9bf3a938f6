//! What `/proc` says about processes of this machine. Sends no signal and starts nothing.

use std::{collections::HashSet, fs, path::Path};

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProcessId {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since the boot.
    pub start_ticks: u64,
}

/// One line of `/proc/PID/stat`, as far as anyone here needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Number and start time.
    pub id: ProcessId,
    /// Its parent's number.
    pub parent: i32,
    /// One letter; `Z` is a process that ended and waits to be reaped.
    pub state: char,
    /// Processor time in user and kernel mode, in clock ticks.
    pub cpu_ticks: u64,
}

impl Stat {
    /// `None` when there is no such process.
    #[must_use]
    pub fn read(pid: i32) -> Option<Self> {
        parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Whether it still executes: neither ended nor replaced by another one.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

// The second field is the program's name in parentheses and may hold anything, also parentheses.
fn parse_stat(pid: i32, line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line[line.rfind(')')? + 1..].split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    Some(Stat {
        id: ProcessId { pid, start_ticks: number(19)? },
        parent: fields.get(1)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        cpu_ticks: number(11)? + number(12)?,
    })
}

impl ProcessId {
    /// The process that has this number now.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        Stat::read(pid).map(|stat| stat.id)
    }

    /// Whether this very process still executes.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.id == self && stat.is_alive())
    }
}

/// Every process there is.
#[must_use]
pub fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Stat::read).collect()
}

/// The processes below `roots`, without the roots themselves.
#[must_use]
pub fn descendants(roots: &[i32]) -> Vec<Stat> {
    let all = all();
    let mut known: HashSet<i32> = roots.iter().copied().collect();
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for stat in &all {
            if known.contains(&stat.parent) && known.insert(stat.id.pid) {
                found.push(stat.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Names the run in the environment of every process that it starts.
pub const RUN_VARIABLE: &str = "BOSS_CHAOS_RUN";

/// The processes that belong to the run in `folder`: those that inherited its name, and programs of ours that were
/// given a path in it. An editor or pager that someone opened on a log there is neither.
#[must_use]
pub fn of_run(folder: &Path) -> Vec<Stat> {
    all().into_iter().filter(|stat| belongs_to(stat.id.pid, folder)).collect()
}

fn belongs_to(pid: i32, folder: &Path) -> bool {
    let folder = folder.as_os_str().as_encoded_bytes();
    let words = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let marker = [RUN_VARIABLE.as_bytes(), b"=", folder].concat();
    if words("environ").split(|byte| *byte == 0).any(|word| word == marker) {
        return true;
    }
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let is_ours = program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"boss"));
    is_ours && words("cmdline").windows(folder.len()).any(|window| window == folder)
}

/// The command line, with spaces between the words.
#[must_use]
pub fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ")
}

/// Processes whose command line is exactly `words`.
#[must_use]
pub fn with_command_line(words: &str) -> Vec<ProcessId> {
    all()
        .into_iter()
        .filter(|stat| stat.is_alive())
        .map(|stat| stat.id)
        .filter(|id| command_line(id.pid) == words)
        .collect()
}

/// What a process used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Memory that is really there, in bytes.
    pub resident_bytes: u64,
    /// Processor time, in clock ticks of 10 ms.
    pub cpu_ticks: u64,
    /// Bytes that it caused to be written to disks.
    pub written_bytes: u64,
}

/// `None` when there is no such process.
#[must_use]
pub fn usage(pid: i32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    Some(Usage {
        resident_bytes: field(&status, "VmRSS:") * 1024,
        cpu_ticks: Stat::read(pid)?.cpu_ticks,
        written_bytes: field(&io, "write_bytes:").saturating_sub(field(&io, "cancelled_write_bytes:")),
    })
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// The machine's load averages over 1, 5 and 15 minutes.
#[must_use]
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_does_not_shift_the_fields() {
        let line = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 0 0 20 0 1 0 4711 0 0";
        let stat = parse_stat(7, line).expect("the line is complete");
        assert_eq!(stat.id, ProcessId { pid: 7, start_ticks: 4711 });
        assert_eq!((stat.parent, stat.state, stat.cpu_ticks), (1, 'S', 110));
    }

    #[test]
    fn this_process_is_alive_and_uses_memory() {
        let pid = std::process::id().cast_signed();
        let id = ProcessId::of(pid).expect("we run");
        assert!(id.is_alive());
        assert!(!ProcessId { start_ticks: id.start_ticks + 1, ..id }.is_alive(), "a later process is another one");
        assert!(usage(pid).expect("we run").resident_bytes > 0);
    }
}
