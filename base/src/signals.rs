//! Signals that end a process: the first asks, the second insists. Knows nothing of what stops.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::tasks::{OnExit, Tasks};

/// What a shell reports for a process that Ctrl-C ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Takes SIGINT and SIGTERM from now on: the first cancels the token of `tasks`, the second ends the process
/// at once with exit code 130. Call it inside the runtime, before anything that may wait.
pub fn shutdown(tasks: &Tasks) -> io::Result<()> {
    let listener = Listener::install()?;
    let token = tasks.token();
    // Detached from the group that it stops: it must outlive the stop to see the second signal.
    tasks.spawn_detached("signals", OnExit::Log, listener.run(token));
    Ok(())
}

struct Listener {
    interrupt: Signal,
    terminate: Signal,
}

impl Listener {
    fn install() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn run(mut self, token: CancellationToken) {
        let name = self.next().await;
        tracing::info!(signal = name, "stopping; a second signal ends the process at once");
        token.cancel();
        let name = self.next().await;
        tracing::warn!(signal = name, "second signal, leaving at once");
        std::process::exit(EXIT_INTERRUPTED);
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
