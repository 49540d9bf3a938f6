//! The folder that an agent owns: whose it is, which format it has, and that only one agent uses it.

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use boss_proto::ids::{ClusterId, NodeName};
use rustix::{
    event::{Timespec, poll},
    fs::{FlockOperation, flock},
};
use serde::{Deserialize, Serialize};

/// The format of everything in the folder.
const FORMAT: u32 = 1;
const OWNER: &str = "node.json";
const LOCK: &str = "lock";
/// A killed agent's launcher may hold the lock for a moment still.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or written.
    #[error("cannot use the state folder {}: {source}", .dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// Another agent runs on it.
    #[error("the state folder {} is in use by another agent: stop that one, or give this one another folder", .0.display())]
    InUse(PathBuf),
    /// It belongs to another node.
    #[error("the state folder {} belongs to node {owner} of cluster {cluster}: use that node's certificate, or another folder", .dir.display())]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// The node that made it.
        owner: String,
        /// The cluster of that node.
        cluster: String,
    },
    /// A newer agent made it.
    #[error("the state folder {} has format {found}, this agent knows {FORMAT}: use a newer boss-node", .dir.display())]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The file that says whose it is makes no sense.
    #[error("{} is damaged: {source}; if no sandbox of the folder runs any more, remove the folder", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    format: u32,
    cluster_id: String,
    node: String,
}

#[derive(Deserialize)]
struct OnlyFormat {
    format: u32,
}

/// The agent's folder, locked.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    lock: File,
}

impl StateDir {
    /// Opens it, or makes it for this node of this cluster. Blocks for a few seconds when another agent is just ending.
    pub fn open(path: &Path, cluster: &ClusterId, node: &NodeName) -> Result<Self, Error> {
        let failed = |source| Error::Io { dir: path.to_owned(), source };
        boss_base::files::create_private_directory(path).map_err(failed)?;
        let lock = File::options().create(true).append(true).open(path.join(LOCK)).map_err(failed)?;
        lock_within(&lock, LOCK_WAIT).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::InUse(path.to_owned()),
            _ => failed(error),
        })?;
        let ours = Owner { format: FORMAT, cluster_id: cluster.to_string(), node: node.to_string() };
        let file = path.join(OWNER);
        match fs::read(&file) {
            Ok(bytes) => check_owner(path, &file, &bytes, &ours)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes = serde_json::to_vec(&ours).map_err(io::Error::from).map_err(failed)?;
                boss_base::files::write_atomic(&file, &bytes, boss_base::files::PRIVATE).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(Self { path: path.to_owned(), lock })
    }

    /// Folder of the process provider.
    #[must_use]
    pub fn sandboxes(&self) -> PathBuf {
        self.path.join("sandboxes")
    }

    /// A second hold on the lock, for a process that must be gone before the next agent starts.
    pub fn share_lock(&self) -> Result<OwnedFd, Error> {
        let shared = self.lock.try_clone().map_err(|source| Error::Io { dir: self.path.clone(), source })?;
        Ok(shared.into())
    }
}

fn check_owner(dir: &Path, file: &Path, bytes: &[u8], ours: &Owner) -> Result<(), Error> {
    let damaged = |source| Error::Damaged { path: file.to_owned(), source };
    let OnlyFormat { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format > FORMAT {
        return Err(Error::Newer { dir: dir.to_owned(), found: format });
    }
    let owner: Owner = serde_json::from_slice(bytes).map_err(damaged)?;
    if owner.cluster_id != ours.cluster_id || owner.node != ours.node {
        return Err(Error::Foreign { dir: dir.to_owned(), owner: owner.node, cluster: owner.cluster_id });
    }
    Ok(())
}

fn lock_within(lock: &File, wait: Duration) -> io::Result<()> {
    let looks = wait.as_millis() / 20;
    for _ in 0..looks {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            other => return Ok(other?),
        }
        // There is no thread and no runtime yet, and flock has no deadline: an empty poll is the wait between looks.
        poll(&mut [], Some(&LOCK_LOOK))?;
    }
    Err(io::ErrorKind::WouldBlock.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, cluster: &str, node: &str) -> Result<StateDir, Error> {
        StateDir::open(dir, &ClusterId::from(cluster), &NodeName::from(node))
    }

    #[test]
    fn a_folder_stays_with_its_node_and_cluster() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), "c", "n").unwrap());
        drop(open(dir.path(), "c", "n").unwrap());
        assert!(matches!(open(dir.path(), "other", "n"), Err(Error::Foreign { .. })));
        assert!(matches!(open(dir.path(), "c", "other"), Err(Error::Foreign { .. })));
    }

    #[test]
    fn a_newer_or_damaged_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(OWNER), r#"{"format": 2, "something": "else"}"#).unwrap();
        assert!(matches!(open(dir.path(), "c", "n"), Err(Error::Newer { found: 2, .. })));
        fs::write(dir.path().join(OWNER), "{").unwrap();
        assert!(matches!(open(dir.path(), "c", "n"), Err(Error::Damaged { .. })));
    }

    #[test]
    fn two_agents_do_not_share_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), "c", "n").unwrap();
        let held = first.share_lock().unwrap();
        drop(first);
        let second = File::options().append(true).open(dir.path().join(LOCK)).unwrap();
        assert!(lock_within(&second, Duration::from_millis(40)).is_err(), "whoever shares the lock holds it");
        drop(held);
        assert!(lock_within(&second, Duration::from_millis(40)).is_ok());
    }
}
