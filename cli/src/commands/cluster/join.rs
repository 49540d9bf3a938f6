//! `bossctl cluster join`: makes a server's folder on the machine that it will run on. The key is made here and never
//! leaves; the servers are believed only under the authority that the token names. Starts nothing.

use std::{
    io::{self, Read},
    path::Path,
};

use boss_base::{files, pki};
use boss_client::{Client, Config, Credentials, Deadlines, Endpoint, Error, Source};
use boss_proto::{
    join_token,
    v1::{JoinRequest, JoinResponse, JoinTokenContents},
};

use super::parse_server;
use crate::{
    args::{self, Global},
    context,
    failure::{Exit, Failure},
    output,
    provision::{Joining, Server, Welcome},
    terminal,
};

const WHAT: &str = "cannot join";
/// Several times the longest token.
const TOKEN_FILE_BYTES_MAX: usize = 128 << 10;

pub(super) async fn run(args: &args::Join, global: &Global) -> Result<Exit, Failure> {
    // The id comes with the answer.
    let server = parse_server(&args.newcomer, 0, &args.http)?;
    server.check().map_err(|problem| Failure::bad_input(WHAT, problem))?;
    let token = read_token(&args.token_file)?;
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
    let config = joining.finish(&Welcome { token: &token, answer: &answer, server: &server })?;
    terminal::print(&next_steps(&token, &answer, &server, &config));
    Ok(Exit::Ok)
}

fn read_token(path: &Path) -> Result<JoinTokenContents, Failure> {
    let failed = |error: io::Error| Failure::bad_input(WHAT, format!("{}: {error}", path.display()));
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let limit = u64::try_from(TOKEN_FILE_BYTES_MAX).unwrap_or(u64::MAX);
        io::stdin().take(limit).read_to_end(&mut bytes).map_err(failed)?;
        bytes
    } else {
        let bytes = files::read_bounded(path, TOKEN_FILE_BYTES_MAX).map_err(failed)?;
        context::refuse_open(path).map_err(|error| {
            let advice = format!("chmod 600 {}", path.display());
            Failure::bad_input(WHAT, format!("the join token: {error}")).or_next(advice)
        })?;
        bytes
    };
    // Bytes that are no text are no token either; they are not repeated.
    let text = String::from_utf8(bytes).unwrap_or_default();
    join_token::decode(&text).map_err(|bad| {
        Failure::bad_input(WHAT, format!("{}: {bad}", path.display()))
            .or_next("bossctl cluster join-token create --out FILE, with the context of an administrator")
    })
}

/// Somebody without a name, who believes only servers of the token's cluster under the token's authority.
fn client(token: &JoinTokenContents, global: &Global) -> Result<Client, Failure> {
    let bad = |error: &Error| Failure::bad_input(WHAT, error);
    let servers = if global.server.is_empty() { &token.servers } else { &global.server };
    let servers = servers.iter().map(|server| server.parse::<Endpoint>()).collect::<Result<Vec<_>, _>>();
    let ca = Source::Inline(pki::certificate_pem(&token.ca));
    let mut config = Config::new(servers.map_err(|error| bad(&error))?, ca, Credentials::Anonymous);
    config.cluster_id = Some(token.cluster_id.clone().into());
    config.deadlines = Deadlines { overall: global.timeout, ..config.deadlines };
    Client::connect(config).map_err(|error| bad(&error))
}

/// What a refusal means to somebody who joins. Who does not know whether the token was used keeps the key: with it the
/// same command finds out.
fn refused(joining: Joining, error: &Error) -> Failure {
    let failure = Failure::from_client(WHAT, error);
    let next = match error {
        Error::Timeout(_) | Error::Unavailable(_) | Error::Overloaded(_) => {
            "the same command again, once servers of the cluster can be reached: it goes on where this one stopped"
        }
        Error::Untrusted(_) => {
            "the token with servers of its own cluster: these are of another one, or somebody stands between"
        }
        Error::Forbidden(_) => "a new token: bossctl cluster join-token create, with the context of an administrator",
        Error::Invalid { .. } => return discarded(joining, failure),
        // The token may have been used already, as when no server holds the authority's key.
        _ => return failure,
    };
    let failure = Failure { next: Some(next.to_owned()), ..failure };
    match error {
        Error::Untrusted(_) | Error::Forbidden(_) => discarded(joining, failure),
        _ => failure,
    }
}

fn discarded(joining: Joining, failure: Failure) -> Failure {
    joining.discard();
    failure
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
