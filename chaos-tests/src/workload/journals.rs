//! Looks again and again at what agents write down of their sandboxes, and at the processes that they name. Changes
//! nothing, and judges nothing.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use boss_base::clock::{Clock, SystemClock};
use serde::Deserialize;
use tokio::time::sleep;

use super::Stop;
use crate::{checkers::journals::Execution, proc::ProcessId};

/// Short against the life of a sandbox.
const EVERY: Duration = Duration::from_millis(100);

/// What a monitor writes when its sandbox runs, as far as it matters here.
#[derive(Deserialize)]
struct State {
    fence: Fence,
    running: Running,
}

#[derive(Deserialize)]
struct Fence {
    uid: String,
    attempt: u32,
}

#[derive(Deserialize)]
struct Running {
    pid: i32,
    start_ticks: u64,
}

/// Everything that was seen to run.
pub struct Journals {
    began: Duration,
    /// Names of nodes, with the folders of their agents.
    nodes: Vec<(String, PathBuf)>,
    seen: Mutex<BTreeMap<(i32, u64), Execution>>,
}

impl Journals {
    /// Of these agents, with times that count from `began`.
    #[must_use]
    pub fn new(began: Duration, nodes: Vec<(String, PathBuf)>) -> Self {
        Self { began, nodes, seen: Mutex::default() }
    }

    /// Looks until told to stop.
    pub async fn follow(&self, over: &Stop) {
        while !over.is_set() {
            self.look();
            sleep(EVERY).await;
        }
    }

    /// What was seen so far.
    #[must_use]
    pub fn executions(&self) -> Vec<Execution> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (node, folder) in &self.nodes {
            for State { fence, running } in states(folder) {
                let id = ProcessId { pid: running.pid, start_ticks: running.start_ticks };
                if seen.contains_key(&(id.pid, id.start_ticks)) || !id.is_alive() {
                    continue;
                }
                // Known to run from after the look on.
                let now = self.now();
                let (uid, node, attempt) = (fence.uid, node.clone(), fence.attempt);
                let execution = Execution { uid, node, attempt, pid: id.pid, from_ns: now, until_ns: now };
                seen.insert((id.pid, id.start_ticks), execution);
            }
        }
        for ((pid, start_ticks), execution) in seen.iter_mut() {
            // And until before it.
            let before = self.now();
            if (ProcessId { pid: *pid, start_ticks: *start_ticks }).is_alive() {
                execution.until_ns = before;
            }
        }
    }

    fn now(&self) -> u64 {
        let now = SystemClock.monotonic().saturating_sub(self.began).as_nanos();
        u64::try_from(now).unwrap_or(u64::MAX)
    }
}

/// What lies in the folders of all executions; what is just written or removed is seen the next time.
fn states(agent: &Path) -> Vec<State> {
    let folders = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let attempts = folders(&agent.join("sandboxes")).flat_map(|pod| folders(&pod).collect::<Vec<_>>());
    attempts.filter_map(|attempt| serde_json::from_slice(&fs::read(attempt.join("state.json")).ok()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::process::Process;

    #[test]
    fn what_an_agent_wrote_down_is_seen_as_long_as_its_process_runs() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::spawn(Command::new("sleep").arg("313")).unwrap();
        let attempt = folder.path().join("sandboxes/u/2");
        fs::create_dir_all(&attempt).unwrap();
        let id = process.id();
        let text = format!(
            r#"{{"format":1,"fence":{{"uid":"u","generation":1,"attempt":2}},"boot_id":"b","running":{{"pid":{},"start_ticks":{},"started_at_us":1}}}}"#,
            id.pid, id.start_ticks
        );
        fs::write(attempt.join("state.json"), text).unwrap();
        let journals = Journals::new(SystemClock.monotonic(), vec![("n".to_owned(), folder.path().to_owned())]);
        journals.look();
        // Also when its folder is lost.
        fs::remove_dir_all(folder.path().join("sandboxes")).unwrap();
        journals.look();
        let [seen] = &journals.executions()[..] else { panic!("one sandbox") };
        assert_eq!((seen.uid.as_str(), seen.attempt, seen.pid), ("u", 2, id.pid));
        assert!(seen.until_ns > seen.from_ns);
        process.kill_now();
        let until = seen.until_ns;
        journals.look();
        assert_eq!(journals.executions()[0].until_ns, until);
    }
}
