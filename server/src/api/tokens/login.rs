//! Logging in: a token of the cluster for an ID token of the provider of identities, who dealt with the person. The
//! message is all the proof there is, so nothing is asked of the registry before the ID token is believed.

use std::{sync::Arc, time::Duration};

use boss_base::clock::Clock;
use boss_proto::v1::{CreateTokenResponse, ExchangeTokenRequest, login_server::Login};
use tonic::{Request, Response, Status};

use super::{
    Error,
    issue::{self, For, Issuer},
};
use crate::{
    audit::Subject,
    auth::oidc::{Person, Provider},
    reads::{Consistency, Reads},
};

/// Lets people log in.
#[derive(Clone)]
pub struct LoginService {
    reads: Reads,
    issuer: Issuer,
    clock: Arc<dyn Clock>,
    provider: Option<Provider>,
}

impl LoginService {
    pub(super) fn new(reads: Reads, issuer: Issuer, clock: Arc<dyn Clock>, provider: Option<Provider>) -> Self {
        Self { reads, issuer, clock, provider }
    }

    async fn do_exchange(&self, request: &ExchangeTokenRequest) -> Result<(String, CreateTokenResponse), Error> {
        let provider = self.provider.as_ref().ok_or_else(no_provider)?;
        let lifetime = lifetime(request.lifetime_seconds, provider.lifetime_max())?;
        let nonce = Some(&*request.nonce).filter(|nonce| !nonce.is_empty());
        let now = self.clock.unix_seconds();
        let person = provider.identify(&request.id_token, nonce, now)?;
        let Person { name, .. } = person.clone();
        let view = self.reads.at(Consistency::Linearizable).await?;
        let subject = issue::person(&view, person, &request.id_token)?;
        let answer = self.issuer.sign(&view, subject, lifetime, now, For::Servers)?;
        Ok((name, answer))
    }
}

fn no_provider() -> Error {
    Error::Precondition(
        "this cluster takes nobody's ID tokens: set auth.oidc in the configuration of its servers".to_owned(),
    )
}

fn lifetime(seconds: u32, max: Duration) -> Result<Duration, Error> {
    let wanted = Duration::from_secs(seconds.into());
    match wanted {
        Duration::ZERO => Ok(max),
        _ if wanted > max => {
            let problem = format!("is {seconds}, a login lasts {} seconds at most", max.as_secs());
            Err(Error::invalid("lifetimeSeconds", problem, "log in again in time"))
        }
        _ => Ok(wanted),
    }
}

/// What the audit keeps of a token: for whom it is, and what it can be revoked by.
pub(super) fn minted(name: String, answer: &CreateTokenResponse) -> String {
    format!("token {} for {name:?}", answer.token_id)
}

#[tonic::async_trait]
impl Login for LoginService {
    async fn exchange(&self, request: Request<ExchangeTokenRequest>) -> Result<Response<CreateTokenResponse>, Status> {
        let (name, answer) = self.do_exchange(request.get_ref()).await?;
        Subject::tell(&request, |_| minted(name, &answer));
        Ok(Response::new(answer))
    }
}
