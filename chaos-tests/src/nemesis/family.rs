//! The kinds of faults that users choose from, and what each needs of a machine.

use std::{fs, path::Path};

use super::groups;

/// A kind of fault, as users choose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// kill -9 of servers.
    Kill,
    /// SIGSTOP of servers.
    Pause,
    /// Links between servers that let nothing through.
    Partition,
    /// Links that lose some.
    Loss,
    /// Links on which packets take their time.
    Delay,
    /// Links on which packets pass each other.
    Reorder,
    /// Links that are slow.
    Bandwidth,
    /// Disks without room.
    DiskFull,
    /// kill -9 of servers whose disks forget what was not synced, or tear it.
    DiskLoss,
    /// Disks of which bits read wrong.
    DiskFlip,
    /// Disks that fail.
    DiskError,
    /// Disks that take their time.
    DiskSlow,
    /// Disks that cannot be written any more.
    DiskReadOnly,
    /// Wall clocks that jump and drift.
    Clock,
    /// Servers that get a small part of a processor.
    Starve,
    /// Leadership that is handed over.
    Transfer,
    /// Servers that join and leave.
    Membership,
    /// Servers that stay away until they need a snapshot.
    Snapshot,
    /// The freezer of control groups, of servers and of whole nodes.
    Freeze,
    /// kill -9 and SIGSTOP of agents, and agents that are started twice.
    Agent,
    /// Agents that lose their state folder.
    AgentState,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Kill,
        Self::Pause,
        Self::Partition,
        Self::Loss,
        Self::Delay,
        Self::Reorder,
        Self::Bandwidth,
        Self::DiskFull,
        Self::DiskLoss,
        Self::DiskFlip,
        Self::DiskError,
        Self::DiskSlow,
        Self::DiskReadOnly,
        Self::Clock,
        Self::Starve,
        Self::Transfer,
        Self::Membership,
        Self::Snapshot,
        Self::Freeze,
        Self::Agent,
        Self::AgentState,
    ];

    /// As it is written on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Reorder => "reorder",
            Self::Bandwidth => "bandwidth",
            Self::DiskFull => "disk-full",
            Self::DiskLoss => "disk-loss",
            Self::DiskFlip => "disk-flip",
            Self::DiskError => "disk-error",
            Self::DiskSlow => "disk-slow",
            Self::DiskReadOnly => "disk-read-only",
            Self::Clock => "clock",
            Self::Starve => "starve",
            Self::Transfer => "transfer",
            Self::Membership => "membership",
            Self::Snapshot => "snapshot",
            Self::Freeze => "freeze",
            Self::Agent => "agent",
            Self::AgentState => "agent-state",
        }
    }

    /// Whether servers must lie on disks of ours for it.
    #[must_use]
    pub fn breaks_disks(self) -> bool {
        matches!(
            self,
            Self::DiskFull | Self::DiskLoss | Self::DiskFlip | Self::DiskError | Self::DiskSlow | Self::DiskReadOnly
        )
    }

    /// Why this machine cannot have it; none when it can.
    #[must_use]
    pub fn why_not(self) -> Option<String> {
        match self {
            _ if self.breaks_disks() => missing("/dev/fuse", "disks of ours are file systems in user space"),
            Self::Delay | Self::Reorder => missing("/dev/net/tun", "packets are held up by a relay in user space"),
            Self::Starve => groups::why_no_starving(),
            Self::Freeze => groups::why_no_freezing(),
            Self::Clock => compiler_is_missing(),
            _ => None,
        }
    }

    /// The family of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }
}

fn missing(device: &str, why: &str) -> Option<String> {
    (!Path::new(device).exists()).then(|| format!("there is no {device}, and {why}"))
}

fn compiler_is_missing() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| fs::metadata(folder.join("cc")).is_ok());
    (!is_there).then(|| "there is no cc, and the library that makes wall clocks wrong is built with it".to_owned())
}
