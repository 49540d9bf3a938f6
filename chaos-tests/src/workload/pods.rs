//! Clients that start and end pods whose sandboxes tell, by a lock that the kernel lets go only with their last process,
//! whether they run and whether another one of the same pod does.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use boss_proto::v1;
use tokio::time::sleep;
use tonic::Status;

use super::{
    Stop,
    asking::{Failed, insist},
};
use crate::{
    api::Api,
    checkers::{generate::Random, pods::Found},
    history::{Call, Called, Recorder, Reply},
    manifests::{NAMESPACE, shell_pod, with_restart_policy},
};

/// A client has no more at a time.
const OWN_MAX: usize = 3;
/// Pods are heavier than registers.
const PAUSE: Duration = Duration::from_millis(300);
/// What a sandbox does when it has told what it has to.
const SLEEP: &str = "exec sleep 86411";

/// Clients of pods, whose locks are in a folder.
pub struct Pods {
    recorder: Arc<Recorder>,
    stop: Stop,
    locks: PathBuf,
}

impl Pods {
    /// Pods that put their locks into `locks`.
    pub fn new(recorder: Arc<Recorder>, stop: Stop, locks: &Path) -> io::Result<Self> {
        fs::create_dir_all(locks)?;
        Ok(Self { recorder, stop, locks: locks.to_owned() })
    }

    /// One client at a time; its choices come from the seed.
    pub async fn run(&self, seed: u64, servers: &[Api]) {
        let mut random = Random(seed);
        let mut process = self.recorder.process();
        let mut own: Vec<String> = Vec::new();
        while !self.stop.is_set() {
            let known = if own.len() < OWN_MAX && (own.is_empty() || random.below(3) > 0) {
                let name = format!("pod-{}", self.recorder.value());
                own.push(name.clone());
                let (id, pod) = (servers[0].seen().request_id(), wanted_pod(&name, &self.locks));
                let ask = async |api: &Api| Ok(api.create_as(pod.clone(), id.clone()).await?.revision.0);
                self.insist(process, Call::Run { name }, &mut random, servers, ask).await
            } else {
                let name = own.swap_remove(random.below(own.len()));
                let id = servers[0].seen().request_id();
                let ask = async |api: &Api| Ok(api.delete_as::<v1::Pod>(NAMESPACE, &name, id.clone()).await?.revision);
                self.insist(process, Call::End { name: name.clone() }, &mut random, servers, ask).await
            };
            if !known {
                process = self.recorder.process();
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether the outcome is known.
    async fn insist(
        &self,
        process: u64,
        call: Call,
        random: &mut Random,
        servers: &[Api],
        ask: impl AsyncFn(&Api) -> Result<u64, Status>,
    ) -> bool {
        let is_run = matches!(call, Call::Run { .. });
        let invocation = self.recorder.call(process, call);
        match insist(random, servers, ask).await {
            Ok(revision) => invocation.reply(Reply::Done { revision }),
            Err(Failed::Nothing(why)) => invocation.fail(why),
            Err(Failed::Refused(why)) => invocation.refused(why),
            Err(Failed::Unknown(why)) => {
                invocation.info(why);
                return false;
            }
            Err(_) => invocation.reply(if is_run { Reply::Exists } else { Reply::Absent }),
        }
        true
    }
}

/// One that comes back whatever becomes of its sandbox.
fn wanted_pod(name: &str, locks: &Path) -> v1::Pod {
    with_restart_policy(shell_pod(name, &script(locks, name)), "Always")
}

fn script(locks: &Path, name: &str) -> String {
    let (lock, met) = (locks.join(name), locks.join(format!("{name}.met")));
    format!("exec 9>{}; flock -n 9 || echo met >> {}; {SLEEP}", lock.display(), met.display())
}

/// What calls and locks tell of each pod, beside what the registry holds: names with phases.
#[must_use]
pub fn found(calls: &[Called], registry: &[(String, String)], locks: &Path) -> Vec<Found> {
    let runs = calls.iter().filter_map(|called| match &called.call {
        Call::Run { name } => Some((name, called)),
        _ => None,
    });
    runs.map(|(name, run)| {
        let end = calls.iter().find(|called| called.call == Call::End { name: name.clone() });
        let phase = registry.iter().find(|(found, _)| found == name).map(|(_, phase)| phase.clone());
        let met = fs::read_to_string(locks.join(format!("{name}.met"))).unwrap_or_default().lines().count();
        Found { name: name.clone(), wanted: wanted(run, end), phase, runs: is_locked(&locks.join(name)), met }
    })
    .collect()
}

fn wanted(run: &Called, end: Option<&Called>) -> Option<bool> {
    match (run.revision(), end.map(Called::revision)) {
        (_, Some(Some(_))) => Some(false),
        (Some(_), None) => Some(true),
        _ => None,
    }
}

fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_wanted_from_its_acknowledged_begin_to_its_acknowledged_end() {
        let folder = tempfile::tempdir().unwrap();
        let called = |call, revision: Option<u64>| Called {
            process: 1,
            call,
            began_ns: 1,
            reply: revision.map(|revision| (2, Reply::Done { revision })),
        };
        let run = |name: &str, revision| called(Call::Run { name: name.into() }, revision);
        let end = |name: &str, revision| called(Call::End { name: name.into() }, revision);
        let calls = [
            run("a", Some(1)),
            run("b", None),
            run("c", Some(2)),
            end("c", None),
            run("d", Some(3)),
            end("d", Some(4)),
        ];
        let held = File::create(folder.path().join("a")).unwrap();
        held.lock().unwrap();
        fs::write(folder.path().join("d"), "").unwrap();
        fs::write(folder.path().join("d.met"), "met\n").unwrap();
        let found = found(&calls, &[("a".into(), "Running".into())], folder.path());
        let seen: Vec<(Option<bool>, bool, usize)> = found.iter().map(|pod| (pod.wanted, pod.runs, pod.met)).collect();
        assert_eq!(seen, [(Some(true), true, 0), (None, false, 0), (None, false, 0), (Some(false), false, 1)]);
        assert_eq!(found[0].phase.as_deref(), Some("Running"));
    }
}
