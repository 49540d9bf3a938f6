//! One verification: clients of every workload at each server, a watch through each, and the judgement of what they were
//! told. Leaves nothing behind. Disturbs nothing itself: whoever calls may.

mod latency;
mod scratch;

use std::{sync::Arc, time::Duration};

use boss_client::Client;
use boss_proto::object::Resource;
use futures_util::future::{LocalBoxFuture, join_all};
use tokio::time::{Instant, sleep};

pub use self::{
    latency::Latencies,
    scratch::{BadStart, Scratch},
};
use crate::{
    api::Api,
    checkers::{
        coverage::{self, Coverage, Wanted},
        judged::{self, Judged},
        watches::Told,
    },
    history::{Call, Event, Recorder, Reply},
    records::record,
    workload::{
        Stop,
        following::{self, until_over},
        members::{self, Members},
        pairs::Pairs,
        register::Registers,
    },
};

/// Few, so that clients meet.
const REGISTERS: usize = 8;
/// Answers in each part of a run; fewer say nothing.
const ANSWERED_EACH: usize = 30;
/// What clients were told is kept in memory, some 200 bytes for each: a run ends when so many were answered.
const ANSWERED_MAX: usize = 2_000_000;
/// How often a run looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// The object that ends the watches.
const END: &str = "end-of-the-run";

/// The cluster, as a caller reaches it.
#[derive(Clone)]
pub struct Target {
    /// One client of each server.
    pub servers: Vec<Api>,
    /// As many, each of all servers and of another one first.
    pub clients: Vec<Client>,
}

/// How much is asked, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Where all choices come from.
    pub seed: u64,
    /// From the first call to the last.
    pub duration: Duration,
    /// Clients of registers; there are two of a set and one of pairs beside them.
    pub clients: u64,
    /// Operations in a second of all clients together; none for as many as there are.
    pub rate: Option<f64>,
    /// Faults that whoever calls means to put in force.
    pub faults: usize,
}

/// What came out.
#[derive(Debug, Clone)]
pub struct Report {
    /// One for each promise.
    pub judged: Vec<Judged>,
    /// What was seen at all.
    pub coverage: Coverage,
    /// The whole history.
    pub events: Vec<Event>,
}

impl Report {
    /// How long answers took.
    #[must_use]
    pub fn latencies(&self) -> Latencies {
        Latencies::of(&self.events)
    }

    /// The worst of all verdicts.
    #[must_use]
    pub fn verdict(&self) -> crate::checkers::Verdict {
        let all = self.judged.iter().map(|judged| judged.verdict.clone());
        all.reduce(crate::checkers::Verdict::and)
            .unwrap_or_else(|| crate::checkers::Verdict::Unknown("nothing was judged".to_owned()))
    }
}

/// Verifies in scratch namespaces, and ends early when `stop` is set. `disturb` may do what it likes meanwhile, and the run
/// waits for it.
pub async fn run(
    target: &Target,
    scratch: &Scratch,
    plan: &Plan,
    (recorder, stop): (&Arc<Recorder>, &Stop),
    disturb: impl Future<Output = ()>,
) -> Result<Report, BadStart> {
    let start = scratch.prepare(target).await?;
    let over = Stop::default();
    let follow = |client| until_over(&over, following::registers(client, &scratch.registers, start, END));
    let watching = join_all(target.clients.iter().map(follow));
    let working = async {
        let conducting = async {
            tokio::join!(disturb, last_for(plan.duration, recorder, stop));
            stop.set();
        };
        tokio::join!(ask(target, scratch, plan, (recorder, stop)), conducting);
        let ended = look_back(target, scratch, recorder).await;
        over.set();
        ended
    };
    let (watches, ended) = Box::pin(async { tokio::join!(watching, working) }).await;
    let events = recorder.events().map_err(BadStart::History)?;
    let judged = judge(plan, &events, &watches, ended);
    Ok(Report { judged, coverage: coverage::count(&events), events })
}

async fn last_for(duration: Duration, recorder: &Recorder, stop: &Stop) {
    let until = Instant::now() + duration;
    while !stop.is_set() && Instant::now() < until && recorder.answered() < ANSWERED_MAX {
        sleep(LOOK).await;
    }
}

async fn ask(target: &Target, scratch: &Scratch, plan: &Plan, (recorder, stop): (&Arc<Recorder>, &Stop)) {
    let servers = &target.servers[..];
    let registers = Registers::new(recorder.clone(), &scratch.registers, REGISTERS, stop.clone());
    let members = Members::new(recorder.clone(), &scratch.members, stop.clone());
    let pairs = Pairs::new(recorder.clone(), &scratch.pairs, stop.clone());
    let seed = |client: u64| plan.seed.wrapping_add(client);
    let mut all: Vec<LocalBoxFuture<'_, ()>> = Vec::new();
    for client in 0..plan.clients {
        all.push(Box::pin(registers.run(seed(client), servers)));
    }
    // Two, so that the set changes while it is listed.
    all.push(Box::pin(members.run(seed(plan.clients), servers)));
    all.push(Box::pin(members.run(seed(plan.clients + 1), servers)));
    all.push(Box::pin(pairs.run(seed(plan.clients + 2), servers)));
    join_all(all).await;
}

/// The last write, which ends the watches, and a list of all members through each server.
async fn look_back(target: &Target, scratch: &Scratch, recorder: &Recorder) -> Result<(), String> {
    let Some(client) = target.clients.first() else { return Err("there is no server".to_owned()) };
    let last = client.create(record(&scratch.registers, END, "x").into_object()).await;
    for api in &target.servers {
        let invocation = recorder.call(recorder.process(), Call::List);
        match members::members(api, &scratch.members).await {
            Ok((names, revision)) => invocation.reply(Reply::Members { revision, names }),
            Err(status) => invocation.fail(status.to_string()),
        }
    }
    last.map(drop).map_err(|error| format!("the last write: {error}"))
}

fn judge(
    plan: &Plan,
    events: &[Event],
    watches: &[Result<Vec<Told>, String>],
    ended: Result<(), String>,
) -> Vec<Judged> {
    let mut judged = judged::of_clients(events, watches);
    let ended = ended.map_or_else(crate::checkers::broken, |()| crate::checkers::Verdict::Valid);
    judged.push(Judged { promise: "the last write is done and told", verdict: ended });
    // A slow run on purpose sees less in each of its parts.
    let possible = plan.rate.map_or(ANSWERED_EACH, |rate| (rate * plan.duration.as_secs_f64() / 6.0) as usize);
    let wanted = Wanted { answered_each: possible.clamp(1, ANSWERED_EACH), faults: plan.faults };
    let seen = coverage::count(events);
    let verdict = if plan.faults == 0 { seen.judge_quiet(wanted) } else { seen.judge(wanted) };
    judged.push(Judged { promise: "enough was seen", verdict });
    judged
}
