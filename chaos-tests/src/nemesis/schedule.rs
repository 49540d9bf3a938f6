//! Which faults a sprint has, and when: the same seed and options always give the same plan. Knows no cluster.

use std::collections::BTreeSet;

use super::{
    family::Family,
    fault::{Around, Away, Claim, DiskFault, Fault, Target},
};
use crate::{
    checkers::generate::Random,
    clock::Wrong,
    net::{Shape, Waiting},
};

/// Faults that overlap at any time.
const AT_ONCE: usize = 2;
/// Tries to place a fault before the plan is called full.
const TRIES: usize = 64;
/// A fault lasts at least so long: an election of the standard profile, and something of what comes after.
const SHORTEST_MS: u64 = 1_500;
/// And at most so long.
const LONGEST_MS: u64 = 4_000;
/// Between an end of something and the beginning of what finds a leader, so that there is one.
const SETTLE_MS: u64 = 1_500;

/// What a plan is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Servers at the start.
    pub servers: u64,
    /// Nodes.
    pub nodes: usize,
    /// Which faults may come.
    pub families: Vec<Family>,
    /// No fault before that, so that something is known of quiet times, in milliseconds.
    pub from_ms: u64,
    /// All are over by then.
    pub until_ms: u64,
}

/// A fault with its time, in milliseconds since the start of the sprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When it begins.
    pub at_ms: u64,
    /// When it ends.
    pub until_ms: u64,
    /// What it is.
    pub fault: Fault,
}

/// The faults in the order in which they begin. Each family of the plan comes at least once if there is room.
#[must_use]
pub fn plan(seed: u64, plan: &Plan) -> Vec<Step> {
    let mut random = Random(seed);
    let mut steps: Vec<Step> = Vec::new();
    let mut families = shuffled(&plan.families, &mut random);
    if families.is_empty() {
        return steps;
    }
    let mut turn = 0;
    for _ in 0..TRIES {
        if turn == families.len() {
            families = shuffled(&families, &mut random);
            turn = 0;
        }
        let Some(fault) = draw(families[turn], plan, &mut random) else {
            turn += 1;
            continue;
        };
        if let Some(step) = place(fault, plan, &steps, &mut random) {
            steps.push(step);
            turn += 1;
        }
    }
    steps.sort_by_key(|step| (step.at_ms, step.until_ms));
    steps
}

fn shuffled(families: &[Family], random: &mut Random) -> Vec<Family> {
    let mut families = families.to_vec();
    for at in (1..families.len()).rev() {
        families.swap(at, random.below(at + 1));
    }
    families
}

fn draw(family: Family, plan: &Plan, random: &mut Random) -> Option<Fault> {
    let any = |random: &mut Random| 1 + random.draw() % plan.servers;
    let target = |random: &mut Random| match random.below(5) {
        0..2 => Target::Leader,
        2..4 => Target::One(1 + random.draw() % plan.servers),
        _ => Target::All,
    };
    Some(match family {
        Family::Kill => Fault::Kill(target(random)),
        Family::Pause => Fault::Pause(target(random)),
        Family::Partition if plan.servers < 2 => return None,
        Family::Partition => partition(plan.servers, random),
        Family::Loss => Fault::Loss([20, 100, 300][random.below(3)]),
        Family::Delay | Family::Reorder if plan.servers < 2 => return None,
        Family::Delay => Fault::Wait(waiting(false, random), target(random)),
        Family::Reorder => Fault::Wait(waiting(true, random), target(random)),
        Family::Bandwidth => Fault::Bandwidth(any(random), [256, 1_024, 4_096][random.below(3)]),
        Family::DiskFull => Fault::Disk(DiskFault::Full, target(random)),
        Family::DiskLoss if random.below(2) == 0 => Fault::Disk(DiskFault::Lose, target(random)),
        Family::DiskLoss => Fault::Disk(DiskFault::Tear(random.draw()), target(random)),
        // A bit that is wrong everywhere is another bit: only a minority may have them.
        Family::DiskFlip if plan.servers < 3 => return None,
        Family::DiskFlip => Fault::Disk(DiskFault::Flip(random.draw()), Target::One(any(random))),
        Family::DiskError => Fault::Disk(DiskFault::FailSync { drops: random.below(2) == 0 }, target(random)),
        Family::DiskSlow => Fault::Disk(DiskFault::Slow([20, 100, 400][random.below(3)]), target(random)),
        Family::DiskReadOnly => Fault::Disk(DiskFault::ReadOnly, target(random)),
        Family::Clock => clock(target(random), random),
        Family::Starve => Fault::Starve(target(random), [50, 100, 200][random.below(3)]),
        Family::Transfer if plan.servers < 2 => return None,
        Family::Transfer => Fault::Transfer,
        Family::Membership => Fault::Join,
        // Without one server the others must still be a majority.
        Family::Snapshot if plan.servers < 3 => return None,
        Family::Snapshot => Fault::Behind([Away::Killed, Away::Paused, Away::CutOff][random.below(3)], any(random)),
        Family::Freeze if plan.nodes > 0 && random.below(2) == 0 => Fault::FreezeNode(random.below(plan.nodes)),
        Family::Freeze => Fault::Freeze(target(random)),
        Family::Agent | Family::AgentState if plan.nodes == 0 => return None,
        Family::Agent => agent(random.below(plan.nodes), random),
        Family::AgentState => Fault::LoseAgentState(random.below(plan.nodes)),
    })
}

