//! Nodes that join a running cluster, as an operator does it: a token, a join on the new machine, a start.

use std::path::{Path, PathBuf};

use super::Cluster;
use crate::{
    bossctl_run::{Bossctl, Output},
    machine::Machine,
    process::Process,
};

impl Cluster {
    /// A file with a fresh token for nodes.
    pub async fn node_token(&self, options: &[&str]) -> PathBuf {
        let path = tempfile::Builder::new().prefix("token").tempfile_in(self.folder()).expect("the folder is ours");
        let path = path.into_temp_path().keep().expect("the folder is ours");
        let text = path.to_str().expect("a path of ours");
        let args = [&["token", "create", "--node", "--out", text], options].concat();
        Bossctl::of(self).succeed(&args).await;
        path
    }

    /// Where the folder of a node that joins is made.
    #[must_use]
    pub fn node_folder(&self, name: &str) -> PathBuf {
        self.folder().join("joined").join(name)
    }

    /// `bossctl node join`, on a machine that has no context.
    pub async fn join_node(&self, name: &str, token: &Path, dir: &Path) -> Output {
        let none = self.folder().join("no-context");
        let (dir, token) = (dir.to_str().expect("a path of ours"), token.to_str().expect("a path of ours"));
        Bossctl::with_config(self.folder(), &none)
            .run(&["node", "join", name, "--token-file", token, "--dir", dir])
            .await
    }

    /// Starts what has joined; gives its index among the nodes.
    pub fn start_joined_node(&mut self, name: &str, dir: &Path) -> usize {
        let mut machine = Machine::new(name, "boss-node", dir.join("node.toml"));
        machine.start(&self.folder, &[]);
        self.nodes.push(machine);
        self.nodes.len() - 1
    }

    /// Where an agent of the plan keeps what it must know when it starts again.
    #[must_use]
    pub fn state_of(&self, index: usize) -> PathBuf {
        self.layout.node_directory(&self.layout.plan().nodes[index]).join("state")
    }

    /// At its next start an agent dies at a point, when it is there for so many a time.
    pub fn doom_node(&mut self, index: usize, point: &str, times: u64) {
        self.nodes[index].doom(point, times);
    }

    /// Starts an agent once more, beside the one that runs.
    #[must_use]
    pub fn start_node_twice(&self, index: usize) -> Process {
        self.nodes[index].start_twice(&self.folder)
    }

    /// A node more, from its token to its being ready. Gives its index.
    pub async fn add_node(&mut self, name: &str) -> usize {
        let token = self.node_token(&["--name", name]).await;
        let dir = self.node_folder(name);
        let output = self.join_node(name, &token, &dir).await;
        assert_eq!(output.code, 0, "the join failed: {output:?}");
        let index = self.start_joined_node(name, &dir);
        self.wait_for_node(index).await;
        index
    }
}
