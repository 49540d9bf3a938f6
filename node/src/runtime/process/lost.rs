//! What is done about a sandbox whose monitor died: nothing of it may go on, and its end is written down.

use super::{ProcessRuntime, read_if_whole, sweep, unknown};
use crate::{
    cgroup,
    runtime::Error,
    sandbox::{
        Fence, SandboxId,
        files::{self, Ended, Exit, ExitKind, FORMAT, Plan, State},
        proc_stat,
    },
};

impl ProcessRuntime {
    /// Its monitor died without an exit file. Kills what is left of it and writes down what is known.
    pub(super) async fn bury_lost(&self, id: &SandboxId) -> Result<Exit, Error> {
        let dir = self.dir(id);
        let state: Option<State> = read_if_whole(&dir, files::STATE)?;
        let plan: Option<Plan> = read_if_whole(&dir, files::PLAN)?;
        let groups = plan.map(|plan| plan.cgroups).unwrap_or_default();
        sweep::kill_until_absent(id, state.as_ref(), &groups).await?;
        for group in &groups {
            let _ = cgroup::remove(group);
        }
        let message = match &state {
            Some(state) if state.boot_id != proc_stat::boot_id() => "the machine was restarted",
            Some(_) => "the sandbox's monitor was killed, and the sandbox with it",
            None => "the sandbox's monitor ended before it started anything",
        };
        let exit = Exit {
            how: ExitKind::Lost { message: message.to_owned() },
            started_at_us: state.as_ref().map_or(0, |state| state.running.started_at_us),
            finished_at_us: self.settings.clock.unix_millis() * 1_000,
        };
        let fence =
            state.map(|state| state.fence).unwrap_or(Fence { uid: id.uid.clone(), generation: 0, attempt: id.attempt });
        files::write(&dir, files::EXIT, &Ended { format: FORMAT, fence, exit: exit.clone() }).map_err(unknown)?;
        Ok(exit)
    }
}
