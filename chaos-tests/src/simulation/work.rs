//! What the clients of a simulation do, and how it is judged. Runs on a simulated host of its own.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use boss_base::{clock::Clock, net::Network};
use boss_client::{Client, Config, Credentials, Endpoint, Source};
use boss_proto::v1;
use boss_raft::Member;
use boss_verify::{
    api::{Api, Credential},
    history::Recorder,
    run::{self, Plan, Scratch, Target},
    workload::Stop,
};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::{Judged, Options, fabric::Simulated, faults::Disturber, looking, looking::Looking, schedule::Step};
use crate::checkers::{states, terms};

/// A cluster that is not usable by then never will be.
const START: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);
/// Clients of registers.
const CLIENTS: u64 = 5;

/// Everything that the clients need.
pub(super) struct Work {
    pub(super) options: Options,
    pub(super) token: String,
    pub(super) ca_pem: String,
    pub(super) members: Vec<Member>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) disturber: Disturber,
    pub(super) rows: [Vec<Step>; 2],
    pub(super) leader: Rc<RefCell<Option<u64>>>,
}

/// What the work came to.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) judged: Vec<Judged>,
    pub(super) answered: usize,
    pub(super) state_hash: String,
}

/// From the start of the servers to the judgement.
pub(super) async fn run(work: Work) -> turmoil::Result<Done> {
    let target = target(&work)?;
    timeout(START, usable(&target.servers)).await.map_err(|_| "the cluster never became usable")?;
    let looking = Looking { samples: RefCell::default(), leader: Rc::clone(&work.leader) };
    let over = Stop::default();
    let follow = |(api, id)| looking.follow(id, api, &*work.clock, &over);
    let following = join_all(target.servers.iter().zip(1..).map(follow));
    let working = async {
        let told = verify(&work, &target).await;
        over.set();
        told
    };
    let (told, _) = Box::pin(async { tokio::join!(working, following) }).await;
    let mut report = told?;
    let states = looking::states(&target.servers).await;
    let verdict = states::check(&states, target.servers.len());
    report.judged.push(Judged { promise: "equal states at equal indexes", verdict });
    report.judged.push(Judged { promise: "a term has one leader", verdict: terms::check(&looking.samples.borrow()) });
    let state_hash = states.first().map(|state| state.hash.clone()).unwrap_or_default();
    Ok(Done { judged: report.judged, answered: report.coverage.answered(), state_hash })
}

async fn verify(work: &Work, target: &Target) -> Result<run::Report, run::BadStart> {
    let plan = Plan {
        seed: work.options.seed,
        duration: work.options.duration,
        clients: CLIENTS,
        rate: Some(work.options.rate),
        faults: work.rows.iter().map(Vec::len).sum(),
    };
    let stop = Stop::default().at(work.options.rate);
    let disturbing = work.disturber.run(&work.rows, &target.clients);
    run::run(target, &Scratch::named("simulated"), &plan, (&work.recorder, &stop), disturbing).await
}

fn target(work: &Work) -> turmoil::Result<Target> {
    let network = Network::of(Simulated);
    let mut target = Target { servers: Vec::new(), clients: Vec::new() };
    let mut addresses: Vec<&str> = work.members.iter().map(|member| member.api.as_str()).collect();
    for _ in &work.members {
        target.servers.push(Api::over(&network, addresses[0], &work.ca_pem, Credential::Token(work.token.clone()))?);
        let servers = addresses.iter().map(|address| address.parse()).collect::<Result<Vec<Endpoint>, _>>()?;
        let credentials = Credentials::Token(Source::Inline(work.token.clone()));
        let config = Config::new(servers, Source::Inline(work.ca_pem.clone()), credentials);
        let config = Config { clock: Arc::clone(&work.clock), network: network.clone(), ..config };
        target.clients.push(Client::connect(config)?);
        addresses.rotate_left(1);
    }
    Ok(target)
}

/// Until each server reads what the leader made first and last.
async fn usable(servers: &[Api]) {
    for api in servers {
        while api.get::<v1::Namespace>("", "default").await.is_err()
            || api.get::<v1::ClusterRoleBinding>("", "system:nodes").await.is_err()
        {
            sleep(LOOK).await;
        }
    }
}
