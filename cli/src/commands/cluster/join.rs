//! `bossctl cluster join`: makes a server's folder on the machine that it will run on. The key is made here and never
//! leaves; the servers are believed only under the authority that the token names. Starts nothing.

use std::path::Path;

use boss_base::sealing::KeyRing;
use boss_proto::v1::{JoinRequest, JoinResponse, JoinTokenContents};

use super::parse_server;
use crate::{
    args::{self, Global},
    commands::joining::{WHAT, client, read_token, refused},
    failure::{Exit, Failure},
    output,
    provision::{Joining, Server, Welcome},
    terminal,
};

pub(super) async fn run(args: &args::Join, global: &Global) -> Result<Exit, Failure> {
    // The id comes with the answer.
    let server = parse_server(&args.newcomer, 0, &args.http)?;
    server.check().map_err(|problem| Failure::bad_input(WHAT, problem))?;
    let token = read_token(&args.token_file)?;
    if token.for_nodes {
        let why = "the token lets nodes in, not a server";
        return Err(Failure::bad_input(WHAT, why).or_next("bossctl node join, on the machine of the node"));
    }
    if let Some(path) = &args.sealing_keys {
        // Before the token is used up.
        KeyRing::load(path).map_err(|problem| Failure::bad_input(WHAT, problem))?;
    }
    let client = client(&token, global)?;
    let joining = Joining::begin(&args.dir, &server.name)?;
    let request = JoinRequest {
        token_id: token.token_id.clone(),
        secret: token.secret.clone(),
        certificate_request: joining.certificate_request().to_vec().into(),
        name: server.name.clone(),
        peer_address: server.peer.clone(),
        api_address: server.api.clone(),
        cluster_id: token.cluster_id.clone(),
    };
    let answer = match terminal::waiting("joining", client.join(request)).await {
        Ok(answer) => answer,
        Err(error) => return Err(refused(joining, &error)),
    };
    let server = Server { id: answer.server_id, ..server };
    let sealing_keys = args.sealing_keys.as_deref();
    let config = joining.finish(&Welcome { token: &token, answer: &answer, server: &server, sealing_keys })?;
    if sealing_keys.is_none() {
        terminal::note(
            "without the cluster's sealing keys this server can show no secret: copy pki/sealing.keys of the cluster's \
             folder to tls/sealing.keys here and put [sealing] keys = \"tls/sealing.keys\" into server.toml",
        );
    }
    terminal::print(&next_steps(&token, &answer, &server, &config));
    Ok(Exit::Ok)
}

fn next_steps(token: &JoinTokenContents, answer: &JoinResponse, server: &Server, config: &Path) -> String {
    format!(
        "server {} ({}) joins cluster {} with change {}\n\n\
         Start it here:                    boss-server --config {}\n\
         It votes once it has caught up:   bossctl cluster change {}, with the context of an administrator\n",
        server.id,
        server.name,
        output::clean(&token.cluster_id),
        answer.change_number,
        config.display(),
        answer.change_number,
    )
}
