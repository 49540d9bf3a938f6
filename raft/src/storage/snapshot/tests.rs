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
