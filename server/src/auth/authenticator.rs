//! The one place where a credential becomes an identity, for direct and for forwarded calls alike.

use std::{sync::Arc, time::Duration};

use boss_base::{
    clock::Clock,
    jwt::{self, Expected, Refusal, VerifyingKey, VerifyingKeys},
    tls::{self, PeerCertificate},
};
use boss_proto::{
    ids::ClusterId,
    key::Key,
    kind::Kind,
    limits::{BOOTSTRAP_TOKEN_LIFETIME_MAX, TOKEN_LIFETIME_MAX},
    object::Resource,
    peer::v1::{CertificateChain, Credential, credential::Proof},
    v1::{ObjectReference, SigningKey},
};
use boss_raft::state::View;
use http::HeaderMap;

use super::{
    CertificateProblem, Error, Identity, Method,
    cache::{self, Cache},
    certificate, token,
};

/// How far the clocks of whoever signs tokens and of the servers may differ.
const LEEWAY: Duration = Duration::from_secs(5);

/// Turns credentials into identities.
#[derive(Clone)]
pub struct Authenticator {
    cluster_id: ClusterId,
    token_keys: Arc<VerifyingKeys>,
    tls: tls::Identity,
    clock: Arc<dyn Clock>,
    cache: Arc<Cache>,
    registry: Registry,
}

/// The registry as this server has it.
type Registry = Arc<dyn Fn() -> View + Send + Sync>;

impl Authenticator {
    /// One for this cluster: its tokens' keys, and the authority that `tls` trusts.
    #[must_use]
    pub fn new(cluster_id: ClusterId, token_keys: VerifyingKeys, tls: tls::Identity, clock: Arc<dyn Clock>) -> Self {
        let (token_keys, registry) = (Arc::new(token_keys), Arc::new(View::default));
        Self { cluster_id, token_keys, tls, clock, cache: Arc::default(), registry }
    }

    /// The same, asking this registry which credentials count no more. Requests ask once more at their own view.
    #[must_use]
    pub fn asking(self, registry: impl Fn() -> View + Send + Sync + 'static) -> Self {
        Self { registry: Arc::new(registry), ..self }
    }

