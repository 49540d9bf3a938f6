//! A process provider over real launchers and monitors, in a folder of its own.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use boss_base::clock::SystemClock;
use boss_node::{
    cgroup::Layout,
    launcher::{self, Launcher},
    runtime::process::{ProcessRuntime, Settings},
    sandbox::{SandboxId, Spec, files::LogBounds, spec::Limits},
};

pub(crate) const BOSS_NODE: &str = env!("CARGO_BIN_EXE_boss-node");

/// A provider that keeps its sandboxes below `root`. Dropping it ends its launcher, as the end of an agent does.
pub(crate) fn provider(root: &Path) -> ProcessRuntime {
    std::fs::create_dir_all(root).unwrap();
    let lock = File::create(root.join("lock")).unwrap();
    let socket = launcher::start(Path::new(BOSS_NODE), lock.into()).unwrap();
    ProcessRuntime::new(Settings {
        root: root.join("sandboxes"),
        launcher: Arc::new(Launcher::attach(socket).unwrap()),
        cgroups: Layout::probe(&format!("boss-test-{}", std::process::id())),
        log: LogBounds::default(),
        tasks_max: 0,
        concurrency_max: 0,
        own_program: PathBuf::from(BOSS_NODE),
        clock: Arc::new(SystemClock),
    })
}

/// The first attempt of pod `uid`, running `program`.
pub(crate) fn spec(uid: &str, program: &str, args: &[&str]) -> Spec {
    Spec {
        id: SandboxId { uid: uid.to_owned(), attempt: 1 },
        generation: 1,
        namespace: "default".to_owned(),
        name: uid.to_owned(),
        container: "main".to_owned(),
        program: program.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
        given: Vec::new(),
        working_dir: None,
        rlimits: Vec::new(),
        limits: Limits::default(),
        restart_policy: "Never".to_owned(),
        failures_before: 0,
    }
}

/// A shell script as a sandbox.
pub(crate) fn script(uid: &str, text: &str) -> Spec {
    spec(uid, "sh", &["-c", text])
}
