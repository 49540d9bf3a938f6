//! What faults are called, in histories and reports. Changes nothing.

use std::fmt;

use super::fault::{Around, Away, DiskFault, Fault, Target};
use crate::{
    clock::Wrong,
    net::{Shape, Waiting},
};

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(id) => write!(f, "server-{id}"),
            Self::Leader => f.write_str("the leader"),
            Self::All => f.write_str("all servers"),
        }
    }
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Killed => "killed",
            Self::Paused => "paused",
            Self::CutOff => "cut off",
        })
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
            Self::Behind(away, id) => write!(f, "leave behind server-{id}, {away}"),
            Self::Freeze(target) => write!(f, "freeze {target}"),
            Self::TwinAgent(index) => write!(f, "start agent-{} twice", index + 1),
            Self::LoseAgentState(index) => write!(f, "kill agent-{} and lose its state", index + 1),
            Self::FreezeNode(index) => write!(f, "freeze node-{}", index + 1),
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
