//! `bossctl cluster add|replace`: a new server with a folder made at the desk that holds the authority's key. Starts
//! nothing: the folder is copied to its machine first.

use std::path::Path;

use boss_proto::{ids::Uid, v1};

use super::parse_server;
use crate::{
    args,
    failure::{Exit, Failure},
    output,
    provision::{Cluster, Server},
    session::Session,
    terminal,
};

pub(super) async fn add(args: &args::Add, session: &Session) -> Result<Exit, Failure> {
    let prepared = prepare(args)?;
    let what = format!("cannot add server {}", prepared.server.name);
    let request = v1::AddServerRequest {
        server: Some(wire(&prepared.server)),
        request_id: Uid::random().to_string(),
        force: args.force,
    };
    let begun = terminal::waiting("asking the leader", session.client.add_server(request)).await;
    let change = begun.map_err(|error| Failure::from_client(&*what, &error))?;
    make_folder(prepared, &change, session).await.map_err(|failure| or_cancel(failure, &change))
}

pub(super) async fn replace(args: &args::Replace, session: &Session) -> Result<Exit, Failure> {
    let prepared = prepare(&args.add)?;
    let what = format!("cannot replace server {}", args.old);
    let request = v1::ReplaceServerRequest {
        old_server_id: args.old,
        server: Some(wire(&prepared.server)),
        request_id: Uid::random().to_string(),
        force: args.add.force,
    };
    let begun = terminal::waiting("asking the leader", session.client.replace_server(request)).await;
    let change = begun.map_err(|error| Failure::from_client(&*what, &error))?;
    make_folder(prepared, &change, session).await.map_err(|failure| or_cancel(failure, &change))
}

/// What can be found wrong before anybody is asked.
struct Prepared {
    cluster: Cluster,
    server: Server,
}

fn prepare(args: &args::Add) -> Result<Prepared, Failure> {
    let cluster = Cluster::open(&args.dir)?;
    // The id comes with the answer.
    let mut server = parse_server(&args.newcomer, 0, &args.http)?;
    server.listen_as_advertised = cluster.is_local();
    server.check().map_err(|problem| Failure::bad_input("cannot make the server's folder", problem))?;
    cluster.check_can_sign()?;
    if args.force {
        super::warn_of_force();
    }
    Ok(Prepared { cluster, server })
}

async fn make_folder(prepared: Prepared, change: &v1::MembershipChange, session: &Session) -> Result<Exit, Failure> {
    let Prepared { mut cluster, server } = prepared;
    let id = change.add.as_ref().map_or(0, |member| member.id);
    let server = Server { id, folder: format!("servers/{}-{id}", server.name), ..server };
    let members = session.client.members().await;
    let members = members.map_err(|error| Failure::from_client("cannot ask for the cluster's members", &error))?;
    cluster.add_server(server.clone(), &members.members)?;
    terminal::print(&next_steps(&cluster.server_directory(&server), &server, change));
    Ok(Exit::Ok)
}

/// The change waits for a server that has no folder.
fn or_cancel(failure: Failure, change: &v1::MembershipChange) -> Failure {
    Failure { next: Some(format!("bossctl cluster cancel-change {}, then again", change.number)), ..failure }
}

fn wire(server: &Server) -> v1::Member {
    let Server { name, peer, api, .. } = server.clone();
    v1::Member { name, peer_address: peer, api_address: api, ..v1::Member::default() }
}

fn next_steps(folder: &Path, server: &Server, change: &v1::MembershipChange) -> String {
    let replaced = match change.remove_id {
        0 => String::new(),
        old => format!(" in the place of server {old}"),
    };
    format!(
        "server {} ({}) comes{replaced} with change {}\n\n\
         Copy its folder to its machine:   {}\n\
         Start it there:                   boss-server --config server.toml\n\
         It votes once it has caught up:   bossctl cluster change {}\n",
        server.id,
        output::clean(&server.name),
        change.number,
        folder.display(),
        change.number,
    )
}
