//! Real processes under real monitors: output, signals, trees, limits, crashes. Runs as root or not; what needs
//! control groups is skipped, with a word, where there are none.

#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
#![expect(clippy::print_stdout, reason = "what was skipped, and figures for whoever looks")]

#[path = "support/process_node.rs"]
mod process_node;

use std::{fs, path::Path, time::Duration};

use boss_node::{
    cgroup::{Controller, Layout},
    logs::reader::LogReader,
    runtime::{Error, Runtime, Status, process::ProcessRuntime},
    sandbox::{
        SandboxId, Spec, Values,
        files::{self, ExitKind, Running, State},
        spec::Rlimit,
    },
};
use boss_proto::intent::Reason;
use process_node::{provider, script, spec};

const GRACE: Duration = Duration::from_secs(20);

/// Every line of the sandbox's log so far.
fn lines(provider: &ProcessRuntime, id: &SandboxId) -> Vec<String> {
    let mut reader = LogReader::from_start(&provider.dir(id));
    let mut found = Vec::new();
    loop {
        let records = reader.read().unwrap();
        if records.is_empty() {
            return found;
        }
        found.extend(records.iter().map(|record| String::from_utf8_lossy(&record.content).into_owned()));
    }
}

async fn run(runtime: &ProcessRuntime, spec: &Spec) -> Running {
    runtime.prepare(spec).await.unwrap();
    runtime.start(&spec.id, &Values::default()).await.unwrap()
}

async fn run_to_end(runtime: &ProcessRuntime, spec: &Spec) -> (ExitKind, Vec<String>) {
    run(runtime, spec).await;
    let exit = runtime.wait(&spec.id).await.unwrap();
    (exit.how, lines(runtime, &spec.id))
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came true: {what}");
}

fn is_alive(pid: u32) -> bool {
    boss_node::sandbox::proc_stat::ProcStat::read(pid).unwrap().is_some_and(|stat| stat.is_alive())
}

fn state(runtime: &ProcessRuntime, id: &SandboxId) -> Option<State> {
    files::read(&runtime.dir(id), files::STATE).unwrap()
}

fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn monitor_of(pid: u32) -> u32 {
    boss_node::sandbox::proc_stat::ProcStat::read(pid).unwrap().unwrap().parent
}

#[tokio::test]
async fn output_of_both_streams_is_kept_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let (how, lines) = run_to_end(&runtime, &script("out", "echo one; echo two; printf three")).await;
    assert_eq!(how, ExitKind::Code(0));
    assert_eq!(lines, ["one", "two", "three"]);
}

#[tokio::test]
async fn none_of_a_hundred_thousand_lines_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let (how, lines) = run_to_end(&runtime, &spec("seq", "seq", &["100000"])).await;
    assert_eq!(how, ExitKind::Code(0));
    assert_eq!(lines.len(), 100_000);
    assert!(lines.iter().enumerate().all(|(index, line)| line.parse() == Ok(index + 1)));
}

#[tokio::test]
async fn a_signal_from_outside_is_the_exit() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let spec = spec("killed", "sleep", &["1000"]);
    runtime.prepare(&spec).await.unwrap();
    let running = runtime.start(&spec.id, &Values::default()).await.unwrap();
    kill(running.pid, rustix::process::Signal::KILL);
    let exit = runtime.wait(&spec.id).await.unwrap();
    assert_eq!(exit.how, ExitKind::Signal { number: 9, out_of_memory: false });
}

#[tokio::test]
async fn the_environment_is_the_specs_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let mut spec = spec("env", "env", &[]);
    spec.env.push(("GREETING".to_owned(), "hello world".to_owned()));
    let (_, mut lines) = run_to_end(&runtime, &spec).await;
    lines.sort();
    assert_eq!(lines, ["BOSS_SANDBOX_ID=env-1", "GREETING=hello world", "PATH=/usr/local/bin:/usr/bin:/bin"]);
}

