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
};

/// This server's certificate, checked to be its own and good now.
pub(super) fn load(config: &Config, clock: &dyn Clock) -> Result<tls::Identity, BuildError> {
    let identity = tls::Identity::load(&config.tls)?;
    let path = &config.tls.certificate;
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

pub(super) fn load_token_keys(config: &Config) -> Result<VerifyingKeys, BuildError> {
    let keys: Result<VerifyingKeys, _> = config.token_keys.iter().map(|path| VerifyingKey::load(path)).collect();
    Ok(keys?)
}
