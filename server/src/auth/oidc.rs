//! People whom a provider of identities knows (OpenID Connect): who an ID token speaks of, by the provider's public keys
//! in a file. Dials nobody: not the provider, and nothing that a token names.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use boss_base::{
    files,
    jwt::{BadKeySet, ExpectedId, IdToken, KEY_SET_BYTES_MAX, KeySet},
    tasks::{OnExit, Tasks},
};
use boss_proto::limits::{GROUPS_PER_USER_MAX, LOGIN_AGE_MAX, USER_NAME_LEN_MAX};
use serde_json::{Map, Value};

use super::{Error, check_user_names};

/// How far the provider's clock and the servers' may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// How often the file with the provider's keys is looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);
/// The claim that says whether an address is really the person's.
const EMAIL_VERIFIED: &str = "email_verified";

/// Whose ID tokens are taken, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The provider, as its tokens name it.
    pub issuer: String,
    /// What the provider calls this cluster's logins.
    pub client_id: String,
    /// A file with the provider's public keys, as a JSON Web Key Set.
    pub keys: PathBuf,
    /// The claim that names the user.
    pub user_claim: String,
    /// The claim that lists his groups, if they are to count.
    pub groups_claim: Option<String>,
    /// Before every name and group, so that none of them is ever one of ours.
    pub prefix: String,
    /// The longest life of a token that is given for an ID token.
    pub lifetime_max: Duration,
}

/// Somebody whom the provider knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// With the prefix.
    pub name: String,
    /// Each with the prefix.
    pub groups: Vec<String>,
    /// When he logged in, in seconds since the Unix epoch.
    pub logged_in_at: u64,
}

/// The provider's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKeys {
    /// The file cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is no key set.
    #[error("{}: {problem}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: BadKeySet,
    },
}

/// Reads ID tokens of one provider. Cheap to clone.
#[derive(Clone)]
pub struct Provider(Arc<Shared>);

struct Shared {
    settings: Settings,
    keys: ArcSwap<KeySet>,
}

impl Provider {
    /// With the keys of the file.
    pub fn load(settings: Settings) -> Result<Self, BadKeys> {
        let keys = ArcSwap::from_pointee(read(&settings)?);
        Ok(Self(Arc::new(Shared { settings, keys })))
    }

    /// Takes changes of the file in. A file that cannot be used changes nothing.
    pub fn reload_on_change(&self, tasks: &Tasks) {
        let (provider, token) = (self.clone(), tasks.token());
        tasks.spawn("oidc-keys", OnExit::Log, async move {
            let follow = async {
                loop {
                    tokio::time::sleep(RELOAD_INTERVAL).await;
                    provider.reload();
                }
            };
            token.run_until_cancelled(follow).await;
        });
    }

    /// The longest life of a token that is given for an ID token.
    #[must_use]
    pub fn lifetime_max(&self) -> Duration {
        self.0.settings.lifetime_max
    }

    /// Whom an ID token speaks of, if it is to be believed at this second.
    pub fn identify(&self, id_token: &str, nonce: Option<&str>, now: u64) -> Result<Person, Error> {
        let settings = &self.0.settings;
        let expected = ExpectedId {
            issuer: &settings.issuer,
            client_id: &settings.client_id,
            nonce,
            leeway: LEEWAY,
            age_max: LOGIN_AGE_MAX,
            now,
        };
        let token = self.0.keys.load().verify_id_token(id_token, &expected).map_err(Error::IdToken)?;
        person(settings, &token).map_err(Error::TokenClaims)
    }

    fn reload(&self) {
        match read(&self.0.settings) {
            Ok(keys) => {
                if !keys.kids().eq(self.0.keys.load().kids()) {
                    tracing::info!(keys = ?keys.kids().collect::<Vec<_>>(), "the provider's keys were read anew");
                }
                self.0.keys.store(Arc::new(keys));
            }
            Err(error) => tracing::warn!(%error, "the provider's keys stay as they were"),
        }
    }
}

fn read(settings: &Settings) -> Result<KeySet, BadKeys> {
    let path = &settings.keys;
    let bytes = files::read_bounded(path, KEY_SET_BYTES_MAX)
        .map_err(|error| BadKeys::Unreadable { path: path.clone(), error })?;
    KeySet::from_json(&bytes).map_err(|problem| BadKeys::Unusable { path: path.clone(), problem })
}

/// What a believed token says of a person, in our words.
fn person(settings: &Settings, token: &IdToken) -> Result<Person, String> {
    let Settings { user_claim, prefix, .. } = settings;
    let name = match token.claims.get(user_claim) {
        Some(Value::String(name)) => checked(user_claim, name)?,
        Some(_) => return Err(format!("{user_claim} is no text")),
        None => return Err(format!("{user_claim} is missing")),
    };
    // Else whoever may write an address into his profile is whom he likes.
    if user_claim == "email" && token.claims.get(EMAIL_VERIFIED) != Some(&Value::Bool(true)) {
        return Err(format!("{EMAIL_VERIFIED} is not true"));
    }
    let groups = match &settings.groups_claim {
        Some(claim) => groups(claim, &token.claims)?,
        None => Vec::new(),
    };
    let prefixed = |name: &str| format!("{prefix}{name}");
    let person = Person {
        name: prefixed(name),
        groups: groups.into_iter().map(prefixed).collect(),
        logged_in_at: token.issued_at,
    };
    // The prefix sees to it; who changes one of them is to hear of the other.
    check_user_names(&person.name, &person.groups)?;
    Ok(person)
}

/// Nobody has to be in a group, but a claim that is there is a text or a list of texts.
fn groups<'a>(claim: &str, claims: &'a Map<String, Value>) -> Result<Vec<&'a str>, String> {
    let wrong = || format!("{claim} is neither a text nor a list of texts");
    let names: Vec<&str> = match claims.get(claim) {
        None => Vec::new(),
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(wrong)?,
        Some(_) => return Err(wrong()),
    };
    if names.len() > GROUPS_PER_USER_MAX {
        return Err(format!("{claim} has {} groups, {GROUPS_PER_USER_MAX} are the most", names.len()));
    }
    names.into_iter().map(|name| checked(claim, name)).collect()
}

fn checked<'a>(claim: &str, name: &'a str) -> Result<&'a str, String> {
    if name.is_empty() || name.len() > USER_NAME_LEN_MAX {
        return Err(format!("{claim} has a name that is empty or longer than {USER_NAME_LEN_MAX} bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("{claim} has a name with control characters"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
