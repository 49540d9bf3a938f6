//! Who this server is and whom it trusts.

use boss_base::{
    clock::Clock,
    jwt::{VerifyingKey, VerifyingKeys},
    tls,
};

use super::BuildError;
use crate::{
    auth::{Principal, Role},
    config::Config,
    members::{Signer, Welcome},
};

/// This server's certificate, checked to be its own and good now.
pub(super) fn load(config: &Config, clock: &dyn Clock) -> Result<tls::Identity, BuildError> {
    let path = &config.tls.certificate;
    tls::renewal::recover(&config.tls)
        .map_err(|error| BuildError::certificate(path, format!("its renewal was cut off: {error}")))?;
    let identity = tls::Identity::load(&config.tls)?;
    let certificate = identity.certificate().ok_or_else(|| BuildError::certificate(path, "it is missing"))?;
    let principal =
        Principal::of(&certificate, &config.cluster_id).map_err(|problem| BuildError::certificate(path, problem))?;
    if principal.role != Role::Server(config.id) {
        let problem = format!("it is for {}, the configuration says server {}", certificate.uris.join(", "), config.id);
        return Err(BuildError::certificate(path, problem));
    }
    if u64::try_from(certificate.not_after).unwrap_or(0) <= clock.unix_seconds() {
        return Err(BuildError::certificate(path, "it has expired"));
    }
    Ok(identity)
}

/// The authority's key, if this server holds it.
pub(super) fn load_signer(config: &Config) -> Result<Option<Signer>, BuildError> {
    let Some(key) = &config.ca_key else { return Ok(None) };
    Signer::load(&config.tls.ca, key, config.lifetimes)
        .map(Some)
        .map_err(|problem| BuildError::certificate(key, problem))
}

/// What a server that joins has to know.
pub(super) fn welcome(config: &Config) -> Result<Welcome, BuildError> {
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path).map_err(|error| BuildError::certificate(path, error.to_string()))
    };
    let token_keys = config.token_keys.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    Ok(Welcome { token_keys, profile: config.profile.as_str().to_owned() })
}

pub(super) fn load_token_keys(config: &Config) -> Result<VerifyingKeys, BuildError> {
    let keys: Result<VerifyingKeys, _> = config.token_keys.iter().map(|path| VerifyingKey::load(path)).collect();
    Ok(keys?)
}
