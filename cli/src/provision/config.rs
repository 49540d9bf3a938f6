//! The configuration files of servers and nodes. Paths in them are relative to the file, so that a folder can be
//! copied to its machine as it is. Knows no certificate's contents.

use std::collections::BTreeMap;

use boss_base::files;
use boss_proto::v1;
use serde::Serialize;

use super::{
    Cluster, Error, Node, Server,
    plan::{BadPlan, split_address},
};

/// A server's configuration, in its folder.
pub(super) const SERVER_FILE: &str = "server.toml";
/// A node's configuration, in its folder.
pub(super) const NODE_FILE: &str = "node.toml";
/// Where a node keeps everything, in its folder.
pub(super) const STATE_FOLDER: &str = "state";
/// Where a server keeps everything, in its folder.
pub(super) const DATA_FOLDER: &str = "data";

#[derive(Serialize)]
struct ServerFile<'a> {
    id: u64,
    name: &'a str,
    cluster_id: &'a str,
    data_dir: &'a str,
    listen: Listen,
    advertise: Advertise<'a>,
    tls: Tls,
    tokens: Tokens<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pki: Option<Pki>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealing: Option<Sealing>,
    raft: Raft<'a>,
    members: &'a [Member],
}

#[derive(Serialize)]
struct Listen {
    api: String,
    peer: String,
    http: String,
}

#[derive(Serialize)]
struct Advertise<'a> {
    api: &'a str,
    peer: &'a str,
}

#[derive(Serialize)]
struct Tls {
    certificate: &'static str,
    key: &'static str,
    ca: &'static str,
}

#[derive(Serialize)]
struct Tokens<'a> {
    keys: &'a [String],
}

#[derive(Serialize)]
struct Pki {
    ca_key: &'static str,
}

#[derive(Serialize)]
struct Sealing {
    keys: &'static str,
}

#[derive(Serialize)]
struct Raft<'a> {
    profile: &'a str,
}

/// A server of the cluster, as every server's configuration lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) peer: String,
    pub(super) api: String,
}

impl From<&Server> for Member {
    fn from(server: &Server) -> Self {
        let Server { id, name, peer, api, .. } = server.clone();
        Self { id, name, peer, api }
    }
}

impl From<&v1::Member> for Member {
    fn from(member: &v1::Member) -> Self {
        let v1::Member { id, name, peer_address: peer, api_address: api, .. } = member.clone();
        Self { id, name, peer, api }
    }
}

/// What a server's configuration says beside the server itself.
pub(super) struct Around<'a> {
    pub(super) cluster_id: &'a str,
    pub(super) profile: &'a str,
    /// All of them, the server too.
    pub(super) members: &'a [Member],
    /// Files of keys that verify tokens.
    pub(super) token_keys: &'a [String],
    /// Whether it holds the authority's key.
    pub(super) signs: bool,
    /// Whether it was given the keys that seal secrets.
    pub(super) seals: bool,
}

#[derive(Serialize)]
struct NodeFile<'a> {
    name: &'a str,
    servers: Vec<&'a str>,
    state_dir: &'a str,
    stop_sandboxes_on_exit: bool,
    labels: &'a BTreeMap<String, String>,
    tls: Tls,
}

/// A server's `server.toml`.
pub(super) fn server_toml(server: &Server, around: &Around<'_>) -> Result<String, BadPlan> {
    let listen = |address: &str| listen_address(address, server.listen_as_advertised);
    Ok(to_toml(&ServerFile {
        id: server.id,
        name: &server.name,
        cluster_id: around.cluster_id,
        data_dir: DATA_FOLDER,
        listen: Listen { api: listen(&server.api)?, peer: listen(&server.peer)?, http: server.http.clone() },
        advertise: Advertise { api: &server.api, peer: &server.peer },
        tls: Tls { certificate: "tls/server.crt", key: "tls/server.key", ca: "tls/ca.crt" },
        tokens: Tokens { keys: around.token_keys },
        pki: around.signs.then_some(Pki { ca_key: "tls/ca.key" }),
        sealing: around.seals.then_some(Sealing { keys: "tls/sealing.keys" }),
        raft: Raft { profile: around.profile },
        members: around.members,
    }))
}

pub(super) fn write_server(cluster: &Cluster, server: &Server, members: &[Member]) -> Result<(), Error> {
    let around = Around {
        cluster_id: cluster.plan.cluster_id.as_str(),
        profile: &cluster.plan.profile,
        members,
        token_keys: &["tls/token.pub".to_owned()],
        signs: true,
        seals: cluster.has_sealing_keys(),
    };
    let text = server_toml(server, &around)?;
    cluster.write(&format!("{}/{SERVER_FILE}", server.folder), text.as_bytes(), files::PUBLIC)
}

pub(super) fn write_node(cluster: &Cluster, node: &Node) -> Result<(), Error> {
    let servers = cluster.plan.servers.iter().map(|server| &*server.api).collect();
    let text = node_toml(&node.name, servers, &node.labels, node.stop_sandboxes_on_exit);
    cluster.write(&format!("{}/{NODE_FILE}", node.folder), text.as_bytes(), files::PUBLIC)
}

/// A node's `node.toml`.
pub(super) fn node_toml(
    name: &str,
    servers: Vec<&str>,
    labels: &BTreeMap<String, String>,
    stop_sandboxes_on_exit: bool,
) -> String {
    to_toml(&NodeFile {
        name,
        servers,
        state_dir: STATE_FOLDER,
        stop_sandboxes_on_exit,
        labels,
        tls: Tls { certificate: "tls/node.crt", key: "tls/node.key", ca: "tls/ca.crt" },
    })
}

/// A machine may not have the address under which others reach it, so it listens on all of its own.
fn listen_address(address: &str, as_advertised: bool) -> Result<String, BadPlan> {
    let (_, port) = split_address(address)?;
    Ok(if as_advertised { address.to_owned() } else { format!("0.0.0.0:{port}") })
}

pub(super) fn to_toml(value: &impl Serialize) -> String {
    toml::to_string(value).expect("our own structs have text keys and no empty options")
}
