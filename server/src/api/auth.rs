//! Questions about oneself, and for who may ask, about others.

use boss_proto::{
    key::Key,
    kind::Kind,
    raft::v1::Caller,
    v1::{
        CanIRequest, CanIResponse, ExplainRequest, ExplainResponse, Grant, ListRightsRequest, ListRightsResponse,
        ObjectKey, WhoAmIRequest, WhoAmIResponse, auth_server::Auth,
    },
};
use boss_raft::state::{
    View,
    rbac::{Attributes, Held, service_account_of},
};
use prost::Message;
use tonic::{Request, Response, Status};

use super::Error;
use crate::{
    admission::{Refusal, check_credential},
    auth::Identity,
    reads::{Consistency, Reads},
};

/// Of all grants in one answer: some thousand rules, well below what a message may have.
const GRANTS_BYTES_MAX: usize = 1024 * 1024;
/// Of roles that would allow something; more do not help who looks for one.
const ROLES_MAX: usize = 50;

/// Serves questions about rights.
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
        let attributes = attributes(&request)?;
        let view = self.reads.at(Consistency::Linearizable).await.map_err(Error::from)?;
        check_credential(&view, identity)?;
        let decision = view.authorize(&identity.caller(), &attributes);
        Ok(CanIResponse { allowed: decision.allowed, reason: decision.reason.to_string() })
    }

    async fn do_list_rights(&self, identity: &Identity, namespace: &str) -> Result<ListRightsResponse, Error> {
        let view = self.reads.at(Consistency::Linearizable).await.map_err(Error::from)?;
        check_credential(&view, identity)?;
        let (grants, truncated) = bounded(view.rules().held(&identity.caller(), namespace));
        Ok(ListRightsResponse { grants, truncated })
    }

    async fn do_explain(&self, identity: &Identity, request: ExplainRequest) -> Result<ExplainResponse, Error> {
        let question = request.question.unwrap_or_default();
        let attributes = attributes(&question)?;
        let view = self.reads.at(Consistency::Linearizable).await.map_err(Error::from)?;
        check_credential(&view, identity)?;
        let asker = identity.caller();
        let subject = match request.user {
            user if !user.is_empty() => Caller { username: user, groups: request.groups, ..Caller::default() },
            _ if request.groups.is_empty() => asker.clone(),
            _ => return Err(Error::invalid("groups", "are there without a user", "name the user too")),
        };
        if subject != asker {
            check_impersonation(&view, &asker, &subject)?;
        }
        let decision = view.authorize(&subject, &attributes);
        let (grants, more_grants) = bounded(view.rules().held_for(&subject, &attributes));
        let (roles, more_roles) =
            if decision.allowed { (Vec::new(), false) } else { roles(&view, &asker, &attributes) };
        Ok(ExplainResponse {
            allowed: decision.allowed,
            reason: decision.reason.to_string(),
            grants,
            roles,
            truncated: more_grants || more_roles,
        })
    }
}

/// Refuses questions about somebody for whom the asker may not speak.
fn check_impersonation(view: &View, asker: &Caller, subject: &Caller) -> Result<(), Error> {
    let user = match service_account_of(&subject.username) {
        Some((namespace, name)) => Attributes { namespace, ..impersonate("serviceaccounts", name) },
        None => impersonate("users", &subject.username),
    };
    let groups = subject.groups.iter().map(|group| impersonate("groups", group));
    for attributes in std::iter::once(user).chain(groups) {
        let decision = view.authorize(asker, &attributes);
        if !decision.allowed {
            return Err(Refusal::Forbidden { reason: decision.reason.to_string() }.into());
        }
    }
    Ok(())
}

fn impersonate<'a>(resource: &'a str, name: &'a str) -> Attributes<'a> {
    Attributes { verb: "impersonate", resource, name, ..Attributes::default() }
}

/// The roles that would allow something, of those that the asker may read; and whether there are more.
fn roles(view: &View, asker: &Caller, attributes: &Attributes<'_>) -> (Vec<ObjectKey>, bool) {
    let readable =
        view.rules().roles_for(attributes).filter(|key| view.authorize(asker, &Attributes::on("get", key)).allowed);
    let mut roles: Vec<_> = readable.take(ROLES_MAX + 1).map(Key::to_proto).collect();
    let more = roles.len() > ROLES_MAX;
    roles.truncate(ROLES_MAX);
    (roles, more)
}

/// As many as one answer holds, and whether there are more.
fn bounded(all: impl Iterator<Item = Held>) -> (Vec<Grant>, bool) {
    let (mut grants, mut bytes) = (Vec::new(), 0);
    for held in all {
        let grant = Grant {
            rule: Some((*held.rule).clone()),
            binding: Some(held.binding.to_proto()),
            role: Some(held.role.to_proto()),
            source: Some(held.source.to_proto()),
            subject: Some(held.subject),
        };
        bytes += grant.encoded_len();
        if bytes > GRANTS_BYTES_MAX {
            return (grants, true);
        }
        grants.push(grant);
    }
    (grants, false)
}

/// A resource as people say it: `pod`, `pods/log`, `cluster`, `/metrics`.
fn attributes(question: &CanIRequest) -> Result<Attributes<'_>, Error> {
    let CanIRequest { verb, resource, namespace, name } = question;
    if verb.is_empty() {
        return Err(Error::invalid("verb", "is empty", "ask for get, list, watch, create, update, delete, ..."));
    }
    if resource.is_empty() {
        return Err(Error::invalid("resource", "is empty", "ask for a kind in plural, or a path"));
    }
    if resource.starts_with('/') {
        return Ok(Attributes::path(verb, resource));
    }
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let kind = Kind::from_user(resource);
    let resource = match kind {
        Some(kind) => kind.plural(),
        None => resource,
    };
    // Where it lives is a property of the kind, whatever namespace the caller is used to.
    let namespace = if kind.is_some_and(|kind| !kind.is_namespaced()) { "" } else { namespace };
    Ok(Attributes { verb, resource, subresource, namespace, name, path: "" })
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

    async fn list_rights(&self, request: Request<ListRightsRequest>) -> Result<Response<ListRightsResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.do_list_rights(&identity, &request.get_ref().namespace).await?))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.do_explain(&identity, request.into_inner()).await?))
    }
}
