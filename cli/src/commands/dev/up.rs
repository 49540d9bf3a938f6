//! `bossctl dev up`: starts the processes, waits until the cluster works, stays until Ctrl-C.

use std::time::Duration;

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
    stay(local, interrupts).await
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

async fn stay(mut local: Local, mut interrupts: Interrupts) -> Result<Exit, Failure> {
    terminal::note("running until Ctrl-C");
    let died = tokio::select! {
        () = interrupts.next() => None,
        died = local.died() => Some(died),
    };
    match died {
        None => {
            terminal::note("stopping");
            let stopped = stop(local, &mut interrupts).await;
            terminal::note(&stopped);
            Ok(Exit::Ok)
        }
        Some(died) => {
            terminal::note(&format!("{}\nstopping the others", chain(&died)));
            let stopped = stop(local, &mut interrupts).await;
            terminal::note(&stopped);
            Ok(Exit::Failed)
        }
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
