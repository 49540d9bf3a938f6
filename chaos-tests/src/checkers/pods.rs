//! After healing each pod that was acknowledged runs, once, and nothing else does; and at no time did two sandboxes of one
//! pod run. From what pods left behind. Asks nobody.

use super::{Verdict, broken};

/// One pod, by its name, after everything has healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub name: String,
    /// Whether it must be there: it was acknowledged, or so was its end; none when nobody knows.
    pub wanted: Option<bool>,
    /// Its phase in the registry; none when it is not there.
    pub phase: Option<String>,
    /// Whether a process of it runs.
    pub runs: bool,
    /// How often one of its sandboxes met another one that ran.
    pub met: usize,
}

/// The judgement of all pods.
#[must_use]
pub fn check(pods: &[Found]) -> Verdict {
    pods.iter().find_map(|pod| Some(broken(format!("{}: {pod:?}", problem(pod)?)))).unwrap_or(Verdict::Valid)
}

fn problem(pod: &Found) -> Option<&'static str> {
    match (pod.wanted, &pod.phase, pod.runs) {
        _ if pod.met > 0 => Some("two sandboxes of a pod ran at once"),
        (Some(true), None, _) => Some("a pod that was acknowledged is lost"),
        (Some(false), Some(_), _) => Some("a pod that was deleted is there"),
        (_, None, true) => Some("a sandbox runs whose pod is gone"),
        (_, Some(_), false) => Some("a pod has no sandbox"),
        (_, Some(phase), true) if phase != "Running" => Some("a pod that runs is said not to"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_lose_or_double_a_pod_is_noticed() {
        let pod = |wanted, phase: Option<&str>, runs, met| Found {
            name: "web".into(),
            wanted,
            phase: phase.map(str::to_owned),
            runs,
            met,
        };
        let good = [
            pod(Some(true), Some("Running"), true, 0),
            pod(Some(false), None, false, 0),
            pod(None, None, false, 0),
            pod(None, Some("Running"), true, 0),
        ];
        assert!(check(&good).is_valid());
        let bad = [
            pod(Some(true), None, false, 0),
            pod(Some(true), Some("Running"), false, 0),
            pod(Some(true), Some("Pending"), true, 0),
            pod(Some(false), Some("Running"), true, 0),
            pod(Some(false), None, true, 0),
            pod(None, None, true, 0),
            pod(Some(true), Some("Running"), true, 1),
        ];
        for pod in bad {
            assert!(!check(std::slice::from_ref(&pod)).is_valid(), "{pod:?}");
        }
    }
}
