//! `bossctl bench`: load from this machine, in a namespace that is there only for it.

use std::time::Duration;

use boss_base::{
    clock::{Clock, SystemClock},
    tasks::Tasks,
};
use boss_client::{Api, DeleteOptions, Error};
use boss_proto::v1;
use serde_json::json;

use crate::{
    args::{self, Answer, Global, Load},
    bench::{self, Caller, Connections, KeySpace, Pace, Plan, Stop, Summary, Target},
    failure::{Exit, Failure},
    session::Session,
    terminal,
};

/// Connections of callers who do not say.
const CONNECTIONS_DEFAULT: usize = 16;
/// Between two looks at the namespace that is going.
const GONE_POLL: Duration = Duration::from_millis(200);

/// What the user has of Ctrl-C: the namespace is removed all the same.
pub(super) async fn run(args: args::Bench, global: &Global) -> Result<Exit, Failure> {
    let plan = plan(&args);
    plan.check().map_err(|bad| Failure::bad_input("cannot measure that", bad))?;
    let session = Session::open(global)?;
    let connections = Connections::open(&session.config, plan.connections);
    let connections = connections.map_err(|error| Failure::from_client("cannot use the context", &error))?;
    let namespaces = session.client.api::<v1::Namespace>("");
    let name = format!("bench-{:08x}", SystemClock.random_u64() >> 32);
    make(&namespaces, &name).await?;
    let target =
        Target { namespace: name.as_str().into(), keys: KeySpace { len: plan.keys }, value_bytes: plan.value_bytes };
    let measured = tokio::select! {
        measured = measure(&args.load, &plan, &connections, &target) => measured.map(Some),
        _ = tokio::signal::ctrl_c() => Ok(None),
    };
    remove(&namespaces, &name, global.timeout).await;
    let Some(summary) = measured? else { return Ok(Exit::Interrupted) };
    show(&args, &plan, &summary);
    Ok(if summary.tally.latencies.total() == 0 { Exit::Failed } else { Exit::Ok })
}

fn plan(args: &args::Bench) -> Plan {
    let options = &args.options;
    let single = matches!(args.load, Load::Watch);
    Plan {
        clients: options.clients,
        connections: options.connections.unwrap_or(CONNECTIONS_DEFAULT.min(options.clients.max(1))),
        value_bytes: options.value_size,
        keys: if single { 1 } else { options.keys },
        stop: options.total.map_or(Stop::After(options.duration), Stop::Total),
        rate: options.rate,
    }
}

async fn make(namespaces: &Api<v1::Namespace>, name: &str) -> Result<(), Failure> {
    let metadata = v1::ObjectMeta { name: name.to_owned(), ..Default::default() };
    let made = namespaces.create(v1::Namespace { metadata: Some(metadata), ..Default::default() }).await;
    made.map(drop).map_err(|error| Failure::from_client(format!("cannot create namespace {name}"), &error))
}

async fn measure(load: &Load, plan: &Plan, connections: &Connections, target: &Target) -> Result<Summary, Failure> {
    let filled = terminal::waiting("filling the key space", bench::fill(connections, target)).await;
    if filled.failed() > 0 {
        return Err(Failure::new(Exit::Failed, "cannot fill the key space", filled.to_text()));
    }
    let pace = Pace { stop: plan.stop, rate: plan.rate };
    let callers = connections.callers(plan.clients);
    let target = || target.clone();
    Ok(match load {
        Load::Put => bench::drive(callers.map(|caller| bench::Put::new(caller, target())).collect(), pace).await,
        Load::Stream => {
            let tasks = Tasks::new();
            let summary = bench::drive(connections.streams(plan.clients, &target(), &tasks), pace).await;
            tasks.cancel();
            summary
        }
        Load::Txn => bench::drive(callers.map(|caller| bench::Txn::new(caller, target())).collect(), pace).await,
        Load::Get { local } => {
            let consistency = if *local { v1::Consistency::Local } else { v1::Consistency::Linearizable };
            let reader = |caller: Caller| bench::Get::new(caller, target(), consistency);
            bench::drive(callers.map(reader).collect(), pace).await
        }
        Load::List => bench::drive(callers.map(|caller| bench::List::new(caller, target())).collect(), pace).await,
        Load::Mixed { reads } => {
            bench::drive(callers.map(|caller| bench::Mixed::new(caller, target(), *reads)).collect(), pace).await
        }
        Load::Watch => watch(callers.collect(), connections, &target(), plan.stop).await?,
    })
}

async fn watch(
    callers: Vec<Caller>,
    connections: &Connections,
    target: &Target,
    stop: Stop,
) -> Result<Summary, Failure> {
    let mut feeds = Vec::with_capacity(callers.len());
    for caller in callers {
        let feed = bench::Feed::open(caller, target).await;
        feeds.push(feed.map_err(|failed| Failure::new(Exit::Failed, "cannot open a watch", failed.0))?);
    }
    let Some(writer) = connections.callers(1).next() else {
        return Err(Failure::bad_input("cannot measure that", "there is no connection"));
    };
    Ok(bench::fan_out(feeds, bench::Put::new(writer, target.clone()), stop).await)
}

/// The namespace goes with all that is in it; whoever waits for too long is told its name.
async fn remove(namespaces: &Api<v1::Namespace>, name: &str, patience: Duration) {
    let going = async {
        let mut result = namespaces.delete(name, &DeleteOptions::default()).await.map(drop);
        while result.is_ok() {
            tokio::time::sleep(GONE_POLL).await;
            result = namespaces.get(name).await.map(drop);
        }
        result
    };
    match terminal::waiting("removing the objects", tokio::time::timeout(patience, going)).await {
        Ok(Err(Error::NotFound(_))) => {}
        Ok(Err(error)) => terminal::note(&format!("namespace {name} could not be removed: {error}")),
        Ok(Ok(())) => {}
        Err(_elapsed) => terminal::note(&format!("namespace {name} is still being removed")),
    }
}

fn show(args: &args::Bench, plan: &Plan, summary: &Summary) {
    let (name, clients) = (name_of(&args.load), plan.clients);
    match args.options.output {
        Answer::Table => terminal::print(&format!(
            "{name}: {clients} clients over {} connections, {} keys, values of {} bytes\n{}",
            plan.connections,
            plan.keys,
            plan.value_bytes,
            summary.to_text()
        )),
        Answer::Json => {
            let mut value = json!({
                "load": name, "clients": clients, "connections": plan.connections,
                "keys": plan.keys, "valueBytes": plan.value_bytes, "rate": plan.rate,
            });
            if let (Some(all), serde_json::Value::Object(measured)) = (value.as_object_mut(), summary.to_json()) {
                all.extend(measured);
            }
            terminal::print(&format!("{value:#}\n"));
        }
    }
}

fn name_of(load: &Load) -> &'static str {
    match load {
        Load::Put => "put",
        Load::Stream => "stream",
        Load::Txn => "txn",
        Load::Get { local: false } => "get, linearizable",
        Load::Get { local: true } => "get, local",
        Load::List => "list",
        Load::Watch => "watch",
        Load::Mixed { .. } => "mixed",
    }
}
