//! Signals end a process: gently at first, at once when they come again.
//! Each test runs this very binary again as the process that gets the signals.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::tests_outside_test_module, reason = "tests")]

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use boss_base::{
    signals,
    tasks::{OnExit, Tasks},
};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn the_first_signal_asks_and_the_process_ends_by_itself() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut process = Process::start("polite_process");
        process.send(signal);
        assert_eq!(process.child.wait().unwrap().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn the_second_signal_ends_a_process_that_does_not_stop() {
    let mut process = Process::start("stubborn_process");
    process.send(Signal::INT);
    process.wait_for("stopping");
    process.send(Signal::TERM);
    assert_eq!(process.child.wait().unwrap().code(), Some(130));
}

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut process = Self { child, lines };
        process.wait_for("ready");
        process
    }

    fn wait_for(&mut self, text: &str) {
        let found = self.lines.by_ref().map_while(Result::ok).any(|line| line.contains(text));
        assert!(found, "the process ended before it said {text:?}");
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

#[tokio::test]
#[ignore = "the process that the other tests start"]
async fn polite_process() {
    let tasks = Tasks::new();
    signals::shutdown(&tasks).unwrap();
    println!("ready");
    tasks.token().cancelled().await;
    tasks.stop(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
#[ignore = "the process that the other tests start"]
async fn stubborn_process() {
    let tasks = Tasks::new();
    signals::shutdown(&tasks).unwrap();
    tasks.spawn("stubborn", OnExit::Log, std::future::pending());
    println!("ready");
    tasks.token().cancelled().await;
    println!("stopping");
    tasks.stop(Duration::from_secs(60)).await.unwrap();
}
