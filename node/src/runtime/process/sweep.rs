//! Finds and kills what is left of a sandbox whose monitor died. Without the monitor nobody holds the tree together,
//! so its members are known by several marks: control group, session, and the variable in their environment.

use std::{collections::BTreeSet, fs, time::Duration};

use boss_proto::intent::Reason;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{
    cgroup,
    runtime::{Error, process::SANDBOX_ID_VARIABLE},
    sandbox::{
        SandboxId,
        files::State,
        proc_stat::{self, ProcStat},
    },
};

/// Between two looks.
const ROUND: Duration = Duration::from_millis(20);
/// Looks before it counts as failed, to be tried again later.
const ROUNDS_MAX: usize = 500;

/// SIGKILL until nothing bears a mark of the sandbox any more.
pub(super) async fn kill_until_absent(
    id: &SandboxId,
    state: Option<&State>,
    groups: &[cgroup::Group],
) -> Result<(), Error> {
    for _ in 0..ROUNDS_MAX {
        let members = members(id, state, groups);
        if members.is_empty() {
            return Ok(());
        }
        for pid in members {
            kill_member(pid, id, state, groups);
        }
        tokio::time::sleep(ROUND).await;
    }
    Err(Error::sandbox(Reason::StopFailed, "processes of the sandbox survive SIGKILL"))
}

fn members(id: &SandboxId, state: Option<&State>, groups: &[cgroup::Group]) -> BTreeSet<u32> {
    let grouped = groups.iter().flat_map(|group| cgroup::members(&group.dir));
    let marked = proc_stat::all_pids().unwrap_or_default().into_iter().filter(|pid| is_marked(*pid, id, state));
    grouped.chain(marked).filter(|pid| matches!(ProcStat::read(*pid), Ok(Some(stat)) if stat.is_alive())).collect()
}

/// The pidfd is taken first and the mark read again: a pid that was listed may by now be somebody else's.
fn kill_member(pid: u32, id: &SandboxId, state: Option<&State>, groups: &[cgroup::Group]) {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let Ok(pidfd) = pidfd_open(target, PidfdFlags::empty()) else { return };
    let is_grouped = groups.iter().any(|group| cgroup::members(&group.dir).contains(&pid));
    if is_grouped || is_marked(pid, id, state) {
        // Gone already is what was wanted.
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}

fn is_marked(pid: u32, id: &SandboxId, state: Option<&State>) -> bool {
    in_session(pid, state) || has_variable(pid, id)
}

/// The main process led a session. Its pid may have been reused since, but not while its session has members:
/// the kernel gives no pid away that still names a session. After another boot it means nothing.
fn in_session(pid: u32, state: Option<&State>) -> bool {
    let Some(state) = state.filter(|state| state.boot_id == proc_stat::boot_id()) else { return false };
    let Ok(Some(stat)) = ProcStat::read(pid) else { return false };
    let leader = ProcStat::read(state.running.pid).ok().flatten();
    let is_still_its_session = leader.is_none_or(|leader| leader.start_ticks == state.running.start_ticks);
    stat.session == state.running.pid && is_still_its_session && stat.start_ticks >= state.running.start_ticks
}

fn has_variable(pid: u32, id: &SandboxId) -> bool {
    let wanted = format!("{SANDBOX_ID_VARIABLE}={id}");
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
}