/// Up to what an election of the standard profile bears, so that some of them bring elections and some do not.
fn waiting(reorder: bool, random: &mut Random) -> Waiting {
    Waiting { delay_ms: [0, 20, 100][random.below(3)], jitter_ms: [20, 100, 300][random.below(3)], reorder }
}

/// What no clock of a majority may be: tokens of clients are good from when they were made on.
fn clock(target: Target, random: &mut Random) -> Fault {
    let side = [1, -1][random.below(2)];
    let jumps: &[i64] = if target == Target::All { &[1_000, 4_000] } else { &[4_000, 60_000, 280_000, 3_000_000] };
    let wrong = match random.below(3) {
        0 => Wrong { offset_ms: 0, per_million: side * [10_000, 200_000][random.below(2)] },
        _ => Wrong { offset_ms: side * jumps[random.below(jumps.len())], per_million: 0 },
    };
    Fault::Clock(wrong, target)
}

fn agent(index: usize, random: &mut Random) -> Fault {
    [Fault::KillAgent, Fault::PauseAgent, Fault::TwinAgent][random.below(3)](index)
}

fn partition(servers: u64, random: &mut Random) -> Fault {
    let around = |random: &mut Random| [Around::Isolate, Around::Alone, Around::Deaf, Around::Mute][random.below(4)];
    let one = 1 + random.draw() % servers;
    match random.below(6) {
        0..2 => Fault::CutLeader(around(random)),
        2 => Fault::Cut(around(random).shape(one)),
        3 => Fault::Cut(minority(servers, one)),
        4 if servers >= 3 => Fault::Cut(Shape::Bridge(one)),
        5 if servers >= 5 => Fault::Cut(Shape::Ring),
        _ => Fault::Cut(Shape::Isolate(one)),
    }
}

/// The largest minority that begins with this server.
fn minority(servers: u64, first: u64) -> Shape {
    let count = (servers - 1) / 2;
    let mut half: Vec<u64> = (0..count.max(1)).map(|step| (first - 1 + step) % servers + 1).collect();
    half.sort_unstable();
    Shape::Halves(half)
}

/// A time for it at which nothing else needs the same and not too much is going on.
fn place(fault: Fault, plan: &Plan, steps: &[Step], random: &mut Random) -> Option<Step> {
    let lasts = SHORTEST_MS + random.draw() % (LONGEST_MS - SHORTEST_MS);
    let latest = plan.until_ms.checked_sub(lasts)?.checked_sub(plan.from_ms)?;
    let at_ms = plan.from_ms + random.draw() % (latest + 1);
    let step = Step { at_ms, until_ms: at_ms + lasts, fault };
    let beside: Vec<&Step> = steps.iter().filter(|other| overlap(other, &step)).collect();
    let claims = step.fault.claims(plan.servers);
    let free = steps.iter().all(|other| !collide(other, &step, &claims, plan.servers));
    (free && beside.len() < AT_ONCE).then_some(step)
}

