//! The configuration files of servers and nodes. Paths in them are relative to the file, so that a folder can be
//! copied to its machine as it is. Knows no certificate's contents.

use std::collections::BTreeMap;

use boss_base::files;
use serde::Serialize;

use super::{
    Cluster, Error, Node, Server,
    plan::{BadPlan, split_address},
};

#[derive(Serialize)]
struct ServerFile<'a> {
    id: u64,
    name: &'a str,
    cluster_id: &'a str,
    data_dir: &'a str,
    listen: Listen,
    advertise: Advertise<'a>,
    tls: Tls,
    tokens: Tokens,
    raft: Raft<'a>,
    members: Vec<Member<'a>>,
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
struct Tokens {
    keys: [&'static str; 1],
}

#[derive(Serialize)]
struct Raft<'a> {
    profile: &'a str,
}

#[derive(Serialize)]
struct Member<'a> {
    id: u64,
    name: &'a str,
    peer: &'a str,
    api: &'a str,
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

pub(super) fn write_server(cluster: &Cluster, server: &Server) -> Result<(), Error> {
    let member = |member: &'_ Server| (member.id, member.name.clone(), member.peer.clone(), member.api.clone());
    let members: Vec<_> = cluster.plan.servers.iter().map(member).collect();
    let listen = |address: &str| listen_address(address, server.listen_as_advertised);
    let file = ServerFile {
        id: server.id,
        name: &server.name,
        cluster_id: cluster.plan.cluster_id.as_str(),
        data_dir: "data",
        listen: Listen { api: listen(&server.api)?, peer: listen(&server.peer)?, http: server.http.clone() },
        advertise: Advertise { api: &server.api, peer: &server.peer },
        tls: Tls { certificate: "tls/server.crt", key: "tls/server.key", ca: "tls/ca.crt" },
        tokens: Tokens { keys: ["tls/token.pub"] },
        raft: Raft { profile: &cluster.plan.profile },
        members: members.iter().map(|(id, name, peer, api)| Member { id: *id, name, peer, api }).collect(),
    };
    cluster.write(&format!("{}/server.toml", server.folder), to_toml(&file).as_bytes(), files::PUBLIC)
}

pub(super) fn write_node(cluster: &Cluster, node: &Node) -> Result<(), Error> {
    let file = NodeFile {
        name: &node.name,
        servers: cluster.plan.servers.iter().map(|server| &*server.api).collect(),
        state_dir: "state",
        stop_sandboxes_on_exit: node.stop_sandboxes_on_exit,
        labels: &node.labels,
        tls: Tls { certificate: "tls/node.crt", key: "tls/node.key", ca: "tls/ca.crt" },
    };
    cluster.write(&format!("{}/node.toml", node.folder), to_toml(&file).as_bytes(), files::PUBLIC)
}

/// A machine may not have the address under which others reach it, so it listens on all of its own.
fn listen_address(address: &str, as_advertised: bool) -> Result<String, BadPlan> {
    let (_, port) = split_address(address)?;
    Ok(if as_advertised { address.to_owned() } else { format!("0.0.0.0:{port}") })
}

pub(super) fn to_toml(value: &impl Serialize) -> String {
    toml::to_string(value).expect("our own structs have text keys and no empty options")
}
