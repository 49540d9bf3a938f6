//! boss-node: the agent, and the two small processes that it is made of besides.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use boss_base::{
    bugs,
    clock::SystemClock,
    telemetry,
    tls::{Identity, renewal},
};
use boss_node::{
    agent::{self, Start},
    config::{Args, Config},
    identity, launcher, monitor,
    state_dir::StateDir,
};
use clap::Parser;

/// Bad configuration or arguments.
const EXIT_BAD_CONFIG: u8 = 2;

fn main() -> ExitCode {
    // Before anything else, and without the command line parser: these two must stay small and single-threaded.
    let mut args = env::args_os().skip(1);
    match args.next().as_deref().and_then(|first| first.to_str()) {
        Some("launcher") => return launcher::run(),
        Some("monitor") => {
            return args.nth(1).map_or(ExitCode::from(EXIT_BAD_CONFIG), |dir| monitor::run(&PathBuf::from(dir)));
        }
        _ => {}
    }
    if let Err(refused) = bugs::check() {
        return refuse(&[refused.to_string()]);
    }
    let start = match prepare(&Args::parse()) {
        Ok(start) => start,
        Err(problems) => return refuse(&problems),
    };
    match run(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the agent failed");
            ExitCode::FAILURE
        }
    }
}

/// All that must happen while there is one thread only.
fn prepare(args: &Args) -> Result<Start, Vec<String>> {
    let config = Config::load(args).map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let one = |problem: String| vec![problem];
    telemetry::init(config.log_format, "info").map_err(|error| one(error.to_string()))?;
    renewal::recover(&config.tls).map_err(|error| one(format!("tls: a renewal was cut off: {error}")))?;
    let tls = Identity::load(&config.tls).map_err(|error| one(format!("tls: {error}")))?;
    let cluster_id =
        identity::check(tls.certificate().as_deref(), &config.name).map_err(|error| one(error.to_string()))?;
    let state = StateDir::open(&config.state_dir, &cluster_id, &config.name).map_err(|error| one(error.to_string()))?;
    let lock = state.share_lock().map_err(|error| one(error.to_string()))?;
    let launcher = launcher::start(Path::new("/proc/self/exe"), lock)
        .map_err(|error| one(format!("cannot start the launcher: {error}")))?;
    let sandboxes = state.sandboxes();
    Ok(Start { config, cluster_id, sandboxes, launcher, clock: Arc::new(SystemClock), state })
}

fn run(start: Start) -> Result<(), Box<dyn std::error::Error>> {
    // Two workers: one may be in a file system call while the other goes on.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .thread_name("boss-node")
        .enable_all()
        .build()?;
    Ok(runtime.block_on(agent::run(start))?)
}

#[expect(clippy::print_stderr, reason = "there may be no log yet")]
fn refuse(problems: &[String]) -> ExitCode {
    eprintln!("boss-node: cannot start:");
    for problem in problems {
        eprintln!("  {problem}");
    }
    ExitCode::from(EXIT_BAD_CONFIG)
}
