//! The faults there are, and what each needs for itself. Pure.

use std::collections::BTreeSet;

use crate::{
    clock::Wrong,
    net::{Shape, Waiting},
};

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
    /// A server is away until the log of the others reaches back to it no more: it must take a snapshot.
    Behind(Away, u64),
    /// The freezer, and its end.
    Freeze(Target),
    /// kill -9 of an agent, counted from 0.
    KillAgent(usize),
    /// SIGSTOP of an agent, counted from 0. Its sandboxes run on.
    PauseAgent(usize),
    /// A second agent of the same configuration; it must end by itself.
    TwinAgent(usize),
    /// kill -9 of an agent, whose state folder is gone when it starts again. Its sandboxes run on meanwhile.
    LoseAgentState(usize),
    /// The freezer of everything on a node: agent, monitors and sandboxes.
    FreezeNode(usize),
}

/// How a server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// It was killed.
    Killed,
    /// It stands still.
    Paused,
    /// Nothing reaches the others from it, or it from them.
    CutOff,
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
            // Of a process that runs.
            Self::Starve(target, _) => &of(*target, Claim::Processor) | &of(*target, Claim::Process),
            Self::Transfer => [Claim::Leadership].into(),
            // Certificates that are made for it are good from now on, by whatever clock the leader has.
            Self::Join => {
                let all = (1..=servers).flat_map(|id| [Claim::Process(id), Claim::Clock(id)]);
                all.chain([Claim::Leadership, Claim::Links]).collect()
            }
            // It needs a leader and its way to it, and nobody else may keep it away.
            Self::Behind(_, id) => [Claim::Process(*id), Claim::Leadership, Claim::Links].into(),
            Self::Freeze(target) => of(*target, Claim::Process),
            Self::KillAgent(index)
            | Self::PauseAgent(index)
            | Self::TwinAgent(index)
            | Self::LoseAgentState(index)
            | Self::FreezeNode(index) => [Claim::Agent(*index)].into(),
        }
    }
}
