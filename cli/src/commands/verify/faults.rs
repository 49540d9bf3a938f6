//! Faults by a program of the operator's, who alone knows how servers are paused and restarted. Always undoes what it did.

use std::{path::PathBuf, process::Stdio, time::Duration};

use boss_verify::{
    history::{FaultOutcome, Recorder},
    workload::Stop,
};
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

use crate::args::Faults;

/// For one call of the program; what takes longer is of unknown outcome.
const CALL_MAX: Duration = Duration::from_secs(120);
/// A server is paused no longer.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often the run is asked whether it ends.
const LOOK: Duration = Duration::from_millis(50);

/// What is done, by what, to whom.
pub(super) struct Hook {
    pub(super) program: PathBuf,
    /// `host:port` of each.
    pub(super) servers: Vec<String>,
    pub(super) faults: Faults,
}

impl Hook {
    /// How many faults there will be.
    pub(super) fn len(&self) -> usize {
        self.servers.len()
    }

    /// One server after the other, in the middle half of the run.
    pub(super) async fn disturb(&self, recorder: &Recorder, stop: &Stop, duration: Duration) {
        rest(stop, duration / 4).await;
        let each = duration / 2 / u32::try_from(self.servers.len().max(1)).unwrap_or(u32::MAX);
        for server in &self.servers {
            if stop.is_set() {
                return;
            }
            let began = Instant::now();
            self.hit(recorder, stop, server, each).await;
            rest(stop, each.saturating_sub(began.elapsed())).await;
        }
        rest(stop, duration / 4).await;
    }

    async fn hit(&self, recorder: &Recorder, stop: &Stop, server: &str, each: Duration) {
        let (begin, end) = match self.faults {
            Faults::None => return,
            Faults::Pause => ("pause", Some("resume")),
            Faults::Restart => ("restart", None),
        };
        let name = format!("{begin} {server}");
        let note = |result: Result<(), String>, well| match result {
            Ok(()) => recorder.fault_on(name.clone(), well, vec![server.to_owned()]),
            Err(why) => recorder.fault_on(format!("{name}: {why}"), FaultOutcome::Unclear, vec![server.to_owned()]),
        };
        note(self.call(begin, server).await, FaultOutcome::Installed);
        match end {
            Some(end) => {
                rest(stop, PAUSE_MAX.min(each / 2)).await;
                note(self.call(end, server).await, FaultOutcome::Healed);
            }
            None => note(Ok(()), FaultOutcome::Healed),
        }
    }

    async fn call(&self, action: &str, server: &str) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.args([action, server]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        match timeout(CALL_MAX, command.status()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("the hook ended with {status}")),
            Ok(Err(error)) => Err(format!("the hook {} cannot be run: {error}", self.program.display())),
            Err(_) => Err("the hook did not end".to_owned()),
        }
    }
}

async fn rest(stop: &Stop, time: Duration) {
    let until = Instant::now() + time;
    while !stop.is_set() && Instant::now() < until {
        sleep(LOOK).await;
    }
}
