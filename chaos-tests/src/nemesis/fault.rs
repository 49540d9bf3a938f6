//! The faults there are, and what each needs for itself. Pure.

use std::{collections::BTreeSet, fmt};

use crate::{
    clock::Wrong,
    net::{Shape, Waiting},
};

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
    /// kill -9 and SIGSTOP of agents.
    Agent,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 18] = [
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
        Self::Agent,
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
            Self::Agent => "agent",
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

    /// The family of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }
}

/// Whom a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// This server.
    One(u64),
    /// Whoever leads when it begins.
    Leader,
    /// All servers.
    All,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// kill -9, and a start at the end.
    Kill(Target),
    /// SIGSTOP, and SIGCONT at the end.
    Pause(Target),
    /// These links let nothing through. [`Fault::CutLeader`] for those around the leader.
    Cut(Shape),
    /// As [`Fault::Cut`], of the leader: all shapes that are about one server.
    CutLeader(Around),
    /// Every link between servers loses so many of a thousand packets.
    Loss(u16),
    /// What a server sends to others waits so long.
    Wait(Waiting, Target),
    /// A server receives no more than so many kbit/s.
    Bandwidth(u64, u32),
    /// Something happens to the disk of a server.
    Disk(DiskFault, Target),
    /// The wall clock of a server is so wrong.
    Clock(Wrong, Target),
    /// A server gets no more than so many of a thousand parts of one processor.
    Starve(Target, u32),
    /// The leader hands over.
    Transfer,
    /// A server joins; at the end it leaves.
    Join,
    /// kill -9 of an agent, counted from 0.
    KillAgent(usize),
    /// SIGSTOP of an agent, counted from 0.
    PauseAgent(usize),
}

/// What happens to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// It has no room left.
    Full,
    /// Its server is killed, and it forgets what was not synced.
    Lose,
    /// Its server is killed, and of what was not synced it has some.
    Tear(u64),
    /// Its server is killed and started, and bits of what it reads are wrong.
    Flip(u64),
    /// The next sync fails; whether what was to be synced counts as clean afterwards.
    FailSync {
        /// As Linux does.
        drops: bool,
    },
    /// Each sync takes so many milliseconds more.
    Slow(u64),
    /// Nothing can be changed.
    ReadOnly,
}

impl DiskFault {
    /// Whether a server may end because of it, or is ended for it.
    #[must_use]
    pub fn ends_servers(self) -> bool {
        !matches!(self, Self::Full | Self::Slow(_))
    }
}

/// A shape around one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Around {
    /// [`Shape::Isolate`]
    Isolate,
    /// [`Shape::Alone`]
    Alone,
    /// [`Shape::Deaf`]
    Deaf,
    /// [`Shape::Mute`]
    Mute,
}

impl Around {
    /// Around this server.
    #[must_use]
    pub fn shape(self, id: u64) -> Shape {
        match self {
            Self::Isolate => Shape::Isolate(id),
            Self::Alone => Shape::Alone(id),
            Self::Deaf => Shape::Deaf(id),
            Self::Mute => Shape::Mute(id),
        }
    }
}

/// What at most one fault at a time may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// Whether a server runs.
    Process(u64),
    /// The links between servers.
    Links,
    /// What links lose.
    Loss,
    /// What a server receives.
    Bandwidth(u64),
    /// What a server sends.
    Wire(u64),
    /// A server's disk.
    Disk(u64),
    /// A server's wall clock.
    Clock(u64),
    /// A server's share of a processor.
    Processor(u64),
    /// Who leads: nothing else may move the leadership while this looks for the leader.
    Leadership,
    /// An agent.
    Agent(usize),
}

