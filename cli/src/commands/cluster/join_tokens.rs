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
            let request = v1::CreateJoinTokenRequest { ttl_seconds, replaces_server_id, node: None };
            create(request, out, session).await
        }
        args::JoinToken::List => list(session).await,
        args::JoinToken::Revoke { id } => revoke(&id, session).await,
    }
}

/// Lets nobody join with it any more.
pub(in crate::commands) async fn revoke(id: &str, session: &Session) -> Result<Exit, Failure> {
    let revoked = session.client.revoke_join_token(id.to_owned()).await;
    revoked.map_err(|error| Failure::from_client(format!("cannot revoke join token {id}"), &error))?;
    terminal::print(&format!("join token {} revoked\n", output::clean(id)));
    Ok(Exit::Ok)
}

/// Makes one and shows it, or writes it to a file for its owner only.
pub(in crate::commands) async fn create(
    request: v1::CreateJoinTokenRequest,
    out: Option<PathBuf>,
    session: &Session,
) -> Result<Exit, Failure> {
    let made = session.client.create_join_token(request).await;
    let made = made.map_err(|error| Failure::from_client("cannot make a join token", &error))?;
    match out {
        None => terminal::print(&format!("{}\n", made.token)),
        Some(path) => write_private(&path, &made.token)?,
    }
    Ok(Exit::Ok)
}

/// Shows those that are kept.
pub(in crate::commands) async fn list(session: &Session) -> Result<Exit, Failure> {
    let tokens = session.client.join_tokens().await;
    let tokens = tokens.map_err(|error| Failure::from_client("cannot list join tokens", &error))?.tokens;
    let rows: Vec<_> = tokens.iter().map(row).collect();
    terminal::print(&output::plain(&["ID", "FOR", "STATE", "USED-BY", "UNTIL", "BY"], &rows));
    Ok(Exit::Ok)
}

fn row(token: &v1::JoinToken) -> Vec<String> {
    let until = token.expires_at.as_ref().map(|time| output::rfc3339(time.seconds)).unwrap_or_default();
    vec![
        token.id.clone(),
        output::clean(&purpose(token)),
        state(token),
        output::clean(&used_by(token)),
        until,
        output::clean(&token.created_by),
    ]
}

/// Whom it lets in.
fn purpose(token: &v1::JoinToken) -> String {
    match &token.node {
        None if token.replaces_server_id != 0 => format!("a server for {}", token.replaces_server_id),
        None => "a server".to_owned(),
        Some(scope) if !scope.name.is_empty() => format!("node {}", scope.name),
        Some(scope) if !scope.name_prefix.is_empty() => format!("nodes {}*", scope.name_prefix),
        Some(_) => "nodes".to_owned(),
    }
}

fn used_by(token: &v1::JoinToken) -> String {
    match &token.node {
        Some(scope) if scope.uses > 0 => format!("node {}", scope.last_node),
        None if token.server_id != 0 => format!("server {}", token.server_id),
        _ => String::new(),
    }
}

/// Whether one is too old is the leader's to say, by the registry's time.
fn state(token: &v1::JoinToken) -> String {
    match &token.node {
        _ if token.revoked => "revoked".to_owned(),
        Some(scope) => format!("used {}/{}", scope.uses, scope.uses_max),
        None if token.server_id != 0 => "used".to_owned(),
        None => "unused".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_token_names_its_server() {
        let token = v1::JoinToken { id: "t1".into(), server_id: 4, created_by: "admin".into(), ..Default::default() };
        assert_eq!(row(&token), ["t1", "a server", "used", "server 4", "", "admin"]);
        assert_eq!(state(&v1::JoinToken { revoked: true, ..Default::default() }), "revoked");
        assert_eq!(state(&v1::JoinToken::default()), "unused");
    }

    #[test]
    fn a_token_for_nodes_says_which_and_how_many_have_come() {
        let scope = v1::NodeScope {
            name_prefix: "ci-".into(),
            uses_max: 5,
            uses: 2,
            last_node: "ci-2".into(),
            ..Default::default()
        };
        let token = v1::JoinToken { id: "t1".into(), node: Some(scope), ..Default::default() };
        assert_eq!(row(&token)[..4], ["t1", "nodes ci-*", "used 2/5", "node ci-2"]);
    }
}
