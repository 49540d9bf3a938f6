//! Logging in at a provider of identities from a terminal (RFC 8628): the person confirms a code in a browser, and the
//! provider signs who he is. Talks to the provider alone; knows no cluster.

pub mod device;
pub mod web;

use std::{path::Path, time::Duration};

use boss_base::{
    clock::{Clock, SystemClock},
    jwt::{BadKeySet, KeySet},
};

use self::{
    device::{Discovery, Grant, Patience, Polled},
    web::{Answer, Web},
};

/// Where the login stands with its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client<'a> {
    /// The provider's address, as its tokens name it.
    pub issuer: &'a str,
    /// What the provider calls us.
    pub client_id: &'a str,
    /// What we ask to be told.
    pub scope: &'a str,
}

/// What the provider signed, and what we gave it to put in. Both are for the cluster only.
pub struct LoggedIn {
    /// Who the person is.
    pub id_token: String,
    /// Ours alone.
    pub nonce: String,
}

/// Nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The provider cannot be asked.
    #[error(transparent)]
    Web(#[from] web::Error),
    /// It answers what we cannot use.
    #[error("{0}")]
    Provider(#[from] device::Problem),
    /// Its keys are none that we could use.
    #[error("the provider's keys: {0}")]
    Keys(#[from] BadKeySet),
}

/// Logs somebody in: `show` is told once what he has to do, and it waits until he has.
pub async fn log_in(web: &Web, client: Client<'_>, show: impl FnOnce(&Grant)) -> Result<LoggedIn, Error> {
    let discovery = discover(web, client.issuer).await?;
    let nonce = format!("{:016x}{:016x}", SystemClock.random_u64(), SystemClock.random_u64());
    let endpoint = discovery.device_authorization_endpoint()?;
    let asked = [("client_id", client.client_id), ("scope", client.scope), ("nonce", &nonce)];
    let grant = Grant::read(&web.post_form(endpoint, &asked).await?)?;
    show(&grant);
    let id_token = wait(web, &discovery, client.client_id, &grant).await?;
    Ok(LoggedIn { id_token, nonce })
}

/// The provider's public keys as it publishes them; they are checked to be of use.
pub async fn fetch_keys(web: &Web, issuer: &str) -> Result<Vec<u8>, Error> {
    let discovery = discover(web, issuer).await?;
    let Answer { status, body } = web.get(discovery.jwks_uri()?).await?;
    device::check_found(status, "its keys")?;
    KeySet::from_json(&body)?;
    Ok(body)
}

/// A way to providers that shows this authority's certificate, or one that this machine trusts.
pub fn web(authority: Option<&Path>) -> Result<Web, Error> {
    Ok(Web::new(authority)?)
}

async fn discover(web: &Web, issuer: &str) -> Result<Discovery, Error> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let answer = web.get(&url).await?;
    Ok(Discovery::read(issuer, &answer)?)
}

async fn wait(web: &Web, discovery: &Discovery, client_id: &str, grant: &Grant) -> Result<String, Error> {
    let began = SystemClock.monotonic();
    let mut patience = Patience::new(grant.interval());
    let asked = [("grant_type", device::GRANT_TYPE), ("device_code", grant.device_code()), ("client_id", client_id)];
    while SystemClock.monotonic().saturating_sub(began) < grant.expires_in() {
        tokio::time::sleep(patience.pause()).await;
        let polled = match web.post_form(discovery.token_endpoint()?, &asked).await {
            Ok(answer) => Polled::read(&answer)?,
            // The network of a laptop comes and goes: only the code's own end ends the wait.
            Err(error) if error.may_pass() => Polled::Unreachable,
            Err(error) => return Err(error.into()),
        };
        match polled {
            Polled::Done(id_token) => return Ok(id_token),
            Polled::Pending => {}
            Polled::SlowDown | Polled::Unreachable => patience.grow(&polled),
        }
    }
    Err(device::Problem::TooLate.into())
}

/// For tests and others that count by themselves.
pub const SCOPE_DEFAULT: &str = "openid profile email";

/// The longest that anybody is waited for, whatever a provider says.
pub const WAIT_MAX: Duration = Duration::from_secs(30 * 60);
