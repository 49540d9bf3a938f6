//! `bossctl login`, `bossctl logout` and `bossctl auth fetch-keys`. Tokens go from where they were made into a file for its
//! owner: never through a command line, standard output or a log.

use std::{fs, path::Path};

use boss_base::files;
use boss_client::{Client, Credentials, Source};
use boss_proto::v1::{self, OwnCredential, revoke_request::Target};

use crate::{
    args::{self, Global},
    context::{self, Contexts, Provider},
    failure::{Exit, Failure, chain},
    login::{self, LoggedIn, SCOPE_DEFAULT, device::Grant},
    output::{clean, rfc3339},
    session::{Chosen, Session},
    terminal,
};

const WHAT: &str = "cannot log in";

pub(super) async fn login(args: &args::Login, global: &Global) -> Result<Exit, Failure> {
    let chosen = Chosen::load(global)?;
    let token = match (&args.token_file, &chosen.context.provider) {
        (Some(file), _) => given(file)?,
        (None, Some(provider)) => exchanged(args, provider, &chosen, global).await?,
        (None, None) => return Err(no_provider(&chosen.name)),
    };
    let client = chosen.client_with(global, Credentials::Token(Source::Inline(token.clone())))?;
    let me = terminal::waiting("asking who you are", client.who_am_i()).await;
    let me = me.map_err(|error| Failure::from_client(WHAT, &error))?;
    if me.method != "token" {
        return Err(Failure::new(Exit::Failed, WHAT, format!("the servers took you for {}", clean(&me.username))));
    }
    Contexts::keep_token(&chosen.path, &chosen.name, &token)?;
    let until = rfc3339(i64::try_from(me.expires_at).unwrap_or(i64::MAX));
    terminal::print(&format!("logged in as {} until {until}\n", clean(&me.username)));
    Ok(Exit::Ok)
}

/// A token that somebody gave us in a file.
fn given(file: &Path) -> Result<String, Failure> {
    context::refuse_open(file)?;
    let text = files::read_bounded(file, boss_base::jwt::TOKEN_BYTES_MAX)
        .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
    let text = text.map_err(|error| Failure::bad_input(WHAT, format!("{}: {error}", file.display())))?;
    match text.trim() {
        "" => Err(Failure::bad_input(WHAT, format!("{} is empty", file.display()))),
        token => Ok(token.to_owned()),
    }
}

fn no_provider(name: &str) -> Failure {
    Failure::bad_input(WHAT, format!("context {name} names no provider of identities"))
        .or_next(format!("bossctl context set {name} --issuer URL --client-id ID, or bossctl login --token-file FILE"))
}

/// The provider's word for who sits here, for a token of the cluster.
async fn exchanged(
    args: &args::Login,
    provider: &Provider,
    chosen: &Chosen,
    global: &Global,
) -> Result<String, Failure> {
    let asked = login::Client {
        issuer: &provider.issuer,
        client_id: &provider.client_id,
        scope: provider.scope.as_deref().unwrap_or(SCOPE_DEFAULT),
    };
    let web = login::web(provider.ca.as_deref())?;
    let LoggedIn { id_token, nonce } = login::log_in(&web, asked, show).await?;
    let seconds = args.lifetime.map_or(0, |lifetime| u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX));
    let request = v1::ExchangeTokenRequest { id_token, nonce, lifetime_seconds: seconds };
    let client = chosen.client_with(global, Credentials::Anonymous)?;
    let answer = terminal::waiting("logging in", client.exchange_token(request)).await;
    Ok(answer.map_err(|error| Failure::from_client(WHAT, &error))?.token)
}

/// What the person has to do, on standard error: standard output is for the result.
fn show(grant: &Grant) {
    let (code, uri) = (clean(grant.user_code()), clean(grant.verification_uri()));
    terminal::note(&match grant.verification_uri_complete() {
        Some(complete) => format!("open {} in a browser and compare the code: {code}", clean(complete)),
        None => format!("open {uri} in a browser and type the code: {code}"),
    });
}

pub(super) async fn logout(global: &Global) -> Result<Exit, Failure> {
    let chosen = Chosen::load(global)?;
    let ended = end(&Session::open(global)?.client).await;
    match &ended {
        // What the servers take no more needs no revocation.
        Ok(()) | Err(boss_client::Error::Unauthenticated(_)) => Contexts::forget_token(&chosen.path, &chosen.name)?,
        Err(_) => {}
    }
    ended.map_err(|error| Failure::from_client("cannot log out", &error))?;
    terminal::print("logged out: this context's token or certificate counts no more\n");
    Ok(Exit::Ok)
}

async fn end(client: &Client) -> Result<(), boss_client::Error> {
    let target = Some(Target::Own(OwnCredential {}));
    let request = v1::RevokeRequest { target, expires_at: None, reason: "logged out".to_owned() };
    terminal::waiting("revoking", client.revoke(request)).await.map(drop)
}

pub(super) async fn fetch_keys(args: &args::FetchKeys) -> Result<Exit, Failure> {
    let web = login::web(args.issuer_ca.as_deref())?;
    let keys = terminal::waiting("asking the provider", login::fetch_keys(&web, &args.issuer)).await?;
    let there = fs::read(&args.out).is_ok_and(|before| before == keys);
    if !there {
        files::write_atomic(&args.out, &keys, files::PUBLIC).map_err(|error| {
            Failure::new(Exit::Failed, "cannot write the keys", format!("{}: {error}", args.out.display()))
        })?;
    }
    let news = if there { "are as they were" } else { "were written" };
    terminal::print(&format!("the keys of {} {news}\n", clean(&args.issuer)));
    Ok(Exit::Ok)
}

impl From<login::Error> for Failure {
    fn from(error: login::Error) -> Self {
        use login::{Error, device::Problem, web};
        let (exit, next) = match &error {
            Error::Web(web::Error::Address { .. }) => (Exit::BadInput, "bossctl context set NAME --issuer URL"),
            Error::Web(web::Error::Authorities { .. }) => (Exit::BadInput, "name a file with --issuer-ca"),
            Error::Web(web::Error::Unreachable { .. }) => (Exit::Unavailable, "is the provider's address right?"),
            Error::Web(web::Error::Untrusted { .. }) => {
                (Exit::Forbidden, "name the authority of the provider's certificate with --issuer-ca")
            }
            Error::Provider(Problem::Denied) => (Exit::Forbidden, "ask who runs the provider"),
            Error::Provider(Problem::TooLate) => (Exit::Unavailable, "bossctl login gives you another code"),
            Error::Provider(Problem::OtherIssuer { .. }) => (Exit::BadInput, "name the issuer by that name"),
            Error::Provider(_) | Error::Keys(_) => (Exit::Failed, "ask who runs the provider"),
        };
        Failure::new(exit, "cannot ask the provider of identities", clean(&chain(&error))).or_next(next)
    }
}
