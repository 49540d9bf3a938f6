//! What is remembered of a local cluster's processes between two commands. Signals nothing.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use boss_base::files;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::provision;

const PROCESSES_FILE: &str = "processes.toml";
/// Says that the servers once agreed on being a cluster.
const FORMED_FILE: &str = "formed";
/// A thousand processes are a tenth of this.
const PROCESSES_BYTES_MAX: usize = 1024 * 1024;

/// A process that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Server or node, by its name.
    pub(super) name: String,
    pub(super) pid: u32,
    /// In clock ticks since the machine's start, as the kernel says: a pid alone may be somebody else by now.
    pub(super) start_ticks: u64,
    /// The machine's start that both belong to.
    pub(super) boot_id: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Processes {
    #[serde(default)]
    process: Vec<Record>,
}

pub(super) fn load(directory: &Path) -> Result<Vec<Record>, Error> {
    let path = directory.join(PROCESSES_FILE);
    let bytes = match files::read_bounded(&path, PROCESSES_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|source| Error::Io { path: path.clone(), source })?,
    };
    let corrupt = |problem: String| Error::Corrupt { path: path.clone(), problem };
    let text = String::from_utf8(bytes).map_err(|error| corrupt(error.to_string()))?;
    let processes: Processes =
        toml::from_str(&text).map_err(|error: toml::de::Error| corrupt(error.message().to_owned()))?;
    Ok(processes.process)
}

pub(super) fn save(directory: &Path, records: &[Record]) -> Result<(), Error> {
    let path = directory.join(PROCESSES_FILE);
    let text = toml::to_string(&Processes { process: records.to_vec() });
    let text = text.map_err(|error| Error::Corrupt { path: path.clone(), problem: error.to_string() })?;
    files::write_atomic(&path, text.as_bytes(), files::PRIVATE).map_err(|source| Error::Io { path, source })
}

pub(super) fn was_formed(directory: &Path) -> bool {
    directory.join(FORMED_FILE).exists()
}

pub(super) fn set_formed(directory: &Path) -> Result<(), Error> {
    let path = directory.join(FORMED_FILE);
    files::write_atomic(&path, b"", files::PUBLIC).map_err(|source| Error::Io { path, source })
}

/// Held while a command starts or stops processes of one folder.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it, or says at once that another command has it. The folder is made when it is missing.
    pub fn take(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(provision::LOCK_FILE);
        let io = |source| Error::Io { path: path.clone(), source };
        files::create_private_directory(directory).map_err(io)?;
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Busy { directory: directory.to_owned() }),
            Err(error) => Err(io(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_back() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(load(directory.path()).unwrap(), []);
        let records = [Record { name: "server-1".into(), pid: 7, start_ticks: 9, boot_id: "b".into() }];
        save(directory.path(), &records).unwrap();
        assert_eq!(load(directory.path()).unwrap(), records);
        std::fs::write(directory.path().join(PROCESSES_FILE), "process = 5").unwrap();
        assert!(matches!(load(directory.path()), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn only_one_command_at_a_time_works_on_a_folder() {
        let directory = tempfile::tempdir().unwrap();
        let cluster = directory.path().join("dev");
        let held = Lock::take(&cluster).unwrap();
        assert!(matches!(Lock::take(&cluster), Err(Error::Busy { .. })));
        drop(held);
        assert!(Lock::take(&cluster).is_ok());
    }
}
