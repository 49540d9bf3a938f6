//! What joining as a server and as a node have in common: the token is read from a file, and servers are believed only
//! under the authorities that it names.

use std::{
    io::{self, Read},
    path::Path,
};

use boss_base::files;
use boss_client::{Client, Config, Credentials, Deadlines, Endpoint, Error, Source};
use boss_proto::{join_token, v1::JoinTokenContents};

use crate::{
    args::Global,
    context,
    failure::Failure,
    provision::{Joining, authorities_pem},
};

pub(super) const WHAT: &str = "cannot join";
/// Several times the longest token.
const TOKEN_FILE_BYTES_MAX: usize = 128 << 10;

pub(super) fn read_token(path: &Path) -> Result<JoinTokenContents, Failure> {
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
            .or_next("bossctl token create --node --out FILE, or --control-plane, with the context of an administrator")
    })
}

/// Somebody without a name, who believes only servers of the token's cluster under the token's authority.
pub(super) fn client(token: &JoinTokenContents, global: &Global) -> Result<Client, Failure> {
    let bad = |error: &Error| Failure::bad_input(WHAT, error);
    let servers = if global.server.is_empty() { &token.servers } else { &global.server };
    let servers = servers.iter().map(|server| server.parse::<Endpoint>()).collect::<Result<Vec<_>, _>>();
    let ca = Source::Inline(authorities_pem(token));
    let mut config = Config::new(servers.map_err(|error| bad(&error))?, ca, Credentials::Anonymous);
    config.cluster_id = Some(token.cluster_id.clone().into());
    config.deadlines = Deadlines { overall: global.timeout, ..config.deadlines };
    Client::connect(config).map_err(|error| bad(&error))
}

/// What a refusal means to somebody who joins. Who does not know whether the token was used keeps the key: with it the
/// same command finds out.
pub(super) fn refused(joining: Joining, error: &Error) -> Failure {
    let failure = Failure::from_client(WHAT, error);
    let next = match error {
        Error::Timeout(_) | Error::Unavailable(_) | Error::Overloaded(_) => {
            "the same command again, once servers of the cluster can be reached: it goes on where this one stopped"
        }
        Error::Untrusted(_) => {
            "the token with servers of its own cluster: these are of another one, or somebody stands between"
        }
        Error::Forbidden(_) => {
            "what was refused put right, then a new token: bossctl token create, with the context of an administrator"
        }
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
