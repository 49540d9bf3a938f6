//! The harness keeps its own promise: nothing outlives a test, also not one that was killed.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use boss_chaos_tests::{
    binaries,
    cluster::or_fail,
    needs, proc,
    process::{Exit, Process},
    wait,
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

#[tokio::test]
async fn hosts_and_servers_of_a_sprint_that_was_killed_are_gone() {
    if !needs::are_met(&[]) {
        return;
    }
    let reports = tempfile::tempdir().expect("a folder can be made");
    let program = binaries::find("boss-chaos").unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(program);
    command.args(["sprint", "--seed", "1", "--nodes", "0", "--faults", "none", "--out"]).arg(reports.path());
    let sprint = Process::spawn(command.stdout(Stdio::null())).expect("it is built");
    let deadline = Duration::from_secs(60);
    let below = wait::until("a server of the sprint runs", deadline, async || {
        assert_eq!(sprint.exit(), None, "it goes on until it is killed");
        let below = proc::descendants(&[sprint.id().pid]);
        let runs = below.iter().any(|stat| proc::command_line(stat.id.pid).contains("boss-server --config"));
        wait::holds(runs, format!("{} processes", below.len())).map(|()| below)
    });
    let below = or_fail(below.await);
    sprint.signal(Signal::SIGKILL);
    let gone = wait::until("all of it is gone", deadline, async || {
        let left: Vec<i32> = below.iter().filter(|stat| stat.id.is_alive()).map(|stat| stat.id.pid).collect();
        wait::holds(left.is_empty(), format!("{left:?} run"))
    });
    or_fail(gone.await);
}
