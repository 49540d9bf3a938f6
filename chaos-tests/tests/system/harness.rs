//! The harness keeps its own promise: nothing outlives a test, also not one that was killed.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use boss_chaos_tests::{
    binaries,
    cluster::or_fail,
    proc,
    process::{Exit, Process},
};
use nix::sys::signal::Signal;

#[tokio::test]
async fn the_janitor_ends_the_processes_of_a_run_whose_test_is_gone() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let left_behind = Process::spawn(Command::new("sleep").arg("310").env(proc::RUN_VARIABLE, folder.path()));
    let left_behind = left_behind.expect("sleep starts");
    // Its standard input ends at once, as if the test had died.
    let program = binaries::find("boss-janitor").unwrap_or_else(|error| panic!("{error}"));
    let janitor = Process::spawn(Command::new(program).arg(folder.path()).stdin(Stdio::null()));
    assert_eq!(or_fail(janitor.expect("it is built").wait(Duration::from_secs(10)).await), Exit::Code(0));
    assert_eq!(or_fail(left_behind.wait(Duration::from_secs(10)).await), Exit::Signal(Signal::SIGKILL));
}
