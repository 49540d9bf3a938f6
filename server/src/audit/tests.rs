//! The audit over real files: what is kept, what is not, and what a full disk does.

use std::fs;

use boss_base::{clock::SystemClock, journal};
use boss_proto::{
    raft::v1::{Admitted, Caller, Create, Operation, operation::Action},
    v1::{ConfigMap, Object, ObjectMeta},
};
use boss_raft::state::Rejection;
use serde_json::Value;
use tempfile::TempDir;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn settings(directory: &TempDir) -> Settings {
    Settings {
        level: Level::Metadata,
        reads: false,
        directory: directory.path().join("audit"),
        bounds: Bounds { file_bytes: 1 << 20, files_max: 4 },
        when_full: WhenFull::Drop,
        redact: Vec::new(),
    }
}

fn map(name: &str) -> Object {
    let metadata = ObjectMeta { name: name.to_owned(), namespace: "default".to_owned(), ..ObjectMeta::default() };
    let data = [("password".to_owned(), "hunter2".to_owned())].into();
    ConfigMap { metadata: Some(metadata), data, ..ConfigMap::default() }.into()
}

fn command(name: &str) -> Arc<Command> {
    let caller = Caller { username: "rita".to_owned(), uid: "user:rita".to_owned(), ..Caller::default() };
    let operation = Operation {
        caller: Some(caller),
        admitted: Some(Admitted { allowed_by: "RoleBinding editors".to_owned(), policies: Vec::new() }),
        action: Some(Action::Create(Create { object: Some(map(name)) })),
        ..Operation::default()
    };
    Arc::new(Command { format: 1, proposed_at_ms: 7, operations: vec![operation] })
}

fn at(index: u64) -> Position {
    Position { term: 2, index }
}

fn lines(settings: &Settings) -> Vec<Value> {
    let paths = journal::paths(&settings.directory).unwrap();
    let texts = paths.into_iter().map(|(_, path)| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()).collect()
}

async fn exported(audit: &Audit, index: u64) {
    let mut exported = audit.exporter().unwrap().exported();
    let reached = exported.wait_for(|at| at.index >= index);
    tokio::time::timeout(PATIENCE, reached).await.expect("it is written in time").expect("the audit lives");
}

fn start(settings: &Settings) -> (Audit, Tasks) {
    let tasks = Tasks::new();
    (Audit::start(settings.clone(), Arc::new(SystemClock), &tasks).unwrap(), tasks)
}

async fn stop(tasks: Tasks) {
    tasks.stop(PATIENCE).await.expect("the writer ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_kept_with_caller_verb_object_decision_and_result() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let (audit, tasks) = start(&settings);
    let exporter = audit.exporter().unwrap();
    let refused = Outcome::Rejected(Rejection::NotFound);
    exporter.applied(at(1), Some(&command("a")), &[refused]);
    exporter.applied(at(2), None, &[]);
    exported(&audit, 2).await;
    let lines = lines(&settings);
    assert_eq!(lines.len(), 1, "{lines:?}");
    for (field, value) in [
        ("type", "write"),
        ("user", "rita"),
        ("verb", "create"),
        ("object", "configmaps/default/a"),
        ("allowedBy", "RoleBinding editors"),
        ("result", "refused: it does not exist"),
    ] {
        assert_eq!(lines[0][field], value, "{field}");
    }
    assert!(lines[0].get("request").is_none(), "metadata holds no content");
    stop(tasks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_kept_on_demand_and_never_of_redacted_kinds() {
    for (redact, shows) in [(Vec::new(), true), (vec![Kind::ConfigMap], false)] {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { level: Level::Request, redact, ..settings(&directory) };
        let (audit, tasks) = start(&settings);
        audit.exporter().unwrap().applied(at(1), Some(&command("a")), &[Outcome::Rejected(Rejection::NotFound)]);
        exported(&audit, 1).await;
        assert_eq!(lines(&settings)[0]["request"].to_string().contains("hunter2"), shows);
        stop(tasks).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_nothing_is_kept_twice_and_a_gap_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    for first in [1, 2, 3] {
        let (audit, tasks) = start(&settings);
        let exporter = audit.exporter().unwrap();
        for index in first..=3 {
            exporter.applied(at(index), Some(&command("a")), &[Outcome::Rejected(Rejection::NotFound)]);
        }
        exported(&audit, 3).await;
        stop(tasks).await;
    }
    assert_eq!(lines(&settings).len(), 3);
    let (audit, tasks) = start(&settings);
    audit.exporter().unwrap().begins_after(at(9));
    exported(&audit, 9).await;
    let last = lines(&settings).pop().unwrap();
    assert_eq!((&last["type"], &last["after"], &last["index"]), (&"gap".into(), &3.into(), &9.into()));
    stop(tasks).await;
    let verified = journal::verify(&settings.directory, &[]).unwrap();
    assert_eq!((verified.head.sequence, verified.problems), (4, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_drops_and_counts_or_blocks_as_configured() {
    for when_full in [WhenFull::Drop, WhenFull::Block] {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { when_full, ..settings(&directory) };
        let (audit, tasks) = start(&settings);
        block_by_folder(&settings);
        audit.exporter().unwrap().applied(at(1), Some(&command("a")), &[Outcome::Rejected(Rejection::NotFound)]);
        let state = async {
            loop {
                let state = audit.state().unwrap();
                if !state.problem.is_empty() {
                    break state;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, state).await.expect("the failure shows");
        match when_full {
            WhenFull::Drop => {
                exported(&audit, 1).await;
                assert_eq!((audit.state().unwrap().dropped, audit.blocks()), (1, None));
            }
            WhenFull::Block => {
                assert!(audit.blocks().unwrap().contains("cannot be written"));
                assert_eq!(audit.exporter().unwrap().exported().borrow().index, 0);
            }
        }
        // There is room again.
        fs::remove_dir(settings.directory.join("00000000000000000001.jsonl")).unwrap();
        audit.exporter().unwrap().applied(at(2), Some(&command("b")), &[Outcome::Rejected(Rejection::NotFound)]);
        exported(&audit, 2).await;
        let lines = lines(&settings);
        let types: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
        let expected = if when_full == WhenFull::Drop { ["dropped", "write"] } else { ["write", "write"] };
        assert_eq!(types, expected);
        assert_eq!(audit.blocks(), None);
        stop(tasks).await;
    }
}

/// Something stands where the first file is to be: it cannot be opened for writing.
fn block_by_folder(settings: &Settings) {
    fs::create_dir(settings.directory.join("00000000000000000001.jsonl")).unwrap();
}
