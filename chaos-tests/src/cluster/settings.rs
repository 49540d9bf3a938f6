//! What the servers' configuration says beside what it says in every cluster. Before anything runs.

use std::fs;

use super::{Cluster, SMALL_LOG_KEEPS};

/// The fewest entries after which a server may be told to take a snapshot.
const SMALL_LOG_ENTRIES: u64 = 1_000;

impl Cluster {
    /// Lets certificates that the servers sign be good for so long, in seconds.
    #[must_use]
    pub fn with_lifetimes(self, node_s: u64, server_s: u64) -> Self {
        let lines = format!("node_lifetime_seconds = {node_s}\nserver_lifetime_seconds = {server_s}");
        self.with_settings("[pki]", &lines)
    }

    /// See [`super::Spec::small_log`].
    #[must_use]
    pub(super) fn with_small_log(self) -> Self {
        let lines = format!("snapshot_every_entries = {SMALL_LOG_ENTRIES}\nkeep_entries = {SMALL_LOG_KEEPS}");
        self.with_settings("[raft]", &lines)
    }

    /// Adds lines to a section that every server has.
    fn with_settings(self, section: &str, lines: &str) -> Self {
        for server in &self.known {
            let path = self.layout.server_directory(server).join("server.toml");
            let text = fs::read_to_string(&path).expect("it was made");
            let head = format!("{section}\n");
            assert!(text.contains(&head), "servers of the harness have {section}");
            fs::write(&path, text.replace(&head, &format!("{head}{lines}\n"))).expect("the folder is ours");
        }
        self
    }
}