#[tokio::test]
async fn the_program_has_its_own_session_and_only_three_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let text = "cut -d' ' -f1,6 /proc/$$/stat; ls /proc/$$/fd | tr '\\n' ' '; echo; grep NoNewPrivs /proc/self/status; \
                grep SigBlk /proc/self/status; grep SigIgn /proc/self/status";
    let (_, lines) = run_to_end(&runtime, &script("fds", text)).await;
    let (pid, session) = lines[0].split_once(' ').unwrap();
    assert_eq!(pid, session);
    assert_eq!(lines[1].trim(), "0 1 2");
    assert!(lines[2].ends_with('1'), "{}", lines[2]);
    for line in &lines[3..5] {
        let mask = u64::from_str_radix(line.split_whitespace().next_back().unwrap(), 16).unwrap();
        // Signals 32 and 33 belong to libc, which lets nobody change them.
        assert_eq!(mask & 0x7fff_ffff, 0, "{line}");
    }
}

/// Every file below a folder that holds a text.
fn files_with(folder: &Path, wanted: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let holds = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).contains(wanted);
    entries
        .flat_map(|path| match path.is_dir() {
            true => files_with(&path, wanted),
            false => holds(&path).then(|| path.display().to_string()).into_iter().collect(),
        })
        .collect()
}

#[tokio::test]
async fn what_is_given_is_in_the_programs_environment_and_in_no_file() {
    const CANARY: &str = "canary-c07a \"quoted\"";
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let mut spec = script(
        "given",
        "echo plain-c07a; test \"$TOKEN\" = \"$WANTED\" && echo same; env | grep -c BOSS_SANDBOX_ID=given-1; exec sleep 1006",
    );
    let values: Values = [("TOKEN", CANARY), ("WANTED", CANARY), ("BOSS_SANDBOX_ID", "other")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    spec.given = values.names().cloned().collect();
    runtime.prepare(&spec).await.unwrap();
    let running = runtime.start(&spec.id, &values).await.unwrap();
    until("its words", || lines(&runtime, &spec.id).len() >= 3).await;
    assert_eq!(lines(&runtime, &spec.id), ["plain-c07a", "same", "1"]);
    assert_ne!(files_with(dir.path(), "plain-c07a"), Vec::<String>::new(), "the search finds what is there");
    assert_eq!(files_with(dir.path(), "canary-c07a"), Vec::<String>::new());
    // Nor does the monitor hold it where others could read it.
    let monitor = monitor_of(running.pid);
    let output = fs::read_link(format!("/proc/{monitor}/fd/1")).unwrap();
    assert_eq!(output, Path::new("/dev/null"));
    for file in ["environ", "cmdline"] {
        assert!(!fs::read_to_string(format!("/proc/{monitor}/{file}")).unwrap().contains("canary-c07a"), "{file}");
    }
    runtime.stop(&spec.id, GRACE).await.unwrap();
}

#[tokio::test]
async fn a_sandbox_that_is_not_given_what_its_plan_says_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let mut spec = script("kept", "echo started");
    spec.given = vec!["TOKEN".to_owned()];
    runtime.prepare(&spec).await.unwrap();
    let Err(Error::Sandbox { reason, .. }) = runtime.start(&spec.id, &Values::default()).await else {
        panic!("it started")
    };
    assert_eq!(reason, Reason::CreateFailed);
    assert_eq!(lines(&runtime, &spec.id), Vec::<String>::new());
}

#[tokio::test]
async fn stopping_takes_the_whole_tree_also_what_left_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let text = "trap '' TERM; setsid sleep 1001 & (sleep 1002 & sleep 1003 & wait) & \
                (setsid sh -c 'sleep 1004 & sleep 1005' &) ; echo ready; while :; do sleep 0.05; done";
    let spec = script("tree", text);
    run(&runtime, &spec).await;
    until("the tree is there", || lines(&runtime, &spec.id).contains(&"ready".to_owned())).await;
    until("five sleepers", || sleepers(&spec.id).len() >= 5).await;
    runtime.stop(&spec.id, Duration::from_millis(200)).await.unwrap();
    assert_eq!(sleepers(&spec.id), Vec::<u32>::new());
}

