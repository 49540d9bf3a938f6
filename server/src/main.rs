//! boss-server: reads its configuration, builds the server, runs it, stops it. Exit codes: 0 after a clean stop, 1 when
//! it cannot run, 2 when it was configured wrongly, 3 when the cluster knows it no more, 4 when it is to be started again
//! with a state that it has fetched, and could not do so itself.

use std::{error::Error, io::Write, process::ExitCode, sync::Arc};

use boss_base::{bugs, clock::SystemClock, open_files, signals, tasks::Tasks, telemetry};
use boss_proto::limits::CONNECTIONS_MAX;
use boss_server::{
    app::{App, Environment, RunError},
    config::{Args, Config},
};
use clap::Parser;

/// What openraft warns of is a peer that is away, many times a second; the server says that once, in its own words.
const LOG_FILTER: &str = "info,h2=warn,openraft=warn,openraft::replication=error,openraft::engine=error,\
                          openraft::core::heartbeat=error,openraft::core::raft_core=error";
/// A write makes and drops hundreds of small things, and often on another thread than the one that made them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const FAILED: u8 = 1;
const MISCONFIGURED: u8 = 2;
const EXPELLED: u8 = 3;
const RESTART: u8 = 4;

fn main() -> ExitCode {
    if let Err(refused) = bugs::check() {
        return last_words([format!("boss-server: {refused}")], MISCONFIGURED);
    }
    let config = match Config::load(&Args::parse()) {
        Ok(config) => config,
        Err(problems) => {
            let lines = problems.iter().map(|problem| format!("boss-server: {problem}"));
            return last_words(lines, MISCONFIGURED);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match (telemetry::init(config.log_format, LOG_FILTER), runtime) {
        (Ok(()), Ok(runtime)) => runtime.block_on(run(config)),
        (Err(error), _) => last_words([format!("boss-server: {}", chain(&error))], FAILED),
        (_, Err(error)) => last_words([format!("boss-server: {}", chain(&error))], FAILED),
    }
}

async fn run(config: Config) -> ExitCode {
    if let Some(files) = open_files::allow_all().filter(|files| *files < CONNECTIONS_MAX as u64) {
        tracing::warn!(files, CONNECTIONS_MAX, "the limit of open files is lower than that of connections: raise it");
    }
    let signals_tasks = Tasks::new();
    if let Err(error) = signals::shutdown(&signals_tasks) {
        return last_words([format!("boss-server: {}", chain(&error))], FAILED);
    }
    let environment = Environment::new(Arc::new(SystemClock), telemetry::init_metrics().ok());
    let app = match App::build(config, environment).await {
        Ok(app) => app,
        Err(error) => {
            let code = if error.is_configuration() { MISCONFIGURED } else { FAILED };
            return last_words([format!("boss-server: {}", chain(&error))], code);
        }
    };
    match app.run(signals_tasks.token()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(RunError::Restart(reason)) => start_anew(&reason),
        Err(error) => {
            let code = if matches!(error, RunError::Expelled(_)) { EXPELLED } else { FAILED };
            last_words([format!("boss-server: {}", chain(&error))], code)
        }
    }
}

/// Everything is stopped and on disk: the same process becomes a new server. Where that cannot be, a supervisor must
/// start it.
fn start_anew(reason: &str) -> ExitCode {
    use std::os::unix::process::CommandExt;
    let failed = match std::env::current_exe() {
        Ok(program) => std::process::Command::new(program).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    };
    last_words([format!("boss-server: {reason}; start it again, for it could not do so itself: {failed}")], RESTART)
}

fn last_words(lines: impl IntoIterator<Item = String>, code: u8) -> ExitCode {
    for line in lines {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    ExitCode::from(code)
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
