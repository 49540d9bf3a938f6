//! `bossctl verify`: clients and judges against a live cluster, in scratch namespaces that are there only for it.

mod canary;
mod faults;
mod show;

use std::{path::Path, sync::Arc, time::Duration};

use boss_base::{
    clock::{Clock, SystemClock},
    pki::IssuedCert,
};
use boss_client::{Client, Config, Credentials, Source};
use boss_verify::{
    api::{Api, Credential, Seen},
    checkers::Verdict,
    history::Recorder,
    run::{self, Plan, Report, Scratch, Target},
    workload::Stop,
};
use tokio::signal::unix::{SignalKind, signal};

use self::faults::Hook;
use crate::{
    args::{self, Faults, Global},
    failure::{Exit, Failure},
    session::Session,
    terminal,
};

/// Longer runs are several: what clients were told is kept in memory.
const DURATION_MAX: Duration = Duration::from_secs(10 * 60);
/// Of a canary that does not say.
const CANARY_RATE: f64 = 5.0;
/// What scratch namespaces are called, before a number.
const PREFIX: &str = "boss-verify";

/// Ctrl-C and SIGTERM end the clients; judgement and clean-up follow all the same.
pub(super) async fn run(args: &args::Verify, global: &Global) -> Result<Exit, Failure> {
    let global = &Global { server: [&args.endpoints[..], &global.server].concat(), ..global.clone() };
    check(args).map_err(|bad| Failure::bad_input("cannot verify that", bad))?;
    let session = Session::open(global)?;
    if args.endpoints.is_empty() {
        session.learn_servers().await;
    }
    let target = target(&session)?;
    Scratch::remove_leftovers(&session.client, PREFIX, session.now()).await;
    let stop = Stop::default();
    let interrupted = interrupt(&stop)?;
    let exit = match args.canary {
        Some(address) => canary::run(args, &session, &target, address, &stop).await?,
        None => once(args, &session, &target, &stop).await?,
    };
    let was_interrupted = interrupted.is_finished();
    interrupted.abort();
    Ok(if was_interrupted { Exit::Interrupted } else { exit })
}

fn check(args: &args::Verify) -> Result<(), String> {
    if args.duration > DURATION_MAX || args.duration < Duration::from_secs(1) {
        return Err(format!("--duration must be from 1 s to {} s", DURATION_MAX.as_secs()));
    }
    Ok(())
}

async fn once(args: &args::Verify, session: &Session, target: &Target, stop: &Stop) -> Result<Exit, Failure> {
    let recorder = match &args.history {
        Some(path) => Recorder::create(path).map_err(|error| unwritable(path, &error))?,
        None => Recorder::in_memory(),
    };
    let seed = args.seed.unwrap_or_else(|| SystemClock.random_u64());
    let hook = args.hook.clone().filter(|_| args.faults != Faults::None);
    let servers = session.client.servers().iter().map(ToString::to_string).collect();
    let hook = hook.map(|program| Hook { program, servers, faults: args.faults });
    let faults = hook.as_ref().map_or(0, Hook::len);
    let plan = Plan { seed, duration: args.duration, clients: args.clients, rate: args.rate, faults };
    let paced = plan.rate.map_or_else(|| stop.clone(), |rate| stop.at(rate));
    let report = verify(session, target, &plan, (&Arc::new(recorder), &paced), hook).await?;
    terminal::print(&show::report(&report, &plan, args.output));
    Ok(match report.verdict() {
        Verdict::Valid => Exit::Ok,
        Verdict::Invalid(_) => Exit::Failed,
        Verdict::Unknown(_) => Exit::Unavailable,
    })
}

/// One run, with its namespaces before and after it.
async fn verify(
    session: &Session,
    target: &Target,
    plan: &Plan,
    work: (&Arc<Recorder>, &Stop),
    hook: Option<Hook>,
) -> Result<Report, Failure> {
    let scratch = Scratch::named(&format!("{PREFIX}-{:08x}", SystemClock.random_u64() >> 32));
    let disturb = async {
        if let Some(hook) = hook {
            hook.disturb(work.0, work.1, plan.duration).await;
        }
    };
    let ran = Box::pin(run::run(target, &scratch, plan, work, disturb));
    let ran = terminal::waiting("verifying", ran).await;
    let removing = scratch.remove(&session.client, session.config.deadlines.overall);
    for (name, why) in terminal::waiting("removing the objects", removing).await {
        terminal::note(&format!("namespace {name} could not be removed: {why}"));
    }
    ran.map_err(|error| match &error {
        run::BadStart::Refused(refused) => Failure::from_client("cannot make the scratch namespaces", refused),
        _ => Failure::new(Exit::Failed, "cannot verify", &error),
    })
}

/// A client of each server, and of all with each of them first.
fn target(session: &Session) -> Result<Target, Failure> {
    let servers = session.client.servers();
    let unusable = |error: &dyn std::fmt::Display| Failure::new(Exit::BadInput, "cannot use the context", error);
    let (ca, credential) = (read(&session.config.ca)?, credential(&session.config.credentials)?);
    let seen = Seen::default();
    let apis = servers.iter().map(|server| Ok(Api::new(server.as_str(), &ca, credential.clone())?.sharing(&seen)));
    let apis: Result<Vec<Api>, boss_verify::api::BadClient> = apis.collect();
    let clients = (0..servers.len()).map(|first| {
        let mut servers = servers.clone();
        servers.rotate_left(first);
        Client::connect(Config { servers, ..session.config.clone() })
    });
    let clients: Result<Vec<Client>, boss_client::Error> = clients.collect();
    Ok(Target {
        servers: apis.map_err(|error| unusable(&error))?,
        clients: clients.map_err(|error| Failure::from_client("cannot use the context", &error))?,
    })
}

fn credential(credentials: &Credentials) -> Result<Credential, Failure> {
    Ok(match credentials {
        Credentials::Anonymous => Credential::Anonymous,
        Credentials::Token(source) => Credential::Token(read(source)?.trim().to_owned()),
        Credentials::Certificate { certificate, key } => {
            let file = |path: &Path| read(&Source::File(path.to_owned()));
            Credential::Certificate(IssuedCert { cert_pem: file(certificate)?, key_pem: file(key)? })
        }
    })
}

fn read(source: &Source) -> Result<String, Failure> {
    match source {
        Source::Inline(text) => Ok(text.clone()),
        Source::File(path) => std::fs::read_to_string(path)
            .map_err(|error| Failure::bad_input("cannot use the context", format!("{}: {error}", path.display()))),
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::bad_input("cannot write the history", format!("{}: {error}", path.display()))
}

/// Sets `stop` at the first signal; finished when there was one.
fn interrupt(stop: &Stop) -> Result<tokio::task::JoinHandle<()>, Failure> {
    let handler = |kind| signal(kind).map_err(|error| Failure::new(Exit::Failed, "cannot wait for signals", error));
    let (mut int, mut term) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    let stop = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "it ends with the command, and has nothing to clean up")]
    let waiting = tokio::spawn(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
        stop.set();
    });
    Ok(waiting)
}