    /// The caller of a direct call. The token, when there is one, decides; what is malformed is refused, never skipped.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Arc<Identity>, Error> {
        let identity = self.identify(headers, certificate)?;
        self.check_counts(&identity)?;
        Ok(identity)
    }

    /// Who shows such a credential, whether it still counts or was taken back.
    pub fn identify(&self, headers: &HeaderMap, certificate: Option<&PeerCertificate>) -> Result<Arc<Identity>, Error> {
        match (token::from_headers(headers)?, certificate) {
            (Some(token), _) => self.identify_token(token),
            (None, Some(certificate)) => Ok(Arc::new(self.identify_certificate(certificate)?)),
            (None, None) => Err(Error::Missing),
        }
    }

    /// The caller of a call that another server passed on: everything is verified again.
    pub fn authenticate_forwarded(&self, credential: &Credential) -> Result<Arc<Identity>, Error> {
        let identity = match &credential.proof {
            Some(Proof::Token(token)) => self.identify_token(token)?,
            Some(Proof::Certificate(chain)) => self.identify_chain(chain)?,
            None => return Err(Error::Missing),
        };
        self.check_counts(&identity)?;
        Ok(identity)
    }

    /// Whether the credential counts, as far as this server knows.
    pub fn check_counts(&self, identity: &Identity) -> Result<(), Error> {
        (self.registry)().check_credential(identity.shown()).map_err(Error::Withdrawn)
    }

    /// Whether the certificate of a server still counts. When it ends does not matter here: the connection was opened
    /// with it, and the next one shows the next certificate.
    pub fn check_server(&self, certificate: &PeerCertificate) -> Result<(), Error> {
        let identity = certificate::identify(certificate, &self.cluster_id).map_err(Error::Certificate)?;
        self.check_counts(&identity)
    }

    /// Whether the credential of an open stream is still good.
    pub fn check_not_expired(&self, identity: &Identity) -> Result<(), Error> {
        if self.time_left(identity).is_zero() { Err(Error::Expired(identity.method)) } else { Ok(()) }
    }

    /// How long the credential is still good, if nothing else happens.
    #[must_use]
    pub fn time_left(&self, identity: &Identity) -> Duration {
        let leeway = match identity.method {
            Method::Token => LEEWAY,
            Method::Certificate => Duration::ZERO,
        };
        let end = identity.expires_at.saturating_add(leeway.as_secs());
        Duration::from_secs(end.saturating_sub(self.clock.unix_seconds()))
    }

    /// The cluster whose credentials are taken.
    #[must_use]
    pub fn cluster_id(&self) -> &ClusterId {
        &self.cluster_id
    }

    fn identify_token(&self, token: &str) -> Result<Arc<Identity>, Error> {
        self.remembered(token.as_bytes(), || {
            let expected = Expected {
                audience: self.cluster_id.as_str(),
                issuer: token::ISSUER,
                leeway: LEEWAY,
                lifetime_max: BOOTSTRAP_TOKEN_LIFETIME_MAX,
                now: self.clock.unix_seconds(),
            };
            match self.token_keys.verify(token, &expected) {
                Err(Refusal::UnknownKey) => {
                    let (key, reference) = self.published_key(token)?;
                    let expected = Expected { lifetime_max: TOKEN_LIFETIME_MAX, ..expected };
                    let verified = VerifyingKeys::from_iter([key]).verify(token, &expected).map_err(Error::Token)?;
                    token::identify(token, verified, Some(reference))
                }
                verified => token::identify(token, verified.map_err(Error::Token)?, None),
            }
        })
    }

    /// The registry's key that a token names. The token ends with it.
    fn published_key(&self, token: &str) -> Result<(VerifyingKey, ObjectReference), Error> {
        let kid = jwt::key_id(token).map_err(Error::Token)?;
        let view = (self.registry)();
        let record = view.get(&Key::cluster(Kind::SigningKey, &*kid)).ok_or(Error::Token(Refusal::UnknownKey))?;
        let spec = SigningKey::from_object(&record.object).and_then(|key| key.spec.as_ref());
        let key = spec.and_then(|spec| VerifyingKey::from_bytes(&spec.public_key).ok());
        let key = key.filter(|key| key.kid() == kid).ok_or(Error::Token(Refusal::UnknownKey))?;
        let (kind, uid) = (Kind::SigningKey.to_string(), record.metadata().uid.clone());
        Ok((key, ObjectReference { kind, name: kid, uid, ..ObjectReference::default() }))
    }

    /// Every public key whose tokens are taken, as a JSON Web Key Set.
    #[must_use]
    pub fn key_set(&self) -> serde_json::Value {
        jwk_set(self.token_keys.iter().cloned().chain(published_keys(&(self.registry)())))
    }

    /// The registry's keys alone: those of files sign for administrators, whom nobody outside has to believe.
    #[must_use]
    pub fn published_key_set(&self) -> serde_json::Value {
        jwk_set(published_keys(&(self.registry)()))
    }

    fn identify_chain(&self, chain: &CertificateChain) -> Result<Arc<Identity>, Error> {
        let leaf = chain.certificates.first().ok_or(Error::Missing)?;
        // What was believed under other authorities is judged anew.
        let generation = *self.tls.changes().borrow();
        let proof = [leaf.as_ref(), &generation.to_be_bytes()].concat();
        self.remembered(&proof, || self.identify_certificate(&self.verify_chain(chain)?))
    }

    /// What the credential proved a moment ago, or proves now.
    fn remembered(
        &self,
        credential: &[u8],
        verify: impl FnOnce() -> Result<Identity, Error>,
    ) -> Result<Arc<Identity>, Error> {
        let digest = cache::digest(credential);
        if let Some(identity) = self.cache.find(&digest) {
            self.check_not_expired(&identity).inspect_err(|_| self.cache.forget(&digest))?;
            return Ok(identity);
        }
        let identity = Arc::new(verify()?);
        self.cache.remember(digest, &identity);
        Ok(identity)
    }

    fn identify_certificate(&self, certificate: &PeerCertificate) -> Result<Identity, Error> {
        let identity = certificate::identify(certificate, &self.cluster_id).map_err(Error::Certificate)?;
        // The handshake looked at the dates, but a connection may live longer than its certificate.
        self.check_not_expired(&identity)?;
        Ok(identity)
    }

    fn verify_chain(&self, chain: &CertificateChain) -> Result<PeerCertificate, Error> {
        let untrusted = |problem: String| Error::Certificate(CertificateProblem::Untrusted(problem));
        self.tls
            .verify_client(&chain.certificates, self.clock.unix_seconds())
            .map_err(|error| untrusted(error.to_string()))
    }
}

fn published_keys(view: &View) -> impl Iterator<Item = VerifyingKey> {
    view.list(Kind::SigningKey, None).filter_map(|record| {
        VerifyingKey::from_bytes(&SigningKey::from_object(&record.object)?.spec.as_ref()?.public_key).ok()
    })
}

fn jwk_set(keys: impl Iterator<Item = VerifyingKey>) -> serde_json::Value {
    serde_json::json!({ "keys": keys.map(|key| key.to_jwk()).collect::<Vec<_>>() })
}
