//! `bossctl cluster`: the control plane itself, and the making of new ones.

mod add;
mod changes;
mod hashes;
mod join;
pub(in crate::commands) mod join_tokens;
mod status;

use std::path::Path;

use boss_base::files;
use boss_proto::v1;

use crate::{
    args::{self, Answer, Global},
    failure::{Exit, Failure},
    output,
    provision::{self, Cluster, Node, Plan, Server},
    session::Session,
    terminal,
};

pub(super) async fn run(args: args::Cluster, global: &Global) -> Result<Exit, Failure> {
    match args {
        args::Cluster::Status { output } => status::run(output, &Session::open(global)?).await,
        args::Cluster::Members { output } => members(output, &Session::open(global)?).await,
        args::Cluster::TransferLeader { to } => changes::transfer_leader(to, &Session::open(global)?).await,
        args::Cluster::Join(args) => join::run(&args, global).await,
        args::Cluster::Add(args) => add::add(&args, &Session::open(global)?).await,
        args::Cluster::Replace(args) => add::replace(&args, &Session::open(global)?).await,
        args::Cluster::Remove(args) => changes::remove(&args, &Session::open(global)?).await,
        args::Cluster::Change { number } => changes::show(number, &Session::open(global)?).await,
        args::Cluster::CancelChange { number } => changes::cancel(number, &Session::open(global)?).await,
        args::Cluster::JoinToken(args) => join_tokens::run(args, &Session::open(global)?).await,
        args::Cluster::Compact { revision } => changes::compact(revision, &Session::open(global)?).await,
        args::Cluster::CheckHashes { output } => hashes::run(output, &Session::open(global)?).await,
        args::Cluster::Snapshot(args) => super::snapshot::run(args, global).await,
        args::Cluster::Init(args) => init(&args),
        args::Cluster::Token(args) => token(&args),
    }
}

async fn members(answer: Answer, session: &Session) -> Result<Exit, Failure> {
    let members = terminal::waiting("asking", session.client.members()).await;
    let members = members.map_err(|error| Failure::from_client("cannot ask for the cluster's members", &error))?;
    let row = |member: &v1::Member| {
        let role = if member.id == members.leader_id {
            "leader"
        } else if member.voter {
            "voter"
        } else {
            "learner"
        };
        vec![
            member.id.to_string(),
            member.name.clone(),
            role.to_owned(),
            member.api_address.clone(),
            member.peer_address.clone(),
        ]
    };
    terminal::print(&match answer {
        Answer::Json => format!("{:#}\n", serde_json::json!(members)),
        Answer::Table => {
            let rows: Vec<_> = members.members.iter().map(row).collect();
            output::plain(&["ID", "NAME", "ROLE", "API", "PEER"], &rows)
        }
    });
    session.learn_servers().await;
    Ok(Exit::Ok)
}

fn init(args: &args::Init) -> Result<Exit, Failure> {
    let servers = args.server.iter().zip(1..).map(|(text, id)| parse_server(text, id, &args.http));
    let plan = Plan {
        cluster_id: provision::random_cluster_id(),
        profile: args.profile.clone(),
        servers: servers.collect::<Result<_, _>>()?,
        nodes: args.node.iter().cloned().map(Node::new).collect(),
        context: args.name.clone(),
    };
    let cluster = provision::create(&args.dir, &plan)?;
    terminal::print(&next_steps(&cluster));
    Ok(Exit::Ok)
}

/// `NAME=PEER_HOST:PORT,API_HOST:PORT`
fn parse_server(text: &str, id: u64, http: &str) -> Result<Server, Failure> {
    let parts = text.split_once('=').and_then(|(name, addresses)| Some((name, addresses.split_once(',')?)));
    let Some((name, (peer, api))) = parts else {
        let why = format!("{text:?} is not NAME=PEER_HOST:PORT,API_HOST:PORT");
        return Err(Failure::bad_input("cannot read the server", why).or_next("boss-1=10.0.0.1:7401,10.0.0.1:7400"));
    };
    Ok(Server {
        id,
        name: name.to_owned(),
        folder: format!("servers/{name}"),
        api: api.to_owned(),
        peer: peer.to_owned(),
        http: http.to_owned(),
        listen_as_advertised: false,
    })
}

fn warn_of_force() {
    terminal::note("warning: forced: if the servers that are left cannot form a majority, the cluster stands still");
}

fn next_steps(cluster: &Cluster) -> String {
    let folder = |name: &str| cluster.directory().join(name).display().to_string();
    let mut text = format!("made cluster {} in {}\n\n", cluster.plan().cluster_id, cluster.directory().display());
    text.push_str("Copy each folder to its machine and start there, the first server with --initialize once:\n");
    for (index, server) in cluster.plan().servers.iter().enumerate() {
        let initialize = if index == 0 { " --initialize" } else { "" };
        text.push_str(&format!("  {}   boss-server --config server.toml{initialize}\n", folder(&server.folder)));
    }
    for node in &cluster.plan().nodes {
        text.push_str(&format!("  {}   boss-node --config node.toml\n", folder(&node.folder)));
    }
    let context = cluster.context_path();
    text.push_str(&format!(
        "\nKeep {} safe: who has ca.key or token.key is the administrator.\nThen look: bossctl --config {} cluster status\n",
        folder("pki"),
        context.display()
    ));
    text
}

fn token(args: &args::Token) -> Result<Exit, Failure> {
    let cluster = Cluster::open(&args.dir)?;
    let groups: Vec<&str> = args.group.iter().map(String::as_str).collect();
    let token = cluster.issue_token(&args.user, &groups, args.lifetime)?;
    match &args.out {
        None => terminal::print(&format!("{token}\n")),
        Some(path) => write_private(path, &token)?,
    }
    Ok(Exit::Ok)
}

fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    files::write_atomic(path, text.as_bytes(), files::PRIVATE)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {}", path.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_its_name_and_two_addresses() {
        let server = parse_server("boss-1=10.0.0.1:7401,boss-1.example.com:7400", 1, "127.0.0.1:7402").unwrap();
        assert_eq!((&*server.name, &*server.folder), ("boss-1", "servers/boss-1"));
        assert_eq!(server.addresses(), ["boss-1.example.com:7400", "10.0.0.1:7401", "127.0.0.1:7402"]);
        for bad in ["", "boss-1", "boss-1=10.0.0.1:7401", "10.0.0.1:7401,10.0.0.1:7400"] {
            assert_eq!(parse_server(bad, 1, "x").unwrap_err().exit, Exit::BadInput, "{bad}");
        }
    }
}
