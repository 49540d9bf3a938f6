//! `bossctl token` and `bossctl auth revoke-subject`: tokens of callers and of machines that join, and
//! the end of credentials.

use boss_base::files;
use boss_proto::v1::{self, TokenServiceAccount, TokenUser, create_token_request::Subject, revoke_request::Target};

use super::cluster::join_tokens;
use crate::{
    args,
    failure::{Exit, Failure},
    output,
    session::Session,
    terminal,
};

pub(super) async fn run(args: args::Tokens, session: &Session) -> Result<Exit, Failure> {
    match args {
        args::Tokens::Create(args) => create(args, session).await,
        args::Tokens::List => join_tokens::list(session).await,
        args::Tokens::Revoke(args) => end(args, session).await,
    }
}

/// Ids of both sorts are random: what is no join token is a bearer token, or none that anybody knows.
async fn end(args: args::RevokeToken, session: &Session) -> Result<Exit, Failure> {
    let args::RevokeToken { id, reason } = args;
    let joins = session.client.join_tokens().await.map(|known| known.tokens).unwrap_or_default();
    if joins.iter().any(|token| token.id == id) {
        return join_tokens::revoke(&id, session).await;
    }
    revoke(session, Target::TokenId(id.clone()), reason).await?;
    terminal::print(&format!("token {} counts no more\n", output::clean(&id)));
    Ok(Exit::Ok)
}

async fn create(args: args::CreateToken, session: &Session) -> Result<Exit, Failure> {
    if let Some(name) = args.service_account.clone() {
        let (namespace, pod_name) = (session.namespace.clone(), args.pod.clone().unwrap_or_default());
        let account = TokenServiceAccount { namespace, name, pod_name, pod_uid: String::new() };
        return create_bearer(Subject::ServiceAccount(account), args, session).await;
    }
    if let Some(name) = args.user.clone() {
        let user = TokenUser { name, groups: args.group.clone() };
        return create_bearer(Subject::User(user), args, session).await;
    }
    let node = args.for_nodes.then(|| v1::NodeScope {
        name: args.name.clone().unwrap_or_default(),
        name_prefix: args.name_prefix.clone().unwrap_or_default(),
        uses_max: args.uses,
        ..v1::NodeScope::default()
    });
    let request = v1::CreateJoinTokenRequest {
        ttl_seconds: u32::try_from(args.expires.as_secs()).unwrap_or(u32::MAX),
        replaces_server_id: args.replaces.unwrap_or_default(),
        node,
    };
    join_tokens::create(request, args.out, session).await
}

/// A token for who acts as a service account or a user.
async fn create_bearer(subject: Subject, args: args::CreateToken, session: &Session) -> Result<Exit, Failure> {
    let lifetime_seconds = u32::try_from(args.expires.as_secs()).unwrap_or(u32::MAX);
    let request = v1::CreateTokenRequest { subject: Some(subject), lifetime_seconds, audience: String::new() };
    let answer = terminal::waiting("asking for a token", session.client.create_token(request)).await;
    let answer = answer.map_err(|error| Failure::from_client("cannot make a token", &error))?;
    let until = answer.expires_at.map_or_else(String::new, |at| output::rfc3339(at.seconds));
    terminal::note(&format!("token {}, good until {until}", answer.token_id));
    match args.out {
        None => terminal::print(&format!("{}\n", answer.token)),
        Some(path) => files::write_atomic(&path, answer.token.as_bytes(), files::PRIVATE).map_err(|error| {
            Failure::new(Exit::Failed, "cannot write the token", format!("{}: {error}", path.display()))
        })?,
    }
    Ok(Exit::Ok)
}

pub(super) async fn revoke_subject(args: &args::RevokeSubject, session: &Session) -> Result<Exit, Failure> {
    let answer = revoke(session, Target::User(args.user.clone()), args.reason.clone()).await?;
    let since = answer.revocation.and_then(|it| it.spec).map_or(0, |spec| spec.generation);
    let since = output::rfc3339(i64::try_from(since).unwrap_or(i64::MAX));
    let user = output::clean(&args.user);
    terminal::print(&format!("no token and no certificate of {user} issued before {since} counts any more\n"));
    Ok(Exit::Ok)
}

async fn revoke(session: &Session, target: Target, reason: String) -> Result<v1::RevokeResponse, Failure> {
    let request = v1::RevokeRequest { target: Some(target), expires_at: None, reason };
    let answer = terminal::waiting("revoking", session.client.revoke(request)).await;
    answer.map_err(|error| Failure::from_client("cannot revoke it", &error))
}
