//! A snapshot file with any byte changed or missing is refused, or means the same.

use boss_proto::ids::ClusterId;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{BadSnapshot, read, write};
use crate::{
    state::{Limits, testing::*},
    storage::meta::Place,
};

struct Written {
    directory: TempDir,
    cluster: Cluster,
    bytes: Vec<u8>,
}

fn written() -> Written {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new();
    cluster.must(admin(), create(pod("a")));
    let file = std::fs::File::create(directory.path().join("s")).unwrap();
    write(&file, &ClusterId::from("c1"), &Place::default(), &cluster.state).unwrap();
    let bytes = std::fs::read(directory.path().join("s")).unwrap();
    Written { directory, cluster, bytes }
}

impl Written {
    fn read(&self, bytes: &[u8], cluster_id: &str) -> Result<String, BadSnapshot> {
        let path = self.directory.path().join("changed");
        std::fs::write(&path, bytes).unwrap();
        let (state, _) = read(&path, &ClusterId::from(cluster_id), Limits::default())?;
        Ok(state.hash().to_string())
    }

    fn hash(&self) -> String {
        self.cluster.state.hash().to_string()
    }
}

#[test]
fn a_whole_snapshot_is_the_same_state() {
    let written = written();
    assert_eq!(written.read(&written.bytes, "c1").unwrap(), written.hash());
}

#[test]
fn a_snapshot_of_another_cluster_is_refused() {
    let written = written();
    assert!(matches!(written.read(&written.bytes, "c2"), Err(BadSnapshot::ForeignCluster { .. })));
}

#[test]
fn a_snapshot_cut_short_or_gone_on_is_refused() {
    let written = written();
    for length in 0..written.bytes.len() {
        assert!(matches!(written.read(&written.bytes[..length], "c1"), Err(BadSnapshot::Damaged(_))), "{length}");
    }
    let longer = [&written.bytes[..], b"x"].concat();
    assert!(matches!(written.read(&longer, "c1"), Err(BadSnapshot::Damaged(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn a_changed_byte_is_refused_or_changes_nothing(position in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let written = written();
        let mut bytes = written.bytes.clone();
        let position = position.index(bytes.len());
        bytes[position] ^= flip;
        if let Ok(hash) = written.read(&bytes, "c1") {
            prop_assert_eq!(hash, written.hash());
        }
    }
}

/// The file as a build of format 1 would have written it: no ordinals in the keys of events, another hash.
fn write_as_format_1(path: &std::path::Path, state: &crate::state::State) {
    use crate::{state::rows, storage::meta::Meta};
    let mut meta = Meta::new(&ClusterId::from("c1"), &Place::default(), state);
    meta.format = 1;
    meta.spoil_hash();
    let older = rows::rows(state).map(|mut row| {
        if row.key[0] == b'2' {
            row.key.drain(9..13);
        }
        row
    });
    super::format::write_rows(&std::fs::File::create(path).unwrap(), &meta, older).unwrap();
}

#[test]
fn a_snapshot_of_an_older_format_is_read_and_brought_up_to_date() {
    let written = written();
    let path = written.directory.path().join("older");
    write_as_format_1(&path, &written.cluster.state);
    let (state, _) = read(&path, &ClusterId::from("c1"), Limits::default()).unwrap();
    assert_eq!(state.hash(), written.cluster.state.hash());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(read(&path, &ClusterId::from("c1"), Limits::default()), Err(BadSnapshot::Damaged(_))));
}

#[test]
fn a_snapshot_of_a_newer_format_or_of_none_is_refused() {
    use crate::{
        state::rows,
        storage::meta::{FORMAT, Meta},
    };
    let written = written();
    let path = written.directory.path().join("other");
    let check = |format: u32| {
        let mut meta = Meta::new(&ClusterId::from("c1"), &Place::default(), &written.cluster.state);
        meta.format = format;
        let file = std::fs::File::create(&path).unwrap();
        super::format::write_rows(&file, &meta, rows::rows(&written.cluster.state)).unwrap();
        read(&path, &ClusterId::from("c1"), Limits::default()).err().unwrap()
    };
    assert!(matches!(check(FORMAT + 1), BadSnapshot::NewerFormat { found } if found == FORMAT + 1));
    assert!(matches!(check(0), BadSnapshot::Damaged(_)));
}