fn overlap(one: &Step, other: &Step) -> bool {
    one.at_ms < other.until_ms && other.at_ms < one.until_ms
}

/// Whether both need the same at the same time; what needs to know the leader has a calm moment before it, too.
fn collide(other: &Step, step: &Step, claims: &BTreeSet<Claim>, servers: u64) -> bool {
    let others = other.fault.claims(servers);
    let same = !others.is_disjoint(claims);
    let finds_leader = claims.contains(&Claim::Leadership) || others.contains(&Claim::Leadership);
    let disturbs = |claims: &BTreeSet<Claim>| claims.iter().any(|claim| disturbs_leader(*claim));
    let near = other.at_ms < step.until_ms + SETTLE_MS && step.at_ms < other.until_ms + SETTLE_MS;
    (same && near) || (finds_leader && disturbs(claims) && disturbs(&others) && near)
}

/// Whether a fault with it can leave a cluster without a leader for a while.
fn disturbs_leader(claim: Claim) -> bool {
    match claim {
        Claim::Process(_) | Claim::Links | Claim::Loss | Claim::Leadership | Claim::Disk(_) => true,
        Claim::Processor(_) | Claim::Bandwidth(_) | Claim::Wire(_) | Claim::Clock(_) => true,
        Claim::Agent(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(families: &[Family]) -> Plan {
        Plan { servers: 5, nodes: 2, families: families.to_vec(), from_ms: 1_500, until_ms: 11_000 }
    }

    #[test]
    fn a_seed_always_gives_the_same_plan_and_another_one_another() {
        let all = wanted(&Family::ALL);
        assert_eq!(plan(7, &all), plan(7, &all));
        let different: BTreeSet<String> = (0..50).map(|seed| format!("{:?}", plan(seed, &all))).collect();
        assert_eq!(different.len(), 50);
    }

    #[test]
    fn faults_keep_to_their_time_and_no_two_need_the_same_at_once() {
        for seed in 0..500 {
            let steps = plan(seed, &wanted(&Family::ALL));
            assert!(!steps.is_empty(), "seed {seed}");
            for (at, step) in steps.iter().enumerate() {
                assert!(step.at_ms >= 1_500 && step.until_ms <= 11_000 && step.at_ms < step.until_ms, "{step:?}");
                let others = steps.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other);
                let beside: Vec<&Step> = others.filter(|other| overlap(step, other)).collect();
                for other in beside {
                    assert!(
                        step.fault.claims(5).is_disjoint(&other.fault.claims(5)),
                        "seed {seed}: {step:?} {other:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_family_comes_up_and_faults_overlap_in_some_plan() {
        for family in Family::ALL {
            let found = (0..50).any(|seed| !plan(seed, &wanted(&[family])).is_empty());
            assert!(found, "{family:?} never comes");
            assert_eq!(Family::named(family.name()), Some(family));
        }
        let overlapping = (0..50).filter(|seed| {
            let steps = plan(*seed, &wanted(&Family::ALL));
            steps.windows(2).any(|pair| overlap(&pair[0], &pair[1]))
        });
        assert!(overlapping.count() > 25, "faults come one after the other only");
    }

    #[test]
    fn what_needs_more_servers_or_nodes_than_there_are_does_not_come() {
        let small = Plan { servers: 1, nodes: 0, ..wanted(&Family::ALL) };
        for seed in 0..100 {
            for step in plan(seed, &small) {
                let is_cluster = matches!(
                    step.fault,
                    Fault::Cut(_) | Fault::CutLeader(_) | Fault::Transfer | Fault::Wait(..) | Fault::Behind(..)
                );
                let is_node = step.fault.claims(1).iter().any(|claim| matches!(claim, Claim::Agent(_)));
                assert!(!is_cluster && !is_node, "{step:?}");
            }
        }
        assert!(plan(1, &wanted(&[])).is_empty());
    }
}