/// Everything alive with the sandbox's mark in its environment.
fn sleepers(id: &SandboxId) -> Vec<u32> {
    let mark = format!("BOSS_SANDBOX_ID={id}");
    let is_marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) && is_alive(*pid)
    };
    boss_node::sandbox::proc_stat::all_pids().unwrap().into_iter().filter(is_marked).collect()
}

#[tokio::test]
async fn what_the_main_process_leaves_behind_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let spec = script("left", "setsid sleep 1000 & exit 4");
    let (how, _) = run_to_end(&runtime, &spec).await;
    assert_eq!(how, ExitKind::Code(4));
    assert_eq!(sleepers(&spec.id), Vec::<u32>::new());
}

#[tokio::test]
async fn a_program_that_heeds_the_signal_ends_within_the_grace_period() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let spec = script("polite", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.02; done");
    run(&runtime, &spec).await;
    until("it is ready", || lines(&runtime, &spec.id).contains(&"ready".to_owned())).await;
    runtime.stop(&spec.id, GRACE).await.unwrap();
    let Status::Ended(exit) = runtime.status(&spec.id).await.unwrap() else { panic!("it must be over") };
    assert_eq!(exit.how, ExitKind::Code(7));
    // The shell may say on standard error that its child was terminated, too.
    assert!(lines(&runtime, &spec.id).contains(&"bye".to_owned()));
}

#[tokio::test]
async fn rlimits_are_visible_inside() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let mut spec = script("rlimit", "ulimit -Sn; ulimit -Hn; ulimit -c");
    spec.rlimits = vec![
        Rlimit { resource: "nofile".to_owned(), soft: 77, hard: 99 },
        Rlimit { resource: "core".to_owned(), soft: 0, hard: 0 },
    ];
    let (_, lines) = run_to_end(&runtime, &spec).await;
    assert_eq!(lines, ["77", "99", "0"]);
}

async fn refused(spec: Spec) -> (Reason, String) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    runtime.prepare(&spec).await.unwrap();
    match runtime.start(&spec.id, &Values::default()).await.unwrap_err() {
        Error::Sandbox { reason, message } => (reason, message),
        Error::Broken(message) => panic!("{message}"),
    }
}

#[tokio::test]
async fn what_cannot_start_says_what_is_wrong() {
    let mut no_dir = spec("a", "true", &[]);
    no_dir.working_dir = Some("/no/such/dir".to_owned());
    let (reason, message) = refused(no_dir).await;
    assert_eq!(reason, Reason::CreateFailed);
    assert!(message.contains("working directory \"/no/such/dir\""), "{message}");

    let (reason, message) = refused(spec("b", "no-such-program", &[])).await;
    assert_eq!(reason, Reason::StartFailed);
    assert!(message.contains("not found in the PATH"), "{message}");

    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let (reason, message) = refused(spec("c", path, &[])).await;
    assert_eq!(reason, Reason::PermissionDenied);
    assert!(message.contains(path), "{message}");

    let mut unknown = spec("d", "true", &[]);
    unknown.rlimits = vec![Rlimit { resource: "beer".to_owned(), soft: 1, hard: 1 }];
    let (reason, message) = refused(unknown).await;
    assert_eq!(reason, Reason::InvalidSpec);
    assert!(message.contains("\"beer\""), "{message}");

    let mut inverted = spec("e", "true", &[]);
    inverted.rlimits = vec![Rlimit { resource: "nofile".to_owned(), soft: 9, hard: 1 }];
    let (reason, message) = refused(inverted).await;
    assert_eq!(reason, Reason::CreateFailed);
    assert!(message.contains("nofile"), "{message}");
}

#[tokio::test]
async fn a_working_directory_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let mut spec = spec("cwd", "pwd", &[]);
    spec.working_dir = Some("/usr/share".to_owned());
    let (_, lines) = run_to_end(&runtime, &spec).await;
    assert_eq!(lines, ["/usr/share"]);
}

