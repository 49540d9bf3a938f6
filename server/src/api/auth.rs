//! Questions about oneself.

use boss_proto::{
    kind::Kind,
    v1::{CanIRequest, CanIResponse, WhoAmIRequest, WhoAmIResponse, auth_server::Auth},
};
use boss_raft::state::rbac::Attributes;
use tonic::{Request, Response, Status};

use super::Error;
use crate::{
    auth::Identity,
    reads::{Consistency, Reads},
};

/// Serves questions about oneself.
#[derive(Clone)]
pub struct AuthService {
    reads: Reads,
}

impl AuthService {
    /// The service over this door.
    #[must_use]
    pub fn new(reads: Reads) -> Self {
        Self { reads }
    }

    async fn do_can_i(&self, identity: &Identity, request: CanIRequest) -> Result<CanIResponse, Error> {
        let CanIRequest { verb, resource, namespace, name } = request;
        if verb.is_empty() {
            return Err(Error::invalid("verb", "is empty", "ask for get, list, watch, create, update, delete, ..."));
        }
        if resource.is_empty() {
            return Err(Error::invalid("resource", "is empty", "ask for a kind in plural, or a path"));
        }
        let view = self.reads.at(Consistency::Linearizable).await.map_err(Error::from)?;
        let attributes = attributes(&verb, &resource, &namespace, &name);
        let decision = view.authorize(&identity.caller(), &attributes);
        Ok(CanIResponse { allowed: decision.allowed, reason: decision.reason.to_string() })
    }
}

/// A resource as people say it: `pod`, `pods/log`, `cluster`, `/metrics`.
fn attributes<'a>(verb: &'a str, resource: &'a str, namespace: &'a str, name: &'a str) -> Attributes<'a> {
    if resource.starts_with('/') {
        return Attributes::path(verb, resource);
    }
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let kind = Kind::from_user(resource);
    let resource = match kind {
        Some(kind) => kind.plural(),
        None => resource,
    };
    // Where it lives is a property of the kind, whatever namespace the caller is used to.
    let namespace = if kind.is_some_and(|kind| !kind.is_namespaced()) { "" } else { namespace };
    Attributes { verb, resource, subresource, namespace, name, path: "" }
}

#[tonic::async_trait]
impl Auth for AuthService {
    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Result<Response<WhoAmIResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(WhoAmIResponse {
            username: identity.username.clone(),
            uid: identity.uid.clone(),
            groups: identity.groups.clone(),
            method: identity.method.to_string(),
            expires_at: identity.expires_at,
        }))
    }

    async fn can_i(&self, request: Request<CanIRequest>) -> Result<Response<CanIResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.do_can_i(&identity, request.into_inner()).await?))
    }
}
