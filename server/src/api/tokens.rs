//! Making tokens and ending credentials. Revoking is a write like any other: it goes the way of writes, with the
//! caller's own credential, and apply asks for the right.

mod issue;
mod login;

use std::{sync::Arc, time::Duration};

use boss_base::{clock::Clock, failpoints};
use boss_proto::{
    key::Key,
    kind::Kind,
    limits::{TOKEN_LIFETIME_DEFAULT, TOKEN_LIFETIME_MAX, USER_NAME_LEN_MAX},
    object::Resource,
    v1::{
        CreateRequest, CreateTokenRequest, CreateTokenResponse, KeySetRequest, KeySetResponse, Object, ObjectMeta,
        RequestId, Revocation, RevocationSpec, RevokeRequest, RevokeResponse, UpdateRequest,
        create_token_request::Subject as Wanted, revoke_request, tokens_server::Tokens,
    },
};
use boss_raft::state::{
    Rejection, View,
    credentials::{Target, ends_own},
    rbac::{Attributes, service_account_of, service_account_username},
};
use pbjson_types::Timestamp;
use prost::Message;
use tonic::{Request, Response, Status};

use self::issue::{For, Issuer};
pub use self::login::LoginService;
use super::Error;
use crate::{
    admission::{Write, authorize},
    audit::Subject,
    auth::{self, Authenticator, Identity, oidc::Provider},
    reads::{Consistency, Reads},
    sealing::Vault,
    writes::{self, Reply, Writes},
};

/// Others may revoke the same subject at the same time so often; each of them got it done.
const REVOKES_MAX: usize = 4;

/// Serves tokens.
#[derive(Clone)]
pub struct TokensService {
    reads: Reads,
    writes: Writes,
    issuer: Issuer,
    authenticator: Authenticator,
    clock: Arc<dyn Clock>,
    issuer_for_others: Option<String>,
}

/// What the services of tokens are made of.
pub struct TokensParts {
    /// Where rights are looked up.
    pub reads: Reads,
    /// Where revocations go.
    pub writes: Writes,
    /// Which cluster it is.
    pub authenticator: Authenticator,
    /// Opens the signing keys.
    pub vault: Vault,
    /// When tokens begin.
    pub clock: Arc<dyn Clock>,
    /// What this cluster is to others who believe its tokens.
    pub issuer_for_others: Option<String>,
}

impl TokensService {
    /// The service over these doors.
    #[must_use]
    pub fn new(parts: TokensParts) -> Self {
        let TokensParts { reads, writes, authenticator, vault, clock, issuer_for_others } = parts;
        let issuer = Issuer::new(authenticator.cluster_id().clone(), vault);
        Self { reads, writes, issuer, authenticator, clock, issuer_for_others }
    }

    /// The service for people of this provider; without one nobody logs in.
    #[must_use]
    pub fn login(&self, provider: Option<Provider>) -> LoginService {
        LoginService::new(self.reads.clone(), self.issuer.clone(), self.clock.clone(), provider)
    }

    /// Who is to believe the token that is asked for.
    fn whom(&self, request: &CreateTokenRequest) -> Result<For, Error> {
        if request.audience.is_empty() {
            return Ok(For::Servers);
        }
        let invalid = |problem: &str, hint: &str| Error::invalid("audience", problem, hint);
        if !matches!(request.subject, Some(Wanted::ServiceAccount(_))) {
            return Err(invalid("is for tokens of service accounts", "leave it out"));
        }
        // With the cluster's own name it would be taken by the servers, and say that it comes from elsewhere.
        if request.audience == self.authenticator.cluster_id().as_str() {
            return Err(invalid("is this cluster", "leave it out"));
        }
        if request.audience.len() > USER_NAME_LEN_MAX {
            return Err(invalid("is too long", "name whoever is to believe the token"));
        }
        match &self.issuer_for_others {
            Some(issuer) => Ok(For::Others { audience: request.audience.clone(), issuer: issuer.clone() }),
            None => Err(Error::Precondition(
                "this cluster has no name that others know: set tokens.issuer in the configuration of its servers"
                    .to_owned(),
            )),
        }
    }

    async fn do_create(&self, identity: &Identity, request: CreateTokenRequest) -> Result<CreateTokenResponse, Error> {
        let view = self.reads.at(Consistency::Linearizable).await?;
        let lifetime = lifetime(request.lifetime_seconds)?;
        let whom = self.whom(&request)?;
        let subject = match request.subject {
            Some(Wanted::User(user)) => issue::user(&view, identity, user)?,
            Some(Wanted::ServiceAccount(account)) => issue::service_account(&view, identity, account)?,
            None => return Err(Error::invalid("subject", "is missing", "name a user or a service account")),
        };
        self.issuer.sign(&view, subject, lifetime, self.clock.unix_seconds(), whom)
    }

