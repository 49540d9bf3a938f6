//! What the loop writes and when.

use super::*;
use crate::scheduler::tests::{node, pod, spec};

#[test]
fn a_pod_that_waits_is_told_so_once() {
    let record = pod("p", spec("cpu=4"), "", "");
    assert!(says_otherwise(&record, "0/1 nodes fit"));
    let told = waiting_status(record.pod().expect("a pod"), "0/1 nodes fit", 5);
    let told = Record::new(told.into()).expect("has metadata");
    assert!(!says_otherwise(&told, "0/1 nodes fit"));
    assert!(says_otherwise(&told, "0/2 nodes fit"));
}

#[test]
fn only_what_placements_look_at_wakes_parked_pods() {
    for (before, now, matters) in [
        ("n1", "n1", false),
        ("n1", "n1 cpu=8", true),
        ("n1", "n1 cordoned", true),
        ("n1", "n1 label=zone:a", true),
        ("n1 unready", "n1", true),
        ("n1", "n1 latency=5", true),
    ] {
        assert_eq!(matters_to_placement(&node(before), &node(now)), matters, "{before} to {now}");
    }
}
