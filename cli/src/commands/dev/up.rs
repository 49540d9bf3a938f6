//! `bossctl dev up`: starts the processes, waits until the cluster works, stays until Ctrl-C.

use std::{collections::HashMap, time::Duration};

use boss_base::clock::{Clock, SystemClock};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CONTEXT, example, open_or_create, ready, stopped_text};
use crate::{
    args::{self, Global},
    context::Contexts,
    dev::{self, Binaries, Local},
    failure::{Exit, Failure, chain},
    provision::Cluster,
    session::{self, Session},
    terminal,
};

/// How long a process that died stays away: long enough to watch the others go on.
const RESTART_PAUSE: Duration = Duration::from_secs(5);
/// Of one process, until it counts as one that cannot run.
const RESTARTS_MAX: usize = 5;
/// With this code a server ends that is no member any more.
const REMOVED: i32 = 3;

pub(super) async fn run(args: &args::Up, global: &Global) -> Result<Exit, Failure> {
    let started = SystemClock.monotonic();
    let binaries = Binaries::find()?;
    let (cluster, fresh, lock) = open_or_create(&args.shape)?;
    cluster.renew_admin_token()?;
    let mut interrupts = Interrupts::listen()?;
    terminal::note(&format!("starting cluster {} in {}", cluster.plan().cluster_id, cluster.directory().display()));
    let mut local = Local::start(cluster, &binaries, fresh).await?;
    if let Some(names) = Some(local.taken_over().join(", ")).filter(|names| !names.is_empty()) {
        terminal::note(&format!("{names} ran already"));
    }
    let prepared = tokio::select! {
        () = interrupts.next() => Err(Failure::new(Exit::Interrupted, "the local cluster", "interrupted while starting")),
        prepared = prepare(&mut local, args, global, started) => prepared,
    };
    if let Err(failure) = prepared {
        terminal::note(&stop(local, &mut interrupts).await);
        return Err(failure);
    }
    drop(lock);
    if args.detach {
        let down = dev::command_line("down", local.cluster().directory());
        terminal::note(&format!("it goes on running; stop it with: {down}"));
        return Ok(Exit::Ok);
    }
    stay(local, interrupts, &binaries).await
}

/// Everything between the start of the processes and a cluster that is worth using.
async fn prepare(local: &mut Local, args: &args::Up, global: &Global, started: Duration) -> Result<(), Failure> {
    let session = Session::open(&Global {
        config: Some(local.cluster().context_path()),
        context: None,
        server: Vec::new(),
        ..global.clone()
    })?;
    ready::wait(local, &session, args.ready_timeout).await?;
    let took = SystemClock.monotonic().saturating_sub(started);
    let plan = local.cluster().plan();
    terminal::note(&format!(
        "ready after {:.1} s: {} servers, {} nodes",
        took.as_secs_f64(),
        plan.servers.len(),
        plan.nodes.len()
    ));
    merge_context(local.cluster(), args, global);
    match &args.example {
        Some(file) => example::run(file, local, &session, started).await,
        None => Ok(()),
    }
}

/// Without the context the cluster still works, so a user's file that cannot be changed is only worth a note.
fn merge_context(cluster: &Cluster, args: &args::Up, global: &Global) {
    let own = cluster.context_path();
    if args.no_context {
        terminal::note(&format!("use it with: bossctl --config {} ...", own.display()));
        return;
    }
    match try_merge(cluster, global) {
        Ok(()) => terminal::note(&format!("bossctl now uses context {CONTEXT}")),
        Err(failure) => {
            terminal::note(&format!(
                "{failure}\n  the cluster can be used with: bossctl --config {} ...",
                own.display()
            ));
        }
    }
}

fn try_merge(cluster: &Cluster, global: &Global) -> Result<(), Failure> {
    let path = session::contexts_path(global)?;
    let mut contexts = Contexts::load(&path)?.unwrap_or_default();
    let own = Contexts::load(&cluster.context_path())?.unwrap_or_default();
    let before = contexts.clone();
    contexts.contexts.extend(own.contexts);
    contexts.current = Some(CONTEXT.to_owned());
    if contexts != before {
        contexts.save(&path)?;
    }
    Ok(())
}

async fn stay(mut local: Local, mut interrupts: Interrupts, binaries: &Binaries) -> Result<Exit, Failure> {
    terminal::note("running until Ctrl-C");
    let ended = tokio::select! {
        () = interrupts.next() => Ok(Exit::Ok),
        ended = watch_over(&mut local, binaries) => ended,
    };
    terminal::note("stopping");
    terminal::note(&stop(local, &mut interrupts).await);
    ended
}

/// Starts again what dies, until something does not stay up.
async fn watch_over(local: &mut Local, binaries: &Binaries) -> Result<Exit, Failure> {
    let mut deaths = HashMap::<String, usize>::new();
    loop {
        let died = local.died().await;
        terminal::note(&chain(&died));
        let dev::Error::Died { name, status, .. } = died else { return Ok(Exit::Failed) };
        let count = deaths.entry(name.clone()).or_default();
        *count += 1;
        match next_step(status.and_then(|status| status.code()), *count) {
            NextStep::LeaveOut => {
                terminal::note(&format!("the others go on without {name}"));
                local.leave_out(&name)?;
            }
            NextStep::StartAgain => {
                let pause = RESTART_PAUSE.as_secs();
                terminal::note(&format!("the others go on; {name} is started again in {pause} s"));
                tokio::time::sleep(RESTART_PAUSE).await;
                local.start_again(&name, binaries)?;
                terminal::note(&format!("{name} runs again"));
            }
            NextStep::StopAll => {
                terminal::note(&format!("{name} has ended {count} times"));
                return Ok(Exit::Failed);
            }
        }
    }
}

/// What to do about a process that has ended though nobody stopped it.
#[derive(Debug, PartialEq, Eq)]
enum NextStep {
    StartAgain,
    LeaveOut,
    StopAll,
}

/// A cluster lives on without one of its processes, which is what people try out first; one that never stays up is
/// not worth a cluster that seems to run.
fn next_step(code: Option<i32>, deaths: usize) -> NextStep {
    match (code, deaths) {
        (Some(REMOVED), _) => NextStep::LeaveOut,
        (_, 0..=RESTARTS_MAX) => NextStep::StartAgain,
        _ => NextStep::StopAll,
    }
}

/// Stops everything in its order; another Ctrl-C ends everything at once.
async fn stop(local: Local, interrupts: &mut Interrupts) -> String {
    match local.stop(interrupts.next()).await {
        Ok(stopped) => stopped_text(&stopped),
        Err(error) => Failure::from(error).to_string(),
    }
}

/// Ctrl-C, SIGTERM, and the end of the terminal.
struct Interrupts([Signal; 3]);

impl Interrupts {
    fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::new(Exit::Failed, "cannot listen for signals", error));
        Ok(Self([listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dies_is_started_again_but_not_for_ever_and_not_when_removed() {
        assert_eq!(next_step(None, 1), NextStep::StartAgain);
        assert_eq!(next_step(Some(1), RESTARTS_MAX), NextStep::StartAgain);
        assert_eq!(next_step(Some(1), RESTARTS_MAX + 1), NextStep::StopAll);
        assert_eq!(next_step(Some(REMOVED), 1), NextStep::LeaveOut);
    }
}