impl Fault {
    /// What it needs for itself, among so many servers.
    #[must_use]
    pub fn claims(&self, servers: u64) -> BTreeSet<Claim> {
        let of = |target: Target, claim: fn(u64) -> Claim| -> BTreeSet<Claim> {
            match target {
                Target::One(id) => [claim(id)].into(),
                // It may be any server.
                Target::Leader => (1..=servers).map(claim).chain([Claim::Leadership]).collect(),
                Target::All => (1..=servers).map(claim).collect(),
            }
        };
        match self {
            Self::Kill(target) | Self::Pause(target) => of(*target, Claim::Process),
            Self::Cut(_) => [Claim::Links].into(),
            Self::CutLeader(_) => [Claim::Links, Claim::Leadership].into(),
            Self::Loss(_) => [Claim::Loss].into(),
            Self::Wait(_, target) => of(*target, Claim::Wire),
            Self::Bandwidth(id, _) => [Claim::Bandwidth(*id)].into(),
            Self::Disk(fault, target) => {
                let process = if fault.ends_servers() { of(*target, Claim::Process) } else { BTreeSet::new() };
                &of(*target, Claim::Disk) | &process
            }
            Self::Clock(_, target) => of(*target, Claim::Clock),
            Self::Starve(target, _) => of(*target, Claim::Processor),
            Self::Transfer => [Claim::Leadership].into(),
            // Certificates that are made for it are good from now on, by whatever clock the leader has.
            Self::Join => {
                let all = (1..=servers).flat_map(|id| [Claim::Process(id), Claim::Clock(id)]);
                all.chain([Claim::Leadership, Claim::Links]).collect()
            }
            Self::KillAgent(index) | Self::PauseAgent(index) => [Claim::Agent(*index)].into(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(id) => write!(f, "server-{id}"),
            Self::Leader => f.write_str("the leader"),
            Self::All => f.write_str("all servers"),
        }
    }
}

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("fill the disk of"),
            Self::Lose => f.write_str("cut the power of"),
            Self::Tear(_) => f.write_str("cut the power while writing of"),
            Self::Flip(_) => f.write_str("flip bits of"),
            Self::FailSync { drops: true } => f.write_str("fail a sync and drop it of"),
            Self::FailSync { drops: false } => f.write_str("fail a sync of"),
            Self::Slow(ms) => write!(f, "slow each sync by {ms} ms of"),
            Self::ReadOnly => f.write_str("make read-only the disk of"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(target) => write!(f, "kill {target}"),
            Self::Pause(target) => write!(f, "pause {target}"),
            Self::Cut(shape) => write!(f, "partition {}", words(shape)),
            Self::CutLeader(around) => write!(f, "partition {} the leader", around.word()),
            Self::Loss(lost) => write!(f, "lose {lost} of 1000 packets"),
            Self::Wait(Waiting { delay_ms, jitter_ms, reorder }, target) => {
                let order = if *reorder { "in any order" } else { "in order" };
                write!(f, "hold up what {target} sends by {delay_ms} to {} ms, {order}", delay_ms + jitter_ms)
            }
            Self::Bandwidth(id, kbit) => write!(f, "slow server-{id} to {kbit} kbit/s"),
            Self::Disk(fault, target) => write!(f, "{fault} {target}"),
            Self::Clock(Wrong { offset_ms, per_million: 0 }, target) => {
                write!(f, "set the clock of {target} {offset_ms} ms ahead")
            }
            Self::Clock(Wrong { per_million, .. }, target) => {
                write!(f, "let the clock of {target} gain {per_million} us each second")
            }
            Self::Starve(target, share) => write!(f, "starve {target} to {share} of 1000"),
            Self::Transfer => f.write_str("transfer the leadership"),
            Self::Join => f.write_str("join and remove a server"),
            Self::KillAgent(index) => write!(f, "kill agent-{}", index + 1),
            Self::PauseAgent(index) => write!(f, "pause agent-{}", index + 1),
        }
    }
}

impl Around {
    fn word(self) -> &'static str {
        match self {
            Self::Isolate => "isolating",
            Self::Alone => "leaving alone",
            Self::Deaf => "deafening",
            Self::Mute => "muting",
        }
    }
}

fn words(shape: &Shape) -> String {
    match shape {
        Shape::Isolate(id) => format!("isolating server-{id}"),
        Shape::Alone(id) => format!("leaving alone server-{id}"),
        Shape::Halves(half) => format!("{half:?} and the others"),
        Shape::Bridge(id) => format!("with server-{id} as a bridge"),
        Shape::Ring => "as a ring".to_owned(),
        Shape::Deaf(id) => format!("deafening server-{id}"),
        Shape::Mute(id) => format!("muting server-{id}"),
    }
}
