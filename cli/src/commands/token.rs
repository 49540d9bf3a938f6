//! `bossctl token`, `bossctl auth revoke-subject` and `bossctl logout`: tokens, and the end of credentials.

use boss_proto::v1::{self, OwnCredential, revoke_request::Target};

use crate::{
    args,
    failure::{Exit, Failure},
    output,
    session::Session,
    terminal,
};

pub(super) async fn run(args: args::Tokens, session: &Session) -> Result<Exit, Failure> {
    match args {
        args::Tokens::Revoke(args::RevokeToken { id, reason }) => {
            revoke(session, Target::TokenId(id.clone()), reason).await?;
            terminal::print(&format!("token {} counts no more\n", output::clean(&id)));
        }
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

pub(super) async fn logout(session: &Session) -> Result<Exit, Failure> {
    revoke(session, Target::Own(OwnCredential {}), "logged out".to_owned()).await?;
    terminal::print("logged out: this context's token or certificate counts no more\n");
    Ok(Exit::Ok)
}

async fn revoke(session: &Session, target: Target, reason: String) -> Result<v1::RevokeResponse, Failure> {
    let request = v1::RevokeRequest { target: Some(target), expires_at: None, reason };
    let answer = terminal::waiting("revoking", session.client.revoke(request)).await;
    answer.map_err(|error| Failure::from_client("cannot revoke it", &error))
}