#[tokio::test]
async fn state_folders_with_very_long_paths_work() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(200)).join("y".repeat(200));
    let runtime = provider(&long);
    let (how, lines) = run_to_end(&runtime, &spec("long", "echo", &["hello"])).await;
    assert_eq!((how, lines), (ExitKind::Code(0), vec!["hello".to_owned()]));
}

#[tokio::test]
async fn a_new_agent_adopts_what_runs_and_loses_no_line() {
    let dir = tempfile::tempdir().unwrap();
    let spec = script("adopt", "i=0; while [ $i -lt 600 ]; do i=$((i+1)); echo line $i; sleep 0.005; done");
    let first = provider(dir.path());
    first.prepare(&spec).await.unwrap();
    let running = first.start(&spec.id, &Values::default()).await.unwrap();
    until("some output", || lines(&first, &spec.id).len() > 20).await;
    // The agent's end: its launcher goes with it.
    drop(first);
    let second = provider(dir.path());
    assert_eq!(second.list().await.unwrap(), std::slice::from_ref(&spec.id));
    assert_eq!(second.status(&spec.id).await.unwrap(), Status::Running(running), "the same process, not a new one");
    let exit = second.wait(&spec.id).await.unwrap();
    assert_eq!(exit.how, ExitKind::Code(0));
    let wanted: Vec<String> = (1..=600).map(|number| format!("line {number}")).collect();
    assert_eq!(lines(&second, &spec.id), wanted);
}

#[tokio::test]
async fn an_end_while_no_agent_looks_is_found_later() {
    let dir = tempfile::tempdir().unwrap();
    let spec = script("unseen", "sleep 0.2; echo done; exit 5");
    let first = provider(dir.path());
    run(&first, &spec).await;
    let exit_file = first.dir(&spec.id).join(files::EXIT);
    drop(first);
    until("the monitor writes the exit file", || exit_file.exists()).await;
    let second = provider(dir.path());
    let exit = second.wait(&spec.id).await.unwrap();
    assert_eq!(exit.how, ExitKind::Code(5));
    assert_eq!(lines(&second, &spec.id), ["done"]);
}

#[tokio::test]
async fn a_killed_monitor_takes_its_sandbox_along_and_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let spec = script("orphan", "setsid sleep 1000 & setsid sleep 1001 & echo ready; wait");
    run(&runtime, &spec).await;
    until("it is ready", || lines(&runtime, &spec.id).contains(&"ready".to_owned())).await;
    let main = state(&runtime, &spec.id).unwrap().running.pid;
    kill(monitor_of(main), rustix::process::Signal::KILL);
    let exit = runtime.wait(&spec.id).await.unwrap();
    assert!(matches!(exit.how, ExitKind::Lost { .. }), "{exit:?}");
    assert_eq!(sleepers(&spec.id), Vec::<u32>::new());
    runtime.remove(&spec.id).await.unwrap();
}

#[tokio::test]
async fn a_monitor_that_is_told_to_end_stops_its_sandbox_first() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let spec = spec("down", "sleep", &["1000"]);
    run(&runtime, &spec).await;
    let main = runtime.start(&spec.id, &Values::default()).await.unwrap().pid;
    kill(monitor_of(main), rustix::process::Signal::TERM);
    let exit = runtime.wait(&spec.id).await.unwrap();
    assert_eq!(exit.how, ExitKind::Signal { number: 15, out_of_memory: false });
}

#[tokio::test]
async fn the_monitor_is_small() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let spec = spec("small", "sleep", &["1000"]);
    run(&runtime, &spec).await;
    let main = runtime.start(&spec.id, &Values::default()).await.unwrap().pid;
    let status = fs::read_to_string(format!("/proc/{}/status", monitor_of(main))).unwrap();
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kib: u64 = anonymous.trim().trim_end_matches(" kB").parse().unwrap();
    println!(
        "{}",
        status
            .lines()
            .filter(|line| line.starts_with("Rss") || line.starts_with("VmRSS"))
            .collect::<Vec<_>>()
            .join("; ")
    );
    assert!(kib < 4 * 1024, "{kib} KiB of its own");
    runtime.stop(&spec.id, GRACE).await.unwrap();
}

