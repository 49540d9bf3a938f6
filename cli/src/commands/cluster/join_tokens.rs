//! `bossctl cluster join-token`: who may join as a server. A token is shown once, to its maker.

use std::path::PathBuf;

use boss_proto::v1;

use super::write_private;
use crate::{
    args,
    failure::{Exit, Failure},
    output,
    session::Session,
    terminal,
};

pub(super) async fn run(args: args::JoinToken, session: &Session) -> Result<Exit, Failure> {
    match args {
        args::JoinToken::Create { ttl, replaces, out } => {
            let ttl_seconds = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
            let replaces_server_id = replaces.unwrap_or_default();
            create(v1::CreateJoinTokenRequest { ttl_seconds, replaces_server_id }, out, session).await
        }
        args::JoinToken::List => list(session).await,
        args::JoinToken::Revoke { id } => {
            let revoked = session.client.revoke_join_token(id.clone()).await;
            revoked.map_err(|error| Failure::from_client(format!("cannot revoke join token {id}"), &error))?;
            terminal::print(&format!("join token {} revoked\n", output::clean(&id)));
            Ok(Exit::Ok)
        }
    }
}

async fn create(request: v1::CreateJoinTokenRequest, out: Option<PathBuf>, session: &Session) -> Result<Exit, Failure> {
    let made = session.client.create_join_token(request).await;
    let made = made.map_err(|error| Failure::from_client("cannot make a join token", &error))?;
    match out {
        None => terminal::print(&format!("{}\n", made.token)),
        Some(path) => write_private(&path, &made.token)?,
    }
    Ok(Exit::Ok)
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let tokens = session.client.join_tokens().await;
    let tokens = tokens.map_err(|error| Failure::from_client("cannot list join tokens", &error))?.tokens;
    let rows: Vec<_> = tokens.iter().map(row).collect();
    terminal::print(&output::plain(&["ID", "STATE", "SERVER", "BY"], &rows));
    Ok(Exit::Ok)
}

fn row(token: &v1::JoinToken) -> Vec<String> {
    let server = if token.server_id == 0 { String::new() } else { token.server_id.to_string() };
    vec![token.id.clone(), state(token).to_owned(), server, output::clean(&token.created_by)]
}

/// Whether one is too old is the leader's to say, by the registry's time.
fn state(token: &v1::JoinToken) -> &'static str {
    match (token.server_id, token.revoked) {
        (0, false) => "unused",
        (0, true) => "revoked",
        (_, _) => "used",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_token_names_its_server() {
        let token = v1::JoinToken { id: "t1".into(), server_id: 4, created_by: "admin".into(), ..Default::default() };
        assert_eq!(row(&token), ["t1", "used", "4", "admin"]);
        assert_eq!(state(&v1::JoinToken { revoked: true, ..Default::default() }), "revoked");
        assert_eq!(state(&v1::JoinToken::default()), "unused");
    }
}
