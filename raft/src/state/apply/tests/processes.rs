//! The same commands in another process: nothing that a process has for itself, as the order of its hash maps, may reach
//! the state.

use std::{fs, path::Path};

use boss_proto::raft::v1::Command;
use bytes::{BufMut, BytesMut};
use proptest::{
    collection::vec,
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use prost::Message;

use super::{Run, small, step};
use crate::{
    failpoints::{is_child, run_child},
    state::{
        Position, State, apply,
        rows::{header, rows},
    },
};

/// Histories, each in a process of its own.
const RUNS: usize = 6;

/// The state as it stands on disks: its description with the hash, and every row.
fn bytes_of(state: &State) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_slice(&header(state).encode_to_vec());
    for row in rows(state) {
        for part in [&row.key[..], row.value.as_deref().unwrap_or_default()] {
            bytes.put_u64(part.len() as u64);
            bytes.put_slice(part);
        }
    }
    bytes.to_vec()
}

fn replay(folder: &Path) -> State {
    let encoded = fs::read(folder.join("commands")).unwrap();
    let (mut encoded, mut state, mut index) = (&encoded[..], State::with_limits(small()), 0);
    while !encoded.is_empty() {
        let command = Command::decode_length_delimited(&mut encoded).unwrap();
        index += 1;
        apply(&mut state, Position { term: 1, index }, &command);
    }
    state
}

/// The work of the child; nothing in any other process.
#[test]
fn the_same_commands_again() {
    let Some(folder) = is_child() else { return };
    fs::write(folder.join("bytes"), bytes_of(&replay(&folder))).unwrap();
}

#[test]
fn the_same_commands_in_another_process_give_the_same_bytes_and_hash() {
    let mut runner = TestRunner::default();
    for _ in 0..RUNS {
        let steps = vec(step(), 30..60).new_tree(&mut runner).unwrap().current();
        let run = Run::of(&steps, small());
        let folder = tempfile::tempdir().unwrap();
        let commands: Vec<u8> = run.cluster.log.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
        fs::write(folder.path().join("commands"), commands).unwrap();
        run_child("state::apply::tests::processes::the_same_commands_again", folder.path());
        let there = fs::read(folder.path().join("bytes")).unwrap();
        assert!(there == bytes_of(&run.cluster.state), "another state of {steps:?}");
    }
}
