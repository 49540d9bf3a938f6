//! Membership changes on the control plane's own object, case by case. Runs no consensus.

use boss_proto::ids::ServerId;

use super::*;

fn members(ids: &[u64]) -> Vec<boss_raft::Member> {
    let member = |id: &u64| boss_raft::Member {
        id: ServerId(*id),
        name: format!("server-{id}"),
        peer: format!("10.0.0.{id}:7401"),
        api: format!("10.0.0.{id}:7400"),
    };
    ids.iter().map(member).collect()
}

fn new(name: &str) -> Option<Member> {
    let (peer_address, api_address) = (format!("{name}.example:7401"), format!("{name}.example:7400"));
    Some(Member { name: name.to_owned(), peer_address, api_address, ..Member::default() })
}

fn wanted(add: Option<Member>, remove_id: u64, request_id: &str) -> Wanted<'_> {
    Wanted { add, remove_id, force: false, request_id, by: "admin" }
}

fn start(spec: &mut ControlPlaneSpec, ids: &[u64], wanted: Wanted<'_>) -> Result<MembershipChange, Error> {
    begin(spec, wanted, &Standing { members: &members(ids), now_ms: 1_000 })
}

#[test]
fn ids_come_from_the_object_and_are_never_given_twice() {
    let mut spec = ControlPlaneSpec::default();
    let first = start(&mut spec, &[1, 2, 3], wanted(new("a"), 0, "r1")).unwrap();
    assert_eq!(first.add.unwrap().id, 4);
    finish(&mut spec, "Cancelled", "taken back", Some(4), 2_000);
    start(&mut spec, &[1, 2, 3], wanted(None, 3, "r2")).unwrap();
    finish(&mut spec, "Done", "done", Some(3), 3_000);
    let next = start(&mut spec, &[1, 2], wanted(new("b"), 0, "r3")).unwrap();
    assert_eq!(next.add.unwrap().id, 5, "neither the removed nor the cancelled id comes back");
    assert_eq!(spec.removed_server_ids, [4, 3]);
}

#[test]
fn one_change_at_a_time() {
    let mut spec = ControlPlaneSpec::default();
    start(&mut spec, &[1, 2, 3], wanted(new("a"), 0, "r1")).unwrap();
    let refused = start(&mut spec, &[1, 2, 3], wanted(None, 2, "r2")).unwrap_err();
    assert!(refused.to_string().contains("change 1 of the members is under way"), "{refused}");
}

#[test]
fn the_same_request_again_finds_its_change_running_or_ended() {
    let mut spec = ControlPlaneSpec::default();
    let first = start(&mut spec, &[1, 2, 3], wanted(new("a"), 0, "r1")).unwrap();
    assert_eq!(start(&mut spec, &[1, 2, 3], wanted(new("a"), 0, "r1")).unwrap(), first);
    finish(&mut spec, "Done", "done", None, 2_000);
    assert_eq!(start(&mut spec, &[1, 2, 3], wanted(new("a"), 0, "r1")).unwrap().phase, "Done");
    assert_eq!(spec.highest_server_id, 4);
}

fn check_refused(ids: &[u64], wanted: Wanted<'_>, expected: &str) {
    let mut spec = ControlPlaneSpec::default();
    let error = start(&mut spec, ids, wanted).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert_eq!(spec.change, None);
}

#[test]
fn what_cannot_be_is_refused_with_the_field() {
    check_refused(&[1, 2, 3], wanted(None, 9, "r"), "server 9 is no member; the members are 1, 2, 3");
    check_refused(&[1], wanted(None, 1, "r"), "it is the only server");
    check_refused(&[1, 2], wanted(new("server-2"), 0, "r"), "name: server 2 is called server-2");
    let taken = Member { api_address: "10.0.0.1:7400".to_owned(), ..new("a").unwrap() };
    check_refused(&[1, 2], wanted(Some(taken), 0, "r"), "apiAddress: server 1 has the address");
    let bad = Member { peer_address: "nowhere".to_owned(), ..new("a").unwrap() };
    check_refused(&[1, 2], wanted(Some(bad), 0, "r"), "peerAddress: \"nowhere\" is not HOST:PORT");
    check_refused(&[1, 2], wanted(new("Not A Name"), 0, "r"), "name:");
}

#[test]
fn what_has_ended_cannot_be_cancelled() {
    let mut spec = ControlPlaneSpec::default();
    start(&mut spec, &[1, 2, 3], wanted(None, 2, "r1")).unwrap();
    assert_eq!(cancel(&mut spec, 1).unwrap().phase, CANCELLING);
    assert!(cancel(&mut spec, 2).is_err());
    finish(&mut spec, "Done", "removed server 2", Some(2), 2_000);
    assert!(cancel(&mut spec, 1).unwrap_err().to_string().contains("removed server 2"));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut spec = ControlPlaneSpec::default();
    for _ in 0..=REMOVED_SERVERS_MAX {
        let change = start(&mut spec, &[1, 2, 3], wanted(new("a"), 0, "")).unwrap();
        finish(&mut spec, "Cancelled", "", change.add.map(|member| member.id), 0);
    }
    assert_eq!(spec.finished.len(), FINISHED_CHANGES_MAX);
    assert_eq!(spec.removed_server_ids.len(), REMOVED_SERVERS_MAX);
}
