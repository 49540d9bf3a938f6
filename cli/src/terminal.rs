//! What the user sees while and after a command works. Knows no command.

use std::{
    future::Future,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

/// Whoever waits longer wants to know for what.
const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// Writes to standard output. When nobody reads any more (`bossctl get pods | head -1`), there is nothing left to do
/// and nothing to complain about, so the process ends.
pub fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    if written.is_err() {
        std::process::exit(0);
    }
}

/// Writes bytes of a pod to standard output as they are.
pub fn print_bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes a line for people to standard error.
pub fn note(text: &str) {
    // Nobody is left to tell when even this fails.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Waits, and says for what when it takes longer than a second and a person looks on.
pub async fn waiting<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if !io::stderr().is_terminal() {
        return work.await;
    }
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
        return done;
    }
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        spinner.set_style(style);
    }
    spinner.set_message(what.to_owned());
    spinner.enable_steady_tick(TICK);
    let done = work.await;
    spinner.finish_and_clear();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_gives_what_was_waited_for() {
        assert_eq!(waiting("x", async { 5 }).await, 5);
    }
}
