//! Who gets a token, and its making with the registry's key in use. Any server can do it: the key's private part is
//! sealed in the registry, and what the token says is read linearizably.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use boss_base::{
    constant_time::sha256,
    jwt::{self, Registered},
};
use boss_proto::{
    ids::{ClusterId, Uid},
    key::Key,
    kind::Kind,
    object::Resource,
    v1::{CreateTokenResponse, SigningKey, TokenServiceAccount, TokenUser},
};
use boss_raft::state::{
    Record, View,
    credentials::Shown,
    rbac::{Attributes, service_account_username},
};
use pbjson_types::Timestamp;
use serde::Serialize;

use super::{Error, seconds};
use crate::{
    admission::authorize,
    auth::{
        self, Identity, check_user_names,
        oidc::Person,
        service_account_groups,
        token::{Bound, ISSUER, Own},
    },
    sealing::Vault,
};

/// Of the digest of an ID token that names what was given for it: enough that no two are the same.
const TOKEN_ID_BYTES: usize = 16;

/// Whom a token is for.
pub(super) struct Subject {
    sub: String,
    name: String,
    groups: Vec<String>,
    own: Own,
    /// Its jti, if that follows from something.
    token_id: Option<String>,
}

/// Who is to believe a token: the servers, or somebody else by a name of his, from an issuer that he knows.
#[derive(Debug, Default)]
pub(super) enum For {
    /// The cluster's own servers.
    #[default]
    Servers,
    /// Somebody else.
    Others { audience: String, issuer: String },
}

#[derive(Serialize)]
struct Claims {
    #[serde(flatten)]
    registered: Registered,
    name: String,
    groups: Vec<String>,
    boss: Own,
}

/// A user, for who may speak for him and for each of his groups.
pub(super) fn user(view: &View, caller: &Identity, user: TokenUser) -> Result<Subject, Error> {
    let TokenUser { name, groups } = user;
    check_user_names(&name, &groups).map_err(|problem| Error::invalid("user", problem, "name another one"))?;
    let speaks_for = |resource, name| Attributes { verb: "impersonate", resource, name, ..Attributes::default() };
    authorize(view, caller, &speaks_for("users", &name))?;
    for group in &groups {
        authorize(view, caller, &speaks_for("groups", group))?;
    }
    let sub = format!("user:{name}");
    let own = Own { generation: view.subject_generation(&sub), ..Own::default() };
    Ok(Subject { sub, name, groups, own, token_id: None })
}

/// Somebody whom the provider of identities knows. All that is ever given for one ID token is one token with one id, so
/// that who has revoked it has revoked it for whoever else holds the ID token too.
pub(super) fn person(view: &View, person: Person, id_token: &str) -> Result<Subject, Error> {
    let Person { name, groups, logged_in_at } = person;
    let sub = format!("user:{name}");
    let token_id = format!("login-{}", hex(&sha256(id_token.as_bytes())[..TOKEN_ID_BYTES]));
    // Who logged in before all of his was revoked has to log in again.
    let shown =
        Shown { uid: &sub, token_id: &token_id, certificate_serial: "", generation: logged_in_at, bound_to: &[] };
    view.check_credential(shown).map_err(auth::Error::Withdrawn)?;
    let own = Own { generation: view.subject_generation(&sub), ..Own::default() };
    Ok(Subject { sub, name, groups, own, token_id: Some(token_id) })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A service account, bound to it and, if wanted, to one of its namespace's pods.
pub(super) fn service_account(view: &View, caller: &Identity, account: TokenServiceAccount) -> Result<Subject, Error> {
    let TokenServiceAccount { namespace, name, pod_name, pod_uid } = account;
    let key = Key::new(Kind::ServiceAccount, &*namespace, &*name);
    authorize(view, caller, &Attributes::on("create", &key).part("token"))?;
    let uid = stands(view, &key)?.metadata().uid.clone();
    let pod = if pod_name.is_empty() { None } else { Some(pod(view, &namespace, pod_name, &pod_uid)?) };
    let sub = auth::service_account_uid(&uid);
    let own = Own {
        generation: view.subject_generation(&sub),
        service_account: Some(Bound { namespace: namespace.clone(), name: name.clone(), uid }),
        pod,
    };
    let groups = service_account_groups(&namespace);
    let name = service_account_username(&namespace, &name);
    Ok(Subject { sub, name, groups, own, token_id: None })
}

fn pod(view: &View, namespace: &str, name: String, wanted_uid: &str) -> Result<Bound, Error> {
    let uid = stands(view, &Key::new(Kind::Pod, namespace, &*name))?.metadata().uid.clone();
    if !wanted_uid.is_empty() && uid != wanted_uid {
        return Err(Error::NotFound(format!("the pod {name} has the uid {uid}, not {wanted_uid}")));
    }
    Ok(Bound { namespace: namespace.to_owned(), name, uid })
}

fn stands<'a>(view: &'a View, key: &Key) -> Result<&'a Arc<Record>, Error> {
    view.get(key).ok_or_else(|| Error::NotFound(format!("{key} does not exist")))
}

