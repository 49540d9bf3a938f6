//! Which faults come when: plain data, from the seed. Pure.

use std::{fmt, time::Duration};

use boss_verify::checkers::generate::Random;

/// Quiet before the first fault and after the last, so that something is known of both.
const QUIET_MS: u64 = 2_000;
const PAUSE_MS: (u64, u64) = (200, 1_200);
const LENGTH_MS: (u64, u64) = (400, 2_600);
/// What syncs of a slow disk take.
const SLOW_SYNC_MS: (u64, u64) = (20, 300);
/// How far a wall clock jumps, in either direction.
const WRONG_CLOCK_MS: u64 = 3_000_000;
/// How long messages of a distant server may take.
const DISTANT_MS: (u64, u64) = (50, 400);
/// Of a thousand messages over a bad line, so many are lost, each with its connection.
const LOST_PER_MILLE: (u64, u64) = (2, 30);

/// Whom a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// This one.
    Server(u64),
    /// Who leads when it comes.
    Leader,
    /// All.
    All,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It ends between two instants, with what its disk had; it is started again at the end.
    Crash,
    /// Nothing passes between it and its fellows until the end; then everything does, late.
    Hold,
    /// The same, and clients do not reach it, either.
    HoldAll,
    /// What it and its fellows send to each other is lost, and the connections with it.
    Cut,
    /// What its fellows send to it is lost.
    Deaf,
    /// What it sends to its fellows is lost.
    Mute,
    /// What it and its fellows send to each other may take so long.
    Distant(Duration),
    /// So many of a thousand messages between it and its fellows are lost.
    Lossy(u64),
    /// Its disk takes so long for each sync.
    SlowDisk(Duration),
    /// Its wall clock jumps.
    WrongClock(i64),
    /// Clients ask the leader to hand over.
    AskTransfer,
    /// Clients take a snapshot away from it, which it has to make.
    AskSnapshot,
}

impl Fault {
    /// As histories name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hold => "hold",
            Self::HoldAll => "hold-all",
            Self::Cut => "cut",
            Self::Deaf => "deaf",
            Self::Mute => "mute",
            Self::Distant(_) => "distant",
            Self::Lossy(_) => "lossy",
            Self::SlowDisk(_) => "slow-disk",
            Self::WrongClock(_) => "wrong-clock",
            Self::AskTransfer => "ask-transfer",
            Self::AskSnapshot => "ask-snapshot",
        }
    }
}

/// One fault at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) at: Duration,
    pub(super) until: Duration,
    pub(super) fault: Fault,
    pub(super) target: Target,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?} from {:?} to {:?}", self.fault, self.target, self.at, self.until)
    }
}

/// Two rows of faults that go on at once: those of the network, and those of machines. In a row one follows the other.
pub(super) fn draw(seed: u64, servers: u64, duration: Duration) -> [Vec<Step>; 2] {
    let mut random = Random(seed ^ 0x0066_6175_6c74_7321);
    let end = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).saturating_sub(QUIET_MS);
    [row(&mut random, servers, end, network), row(&mut random, servers, end, machine)]
}

fn row(random: &mut Random, servers: u64, end_ms: u64, fault: fn(&mut Random, u64) -> Fault) -> Vec<Step> {
    let (mut steps, mut now) = (Vec::new(), QUIET_MS);
    loop {
        let at = now + between(random, PAUSE_MS);
        let until = at + between(random, LENGTH_MS);
        if until > end_ms {
            return steps;
        }
        let fault = fault(random, servers);
        let target = target(random, servers, fault);
        steps.push(Step { at: Duration::from_millis(at), until: Duration::from_millis(until), fault, target });
        now = until;
    }
}

fn target(random: &mut Random, servers: u64, fault: Fault) -> Target {
    match random.below(6) {
        0 | 1 => Target::Leader,
        2 if fault == Fault::Crash => Target::All,
        _ => Target::Server(1 + random.draw() % servers),
    }
}

/// One server alone has no network that a fault could disturb but the one to its clients.
fn network(random: &mut Random, servers: u64) -> Fault {
    if servers == 1 {
        return Fault::HoldAll;
    }
    match random.below(8) {
        0 => Fault::Hold,
        1 => Fault::HoldAll,
        2 | 3 => Fault::Cut,
        4 => Fault::Deaf,
        5 => Fault::Mute,
        6 => Fault::Distant(Duration::from_millis(between(random, DISTANT_MS))),
        _ => Fault::Lossy(between(random, LOST_PER_MILLE)),
    }
}

fn machine(random: &mut Random, _servers: u64) -> Fault {
    match random.below(8) {
        0..=3 => Fault::Crash,
        4 => Fault::AskTransfer,
        5 => Fault::AskSnapshot,
        6 => Fault::SlowDisk(Duration::from_millis(between(random, SLOW_SYNC_MS))),
        _ => {
            let by = i64::try_from(random.draw() % (2 * WRONG_CLOCK_MS)).unwrap_or_default();
            Fault::WrongClock(by - WRONG_CLOCK_MS.cast_signed())
        }
    }
}

fn between(random: &mut Random, (from, to): (u64, u64)) -> u64 {
    from + random.draw() % (to - from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_faults_and_each_ends_before_the_quiet() {
        let duration = Duration::from_secs(20);
        for seed in 0..50 {
            let rows = draw(seed, 3, duration);
            assert_eq!(rows, draw(seed, 3, duration));
            for row in &rows {
                assert!(!row.is_empty());
                assert!(row.iter().all(|step| step.at < step.until && step.until <= duration - Duration::from_secs(2)));
                assert!(row.windows(2).all(|pair| pair[0].until < pair[1].at));
            }
        }
        assert_ne!(draw(1, 3, duration), draw(2, 3, duration));
    }
}
