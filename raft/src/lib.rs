//! Consensus and the replicated registry: commands in, outcomes out, log and sled below. The only crate that names
//! openraft or sled; knows no user-facing API.

#![allow(unexpected_cfgs, reason = "fuzzers are built with cfg(fuzzing), which Cargo does not know")]

pub mod handle;
pub mod reads;
pub mod watch;

pub mod state;
pub mod storage;

pub mod backup;
pub mod config;
pub mod types;

mod bugs;
mod compaction;
pub mod disk;
mod failpoints;
#[cfg(any(test, fuzzing))]
pub mod fuzz;

mod export;

pub mod codec;
pub mod log;
pub mod network;

pub mod metric_definitions;

pub use config::{Config, ElectionProfile, ReadMode};
pub use export::Exporter;
pub use handle::{
    ChangeError, DiskStatus, Handle, HashAnswer, HashCheck, Health, InitializeError, Leadership, OpenSnapshot,
    ProposeError, Role, SnapshotError, StartError, Status, TransferError, Verdict, start,
};
pub use network::{DialError, PeerDialer, PeerId, PeerIdentity, PeerService, REVOKED_HEADER, Revoked, server_uri};
pub use reads::ReadError;
pub use state::Interest;
pub use types::Member;
pub use watch::{WatchError, Watcher};