/// Signs with the key in use. Cheap to clone.
#[derive(Clone)]
pub(super) struct Issuer(Arc<Shared>);

struct Shared {
    cluster_id: ClusterId,
    vault: Vault,
    /// The key that signed last: opening and reading one costs more than a signature.
    last: Mutex<Option<Arc<jwt::SigningKey>>>,
}

impl Issuer {
    pub(super) fn new(cluster_id: ClusterId, vault: Vault) -> Self {
        Self(Arc::new(Shared { cluster_id, vault, last: Mutex::default() }))
    }

    pub(super) fn sign(
        &self,
        view: &View,
        subject: Subject,
        lifetime: Duration,
        now: u64,
        whom: For,
    ) -> Result<CreateTokenResponse, Error> {
        let key = self.key(view, now)?;
        let Subject { sub, name, groups, own, token_id } = subject;
        let jti = token_id.unwrap_or_else(|| Uid::random().to_string());
        let exp = now.saturating_add(lifetime.as_secs());
        let (aud, iss) = match whom {
            For::Servers => (self.0.cluster_id.to_string(), ISSUER.to_owned()),
            For::Others { audience, issuer } => (audience, issuer),
        };
        let registered = Registered { iss, aud, sub, jti: jti.clone(), exp, nbf: now, iat: now };
        let claims = Claims { registered, name, groups, boss: own };
        let token = key.sign(&claims).map_err(|error| Error::Unavailable(error.to_string()))?;
        if token.len() > jwt::TOKEN_BYTES_MAX {
            let problem = format!("make a token of {} bytes, {} are the most", token.len(), jwt::TOKEN_BYTES_MAX);
            return Err(Error::invalid("groups", problem, "be in fewer groups"));
        }
        Ok(CreateTokenResponse { token, token_id: jti, expires_at: Some(seconds(exp)) })
    }

    fn key(&self, view: &View, now: u64) -> Result<Arc<jwt::SigningKey>, Error> {
        let (record, key) = in_use(view, now).ok_or_else(|| {
            Error::Unavailable("no key signs tokens yet: is there a sealing key? bossctl get sealingkeys".to_owned())
        })?;
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.kid() == record.key.name) {
            return Ok(last.clone());
        }
        let opened = Arc::new(self.open(key)?);
        *last = Some(opened.clone());
        Ok(opened)
    }

    fn open(&self, key: &SigningKey) -> Result<jwt::SigningKey, Error> {
        let unusable = |problem: String| Error::Unavailable(format!("the signing key cannot be used: {problem}"));
        let sealed = key.spec.as_ref().and_then(|spec| spec.sealed_private_key.as_ref());
        let sealed = sealed.ok_or_else(|| unusable("it has no private part".to_owned()))?;
        let opened = self.0.vault.open_bytes(sealed, Kind::SigningKey, key.metadata.as_ref());
        let pem = opened.map_err(|error| unusable(error.to_string()))?;
        let pem = String::from_utf8(pem).map_err(|_| unusable("it is no text".to_owned()))?;
        jwt::SigningKey::from_pem(&pem).map_err(|error| unusable(error.to_string()))
    }
}

/// The newest key whose time has come and is not over.
fn in_use(view: &View, now: u64) -> Option<(&Arc<Record>, &SigningKey)> {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let at = |time: Option<Timestamp>| time.map(|time| time.seconds);
    let keys = view.list(Kind::SigningKey, None);
    let keys = keys.filter_map(|record| Some((record, SigningKey::from_object(&record.object)?)));
    let begun = keys.filter_map(|(record, key)| {
        let spec = key.spec.as_ref()?;
        let from = at(spec.active_from)?;
        (from <= now && at(spec.retired_from).is_none_or(|end| end > now)).then_some((from, record, key))
    });
    begun.max_by_key(|(from, ..)| *from).map(|(_, record, key)| (record, key))
}
