//! `bossctl version`: of this program and of the servers.

use std::collections::BTreeSet;

use crate::{
    args::Global,
    failure::{Exit, Failure},
    session::Session,
    terminal,
};

pub(super) async fn run(client_only: bool, global: &Global) -> Result<Exit, Failure> {
    terminal::print(&format!("client: {}\n", env!("CARGO_PKG_VERSION")));
    if client_only {
        return Ok(Exit::Ok);
    }
    let session = Session::open(global)?;
    let status = terminal::waiting("asking", session.client.cluster_status()).await;
    let status = status.map_err(|error| Failure::from_client("cannot ask the servers for their version", &error))?;
    let versions: BTreeSet<&str> =
        status.servers.iter().map(|server| &*server.version).filter(|version| !version.is_empty()).collect();
    terminal::print(&format!("servers: {}\n", versions.into_iter().collect::<Vec<_>>().join(", ")));
    Ok(Exit::Ok)
}