    async fn do_revoke(&self, identity: &Identity, request: RevokeRequest) -> Result<RevokeResponse, Error> {
        for _ in 0..REVOKES_MAX {
            let view = self.reads.at(Consistency::Linearizable).await?;
            let spec = spec_of(&view, identity, &request)?;
            let target = Target::of(&spec).ok_or_else(nothing_named)?;
            let key = target.revocation_key();
            let stored = view.get(&key);
            let metadata = ObjectMeta {
                name: key.name.clone(),
                resource_version: stored.map_or(0, |stored| stored.revision.0),
                ..ObjectMeta::default()
            };
            let is_subject = matches!(target, Target::Subject(_));
            let revocation = Revocation { metadata: Some(metadata), spec: Some(spec), ..Revocation::default() };
            let object = revocation.into_object();
            let request_id = Some(self.request_id(&view));
            let write = match stored {
                None => Write::Create(CreateRequest { object: Some(object), request_id, ..Default::default() }),
                Some(_) if is_subject => {
                    Write::Update(UpdateRequest { object: Some(object), request_id, ..Default::default() })
                }
                Some(stored) => {
                    // It is so already; whoever may not do it may not learn of it either.
                    if !ends_own(&identity.caller(), &object) {
                        authorize(&view, identity, &Attributes::on("create", &key))?;
                    }
                    return answer(Some(stored.object.clone()), stored.revision.0);
                }
            };
            failpoints::reach("revoke.proposing");
            let submitted = self.writes.submit(identity, write).await;
            failpoints::reach("revoke.proposed");
            match submitted.map(|answer| answer.reply) {
                Ok(Reply::Written(written)) => {
                    return answer(Object::decode(written.object).ok(), written.revision);
                }
                Ok(_) => return Err(Error::Unavailable("the answer is to another question".to_owned())),
                Err(error) if was_faster(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(writes::Error::Unsettled.into())
    }

    fn request_id(&self, view: &View) -> RequestId {
        let nonce = [self.clock.random_u64().to_le_bytes(), self.clock.random_u64().to_le_bytes()].concat();
        RequestId { seen_revision: view.revision().0, nonce: nonce.into() }
    }
}

fn lifetime(seconds: u32) -> Result<Duration, Error> {
    let wanted = Duration::from_secs(seconds.into());
    match wanted {
        Duration::ZERO => Ok(TOKEN_LIFETIME_DEFAULT),
        _ if wanted > TOKEN_LIFETIME_MAX => {
            let problem = format!("is {seconds}, the longest life is {} seconds", TOKEN_LIFETIME_MAX.as_secs());
            Err(Error::invalid("lifetimeSeconds", problem, "get a fresh token in time instead"))
        }
        _ => Ok(wanted),
    }
}

fn answer(object: Option<Object>, revision: u64) -> Result<RevokeResponse, Error> {
    let revocation = object.and_then(|object| Revocation::try_from_object(object).ok());
    Ok(RevokeResponse { revocation, revision })
}

/// Whether somebody else has written the same revocation meanwhile.
fn was_faster(error: &writes::Error) -> bool {
    match error {
        writes::Error::Rejected { rejection, .. } => {
            matches!(**rejection, Rejection::AlreadyExists { .. } | Rejection::Conflict { .. } | Rejection::NotFound)
        }
        writes::Error::Forwarded(refusal) => refusal
            .info
            .as_ref()
            .is_some_and(|info| ["ALREADY_EXISTS", "CONFLICT", "NOT_FOUND"].contains(&&*info.reason)),
        _ => false,
    }
}

/// As bindings name him; for the audit.
fn whom_of(request: &CreateTokenRequest) -> String {
    match &request.subject {
        Some(Wanted::User(user)) => user.name.clone(),
        Some(Wanted::ServiceAccount(account)) => service_account_username(&account.namespace, &account.name),
        None => String::new(),
    }
}

fn nothing_named() -> Error {
    Error::invalid("target", "is missing", "name a token, a certificate or a user")
}

fn spec_of(view: &View, identity: &Identity, request: &RevokeRequest) -> Result<RevocationSpec, Error> {
    use revoke_request::Target as Named;
    let said =
        RevocationSpec { expires_at: request.expires_at, reason: request.reason.clone(), ..RevocationSpec::default() };
    let target = request.target.clone().ok_or_else(nothing_named)?;
    Ok(match target {
        Named::Own(_) => RevocationSpec {
            token_id: identity.token_id.clone(),
            certificate_serial: identity.certificate_serial.clone(),
            expires_at: Some(seconds(identity.expires_at)),
            ..said
        },
        Named::TokenId(token_id) => RevocationSpec { token_id, ..said },
        Named::CertificateSerial(serial) => {
            RevocationSpec { certificate_serial: serial.replace(':', "").to_ascii_lowercase(), ..said }
        }
        Named::User(name) => RevocationSpec { subject: uid_of(view, &name)?, ..said },
    })
}

/// The uid of a user by the name that bindings know him by.
fn uid_of(view: &View, name: &str) -> Result<String, Error> {
    if let Some((namespace, name)) = service_account_of(name) {
        let key = Key::new(Kind::ServiceAccount, namespace, name);
        let account = view.get(&key).ok_or_else(|| Error::NotFound(format!("{key} does not exist")))?;
        return Ok(auth::service_account_uid(&account.metadata().uid));
    }
    Ok(match name.strip_prefix("system:node:") {
        Some(node) => format!("node:{node}"),
        None if name.is_empty() => return Err(Error::invalid("user", "is empty", "name the user")),
        None => format!("user:{name}"),
    })
}

pub(super) fn seconds(seconds: u64) -> Timestamp {
    Timestamp { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos: 0 }
}

#[tonic::async_trait]
impl Tokens for TokensService {
    async fn create(&self, request: Request<CreateTokenRequest>) -> Result<Response<CreateTokenResponse>, Status> {
        let identity = Identity::of(&request)?;
        let answer = self.do_create(&identity, request.get_ref().clone()).await?;
        Subject::tell(&request, |asked| login::minted(whom_of(asked), &answer));
        Ok(Response::new(answer))
    }

    async fn revoke(&self, request: Request<RevokeRequest>) -> Result<Response<RevokeResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.do_revoke(&identity, request.into_inner()).await?))
    }

    async fn key_set(&self, request: Request<KeySetRequest>) -> Result<Response<KeySetResponse>, Status> {
        Identity::of(&request)?;
        Ok(Response::new(KeySetResponse { json: self.authenticator.key_set().to_string() }))
    }
}
