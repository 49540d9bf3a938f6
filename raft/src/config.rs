//! What a consensus server is started with. Knows no file format and no flags.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use boss_proto::ids::{ClusterId, ServerId};

use crate::{export::Exporter, log::Disk};

/// Room for several segments of the log, and for what is on its way when the disk is found full.
pub const DISK_RESERVE_BYTES: u64 = 128 << 20;

/// How patient the servers are with a silent leader; the disk's fsync decides which one fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ElectionProfile {
    /// For one machine or a fast network with fast disks.
    Fast,
    /// For one data centre with ordinary disks.
    #[default]
    Standard,
    /// For disks whose fsync takes tens of milliseconds.
    SlowDisk,
}

impl ElectionProfile {
    /// How often a leader shows that it is alive.
    #[must_use]
    pub fn heartbeat_interval(self) -> Duration {
        Duration::from_millis(match self {
            Self::Fast => 50,
            Self::Standard => 100,
            Self::SlowDisk => 200,
        })
    }

    /// Shortest silence after which a server stands for election.
    #[must_use]
    pub fn election_timeout_min(self) -> Duration {
        Duration::from_millis(match self {
            Self::Fast => 150,
            Self::Standard => 300,
            Self::SlowDisk => 1_000,
        })
    }

    /// Longest silence after which a server stands for election; also the lease that a vote grants.
    #[must_use]
    pub fn election_timeout_max(self) -> Duration {
        Duration::from_millis(match self {
            Self::Fast => 300,
            Self::Standard => 600,
            Self::SlowDisk => 2_000,
        })
    }

    /// As configuration files write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Standard => "standard",
            Self::SlowDisk => "slow-disk",
        }
    }
}

/// The text names no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no election profile; use fast, standard or slow-disk")]
pub struct UnknownProfile(pub String);

impl std::str::FromStr for ElectionProfile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        [Self::Fast, Self::Standard, Self::SlowDisk]
            .into_iter()
            .find(|profile| profile.as_str() == text)
            .ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}

/// How a leader makes sure that it still leads before it answers a read. The same on every server of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadMode {
    /// A majority confirms it, once for all reads that wait. Depends on no clock.
    #[default]
    Confirm,
    /// A majority has promised not to elect another leader for a while, by clocks that run at the same rate. Voters
    /// that were restarted withhold their votes for that while.
    Lease,
}

impl ReadMode {
    /// As configuration files write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Lease => "lease",
        }
    }
}

/// The text names no way to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no way to confirm reads; use confirm or lease")]
pub struct UnknownReadMode(pub String);

impl std::str::FromStr for ReadMode {
    type Err = UnknownReadMode;

    fn from_str(text: &str) -> Result<Self, UnknownReadMode> {
        let modes = [Self::Confirm, Self::Lease];
        modes.into_iter().find(|mode| mode.as_str() == text).ok_or_else(|| UnknownReadMode(text.to_owned()))
    }
}

/// What log and state stand on: the machine's own disk, unless a simulation says otherwise.
#[derive(Clone, Default)]
pub struct Media {
    /// Makes the disk that the log is written through; none for the machine's own.
    pub log_disk: Option<Arc<dyn Fn() -> Box<dyn Disk> + Send + Sync>>,
    /// Whether the state is also written behind apply, so that a start needs no replay.
    pub store: Store,
}

/// Where the state is kept behind apply. It can be missing: log and snapshots hold everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Store {
    /// In sled, which works with threads of its own.
    #[default]
    Sled,
    /// Nowhere: a start applies the log again from the newest snapshot on.
    None,
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own_disk = self.log_disk.is_none();
        f.debug_struct("Media").field("own_disk", &own_disk).field("store", &self.store).finish_non_exhaustive()
    }
}

/// What a consensus server is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// This server; never the id of another one, also not of one that is gone.
    pub server_id: ServerId,
    /// The cluster that the data directory and the peers must belong to.
    pub cluster_id: ClusterId,
    /// Holds `log/`, `state/` and `snapshots/`; created when missing.
    pub data_dir: PathBuf,
    /// How fast a lost leader is replaced.
    pub profile: ElectionProfile,
    /// How a leader makes sure that it still leads before it answers a read.
    pub reads: ReadMode,
    /// Bounds of the log and when it is compacted.
    pub limits: Limits,
    /// Keeps what is applied elsewhere, too.
    pub exporter: Option<Arc<dyn Exporter>>,
    /// What log and state stand on.
    pub media: Media,
}

impl Config {
    /// The usual limits and profile.
    #[must_use]
    pub fn new(server_id: ServerId, cluster_id: ClusterId, data_dir: PathBuf) -> Self {
        Self {
            server_id,
            cluster_id,
            data_dir,
            profile: ElectionProfile::default(),
            reads: ReadMode::default(),
            limits: Limits::default(),
            exporter: None,
            media: Media::default(),
        }
    }
}

/// Bounds of the log and when it is compacted.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Size of one preallocated segment file of the log, in bytes.
    pub segment_bytes: u64,
    /// Encoded bytes of recent entries that are kept in memory for replication and apply.
    pub cache_bytes: usize,
    /// Log bytes after which a snapshot is taken.
    pub snapshot_every_bytes: u64,
    /// Entries after which a snapshot is taken.
    pub snapshot_every_entries: u64,
    /// Time after which a snapshot is taken when anything was applied since the last.
    pub snapshot_every: Duration,
    /// Entries kept behind the snapshot, so that a server that was away catches up without one.
    pub keep_entries: u64,
    /// Bytes of entries kept behind the snapshot; the smaller of both bounds counts.
    pub keep_bytes: u64,
    /// Bytes of the data folder's file system that are kept for votes and marks. With less the server takes no writes.
    pub disk_reserve_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            cache_bytes: 64 << 20,
            snapshot_every_bytes: 256 << 20,
            snapshot_every_entries: 200_000,
            snapshot_every: Duration::from_secs(30 * 60),
            keep_entries: 100_000,
            keep_bytes: 1 << 30,
            disk_reserve_bytes: DISK_RESERVE_BYTES,
        }
    }
}
