//! Servers that join a running cluster, as an operator does it: a token, a join on the new machine, a start.

use std::path::{Path, PathBuf};

use boss_proto::v1;
use bossctl::provision::Server;

use super::Cluster;
use crate::{
    bossctl_run::{Bossctl, Output},
    machine::Machine,
    ports, run_folder, wait,
};

/// A machine that is to become a server.
pub struct Newcomer {
    /// The name and addresses that it will have; its id comes with the join.
    pub server: Server,
    /// Where its folder is made.
    pub dir: PathBuf,
}

impl Newcomer {
    /// As the command line wants it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}={},{}", self.server.name, self.server.peer, self.server.api)
    }
}

impl Cluster {
    /// A machine with a name and ports of its own.
    pub fn newcomer(&mut self, name: &str) -> Newcomer {
        if let Some(newcomer) = self.newcomer_apart(name) {
            return newcomer;
        }
        let mut port = || {
            let port = ports::take(&run_folder::root().join("ports")).unwrap_or_else(|error| panic!("{error}"));
            let number = port.number();
            self.ports.push(port);
            number
        };
        let ports = [port(), port(), port()];
        let server = Server { name: name.to_owned(), ..Server::local(0, ports) };
        Newcomer { server, dir: self.folder().join(name) }
    }

    /// A file with a fresh token.
    pub async fn join_token(&self, options: &[&str]) -> PathBuf {
        let path = tempfile::Builder::new().prefix("token").tempfile_in(self.folder()).expect("the folder is ours");
        let path = path.into_temp_path().keep().expect("the folder is ours");
        let text = path.to_str().expect("a path of ours");
        Bossctl::of(self).succeed(&[&["cluster", "join-token", "create", "--out", text], options].concat()).await;
        path
    }

    /// `bossctl cluster join`, on a machine that has no context, with the cluster's sealing keys as its operator gives
    /// them.
    pub async fn join(&self, newcomer: &Newcomer, token: &Path, options: &[&str]) -> Output {
        let keys = self.layout().directory().join("pki/sealing.keys");
        let with_keys = ["--sealing-keys", keys.to_str().expect("a path of ours")];
        self.join_without_keys(newcomer, token, &[options, &with_keys].concat()).await
    }

    /// The same of an operator who forgets the sealing keys.
    pub async fn join_without_keys(&self, newcomer: &Newcomer, token: &Path, options: &[&str]) -> Output {
        let none = self.folder().join("no-context");
        let (dir, token) = (newcomer.dir.to_str().expect("a path of ours"), token.to_str().expect("a path of ours"));
        let (text, http) = (newcomer.text(), &*newcomer.server.http);
        let args = ["cluster", "join", &*text, "--token-file", token, "--dir", dir, "--http", http];
        Bossctl::with_config(self.folder(), &none).run(&[&args, options].concat()).await
    }

    /// Starts what has joined; gives its id.
    pub fn start_newcomer(&mut self, newcomer: Newcomer) -> u64 {
        let config = newcomer.dir.join("server.toml");
        let text = std::fs::read_to_string(&config).unwrap_or_else(|error| panic!("{}: {error}", config.display()));
        let id = text.lines().find_map(|line| line.strip_prefix("id = ")?.parse().ok()).expect("a server has an id");
        assert!(self.server_ids().all(|known| known != id), "id {id} was used before");
        let mut machine = Machine::new(&newcomer.server.name, "boss-server", config);
        machine.move_to(self.place_of(&newcomer.server));
        machine.start(&self.folder, &[]);
        // Ids of changes that came to nothing are never used again.
        while (self.servers.len() as u64) < id - 1 {
            let unused = Server::local(self.servers.len() as u64 + 1, [0; 3]);
            self.servers.push(Machine::new(&unused.name, "boss-server", PathBuf::new()));
            self.known.push(unused);
        }
        self.servers.push(machine);
        self.known.push(Server { id, ..newcomer.server });
        id
    }

    /// A server more, from its token to its vote.
    pub async fn add_server(&mut self, options: &[&str]) -> u64 {
        let newcomer = self.newcomer(&format!("joined-{}", self.servers.len() + 1));
        let token = self.join_token(options).await;
        let output = self.join(&newcomer, &token, &[]).await;
        assert_eq!(output.code, 0, "the join failed: {output:?}");
        let id = self.start_newcomer(newcomer);
        self.wait_for_vote(id).await;
        id
    }

    /// Waits until every server that answers says that this one votes and that no change of the members is under way:
    /// a vote counts before the change that gave it is written down as done, and until then no other one can begin.
    pub async fn wait_for_vote(&self, id: u64) {
        self.wait(format!("server {id} votes"), async || {
            let mut answered = Vec::new();
            for other in self.running_servers() {
                if let Ok(members) = self.admin_at(other).members().await {
                    answered.push(members);
                }
            }
            let votes = |members: &v1::MembersResponse| members.members.iter().any(|one| one.id == id && one.voter);
            let settled = |members: &v1::MembersResponse| votes(members) && members.change.is_none();
            let told: Vec<String> = answered.iter().map(describe).collect();
            wait::holds(!answered.is_empty() && answered.iter().all(settled), told.join("; "))
        })
        .await;
    }
}

fn describe(members: &v1::MembersResponse) -> String {
    format!("members {:?}, change {:?}", members.members, members.change)
}
