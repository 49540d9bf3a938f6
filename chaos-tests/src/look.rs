//! Reads what tests ask of pods and logs. Changes nothing and asks nobody.

use boss_proto::v1;

use crate::proc::ProcessId;

/// The process on this machine that the pod's status names.
#[must_use]
pub fn process_of(pod: &v1::Pod) -> Option<ProcessId> {
    let pid = container_status(pod)?.pid;
    ProcessId::of(i32::try_from(pid).ok().filter(|pid| *pid > 0)?)
}

/// The status of its only container.
#[must_use]
pub fn container_status(pod: &v1::Pod) -> Option<&v1::ContainerStatus> {
    pod.status.as_ref()?.container_statuses.first()
}

/// How its previous execution ended.
#[must_use]
pub fn last_termination(pod: &v1::Pod) -> Option<&v1::ContainerTerminated> {
    container_status(pod)?.last_state.as_ref()?.terminated.as_ref()
}

/// One of its conditions.
#[must_use]
pub fn condition<'a>(pod: &'a v1::Pod, name: &str) -> Option<&'a v1::Condition> {
    pod.status.as_ref()?.conditions.iter().find(|condition| condition.r#type == name)
}

/// Checks that the lines are `PREFIX 1`, `PREFIX 2` and so on, each once and none missing.
pub fn check_numbered(lines: &[String], prefix: &str) -> Result<usize, String> {
    for (index, line) in lines.iter().enumerate() {
        let wanted = format!("{prefix} {}", index + 1);
        if *line != wanted {
            return Err(format!("line {} is {line:?}, not {wanted:?}", index + 1));
        }
    }
    Ok(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_line_is_noticed() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(check_numbered(&lines("l 1\nl 2"), "l"), Ok(2));
        assert!(check_numbered(&lines("l 1\nl 3"), "l").is_err());
        assert!(check_numbered(&lines("l 1\nl 1"), "l").is_err());
    }
}