fn skip_without(controller: Controller) -> bool {
    let is_there = Layout::probe("boss-test").controllers().contains(&controller);
    if !is_there {
        println!("skipped: this machine has no {} controller to use", controller.as_str());
    }
    !is_there
}

#[tokio::test]
async fn a_memory_limit_kills_and_the_exit_says_so() {
    if skip_without(Controller::Memory) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let mut spec = script("memory", "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo survived");
    spec.limits.memory_bytes_max = Some(16 * 1024 * 1024);
    let (how, _) = run_to_end(&runtime, &spec).await;
    assert_eq!(how, ExitKind::Signal { number: 9, out_of_memory: true });
}

#[tokio::test]
async fn a_task_limit_stops_forks() {
    if skip_without(Controller::Pids) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let mut spec = script("pids", "sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & echo survived");
    spec.limits.tasks_max = Some(3);
    let (_, lines) = run_to_end(&runtime, &spec).await;
    assert!(!lines.contains(&"survived".to_owned()), "{lines:?}");
}

#[tokio::test]
async fn a_cpu_limit_is_in_the_group_that_the_process_is_in() {
    if skip_without(Controller::Cpu) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let mut spec = script("cpu", "cat /proc/self/cgroup");
    spec.limits.cpu_millis_max = Some(250);
    let (_, lines) = run_to_end(&runtime, &spec).await;
    assert!(lines.iter().any(|line| line.ends_with("/cpu-1")), "{lines:?}");
    assert!(!Path::new("/sys/fs/cgroup/cpu").join("cpu-1").exists());
}

#[tokio::test]
async fn groups_are_gone_when_nothing_needs_them() {
    if skip_without(Controller::Memory) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let mut spec = spec("tidy", "true", &[]);
    spec.limits.memory_bytes_max = Some(64 * 1024 * 1024);
    runtime.prepare(&spec).await.unwrap();
    let plan: files::Plan = files::read(&runtime.dir(&spec.id), files::PLAN).unwrap().unwrap();
    run_to_end(&runtime, &spec).await;
    for group in &plan.cgroups {
        assert!(!group.dir.exists(), "{}", group.dir.display());
    }
}

#[tokio::test]
async fn files_that_a_power_cut_left_empty_do_not_stop_anything() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = provider(dir.path());
    let spec = spec("torn", "true", &[]);
    run_to_end(&runtime, &spec).await;
    for name in [files::PLAN, files::STATE, files::EXIT] {
        fs::write(runtime.dir(&spec.id).join(name), "").unwrap();
    }
    assert_eq!(runtime.spec(&spec.id).await.unwrap(), None);
    assert!(matches!(runtime.status(&spec.id).await.unwrap(), Status::Ended(_)));
    runtime.stop(&spec.id, GRACE).await.unwrap();
    runtime.remove(&spec.id).await.unwrap();
    assert_eq!(runtime.status(&spec.id).await.unwrap(), Status::Absent);
}

#[tokio::test]
async fn a_sandbox_whose_folder_is_gone_is_ended_by_the_next_agent_and_others_are_left_alone() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (lost, kept) = (script("lost", "sleep 321 & sleep 322"), script("kept", "sleep 323"));
    let foreign = script("foreign", "sleep 324");
    let first = provider(dir.path());
    let elsewhere = provider(other.path());
    let pids = [run(&first, &lost).await.pid, run(&first, &kept).await.pid, run(&elsewhere, &foreign).await.pid];
    let monitor = monitor_of(pids[0]);
    fs::remove_dir_all(first.dir(&lost.id)).unwrap();
    drop(first);

    let second = provider(dir.path());
    second.end_strays().await.unwrap();
    assert!(!is_alive(pids[0]));
    until("its monitor is gone", || !is_alive(monitor)).await;
    assert!(is_alive(pids[1]) && is_alive(pids[2]), "they have their folders");
    assert_eq!(second.list().await.unwrap(), std::slice::from_ref(&kept.id));
    second.stop(&kept.id, GRACE).await.unwrap();
    elsewhere.stop(&foreign.id, GRACE).await.unwrap();
}
