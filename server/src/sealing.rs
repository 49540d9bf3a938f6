//! Secrets on their way into the registry and out of it: sealed by the leader before they are proposed, opened for each
//! reader who may read them. The keys come from a file that the operator gives to each server. Knows no transport.

mod proof;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use boss_base::{
    sealing::{BadKeys, Envelope, Error as SealError, KeyRing},
    tasks::{OnExit, Tasks},
};
use boss_proto::{
    ids::ClusterId,
    key::Key,
    kind::Kind,
    object::Resource,
    v1::{self, Object, Sealed, SealingKey, Secret, object::Body},
};
use boss_raft::state::{Record, View};
use bytes::Bytes;
use prost::Message;

/// How often the file is looked at again: an operator puts a new key in and asks for it soon after.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// The phase of a key that not every voter has shown to hold.
pub const WAITING: &str = "Waiting";
/// The phase of the key that seals what is written.
pub const ACTIVE: &str = "Active";
/// The phase of a key whose secrets are being sealed anew.
pub const RETIRING: &str = "Retiring";
/// The phase of a key that nothing is sealed with.
pub const RETIRED: &str = "Retired";

/// Why a secret is neither sealed nor opened here. Never says a word of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No key was agreed on yet.
    #[error("no sealing key is in use yet: {0}")]
    NoActiveKey(String),
    /// The key is missing, or the secret was changed on its way.
    #[error("{0}")]
    Sealing(#[from] SealError),
    /// It opens, but holds no secret.
    #[error("what is sealed cannot be read")]
    Unreadable,
}

/// Seals and opens for one server. Cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Shared>);

struct Shared {
    cluster_id: ClusterId,
    file: Option<PathBuf>,
    keys: ArcSwap<KeyRing>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Vault").field(&*self.0.keys.load()).finish()
    }
}

impl Vault {
    /// With the keys of a file; without one it seals and opens nothing.
    pub fn load(cluster_id: ClusterId, file: Option<PathBuf>) -> Result<Self, BadKeys> {
        let keys = file.as_deref().map(KeyRing::load).transpose()?.unwrap_or_default();
        Ok(Self(Arc::new(Shared { cluster_id, file, keys: ArcSwap::from_pointee(keys) })))
    }

    /// With these keys, for tests.
    #[must_use]
    pub fn with_keys(cluster_id: ClusterId, keys: KeyRing) -> Self {
        Self(Arc::new(Shared { cluster_id, file: None, keys: ArcSwap::from_pointee(keys) }))
    }

    /// Takes changes of the file in. A file that cannot be used changes nothing.
    pub fn reload_on_change(&self, tasks: &Tasks) {
        let Some(file) = self.0.file.clone() else { return };
        let (vault, token) = (self.clone(), tasks.token());
        tasks.spawn("sealing-keys", OnExit::Log, async move {
            let follow = async {
                loop {
                    tokio::time::sleep(RELOAD_INTERVAL).await;
                    match KeyRing::load(&file) {
                        Ok(keys) if keys.ids().eq(vault.0.keys.load().ids()) => {}
                        Ok(keys) => {
                            tracing::info!(keys = ?keys, "the sealing keys were read anew");
                            vault.0.keys.store(Arc::new(keys));
                        }
                        Err(error) => tracing::warn!(%error, "the sealing keys stay as they were"),
                    }
                }
            };
            token.run_until_cancelled(follow).await;
        });
    }

    /// The keys of the file, the newest first.
    #[must_use]
    pub fn key_ids(&self) -> Vec<String> {
        self.0.keys.load().ids().map(str::to_owned).collect()
    }

    /// Seals the data of a secret whose name and uid are fixed.
    pub fn seal(&self, view: &View, secret: &mut Secret) -> Result<(), Error> {
        let key_id = active_key(view).ok_or_else(|| Error::NoActiveKey(why_none(view)))?;
        self.seal_with(&key_id, secret)
    }

    /// The same with a key of one's own choice.
    pub fn seal_with(&self, key_id: &str, secret: &mut Secret) -> Result<(), Error> {
        let data = std::mem::take(&mut secret.data);
        let text = Secret { data, ..Secret::default() }.encode_to_vec();
        secret.sealed = Some(self.seal_bytes(key_id, Kind::Secret, secret.metadata.as_ref(), &text)?);
        Ok(())
    }

    /// The secret with its data in clear text and nothing sealed.
    pub fn open(&self, secret: &Secret) -> Result<Secret, Error> {
        let Some(sealed) = &secret.sealed else { return Ok(secret.clone()) };
        let text = self.open_bytes(sealed, Kind::Secret, secret.metadata.as_ref())?;
        let data = Secret::decode(Bytes::from(text)).map_err(|_| Error::Unreadable)?.data;
        Ok(Secret { data, sealed: None, ..secret.clone() })
    }

    /// Seals bytes that belong to an object.
    pub fn seal_bytes(
        &self,
        key_id: &str,
        kind: Kind,
        metadata: Option<&v1::ObjectMeta>,
        text: &[u8],
    ) -> Result<Sealed, Error> {
        let context = self.context(kind, metadata);
        let Envelope { key_id, wrapped_key, ciphertext } =
            self.0.keys.load().seal(key_id, &context.each_ref().map(|part| part.as_bytes()), text)?;
        Ok(Sealed { key_id, wrapped_key: wrapped_key.into(), ciphertext: ciphertext.into() })
    }

    /// Opens what [`Vault::seal_bytes`] sealed.
    pub fn open_bytes(&self, sealed: &Sealed, kind: Kind, metadata: Option<&v1::ObjectMeta>) -> Result<Vec<u8>, Error> {
        let context = self.context(kind, metadata);
        let envelope = Envelope {
            key_id: sealed.key_id.clone(),
            wrapped_key: sealed.wrapped_key.to_vec(),
            ciphertext: sealed.ciphertext.to_vec(),
        };
        Ok(self.0.keys.load().open(&envelope, &context.each_ref().map(|part| part.as_bytes()))?)
    }

    /// The stored object as admission works with it: a secret in clear text, everything else as it is.
    pub fn opened(&self, record: &Arc<Record>) -> Result<Arc<Record>, Error> {
        let Some(secret) = Secret::from_object(&record.object) else { return Ok(record.clone()) };
        let opened = Record::new(self.open(secret)?.into_object());
        Ok(opened.map_or_else(|| record.clone(), Arc::new))
    }

    /// The object's encoding for who may read it.
    pub fn shown(&self, record: &Record) -> Result<Bytes, Error> {
        Ok(match &record.object.body {
            Some(Body::Secret(secret)) => self.open(secret)?.into_object().encode_to_vec().into(),
            Some(Body::SigningKey(_)) => redacted(record).encode_to_vec().into(),
            _ => record.encoded.clone(),
        })
    }

    /// The same, decoded.
    pub fn shown_object(&self, record: &Record) -> Result<Object, Error> {
        match Secret::from_object(&record.object) {
            Some(secret) => Ok(self.open(secret)?.into_object()),
            None => Ok(redacted(record)),
        }
    }

    /// What a sealed text belongs to. The key's own id is bound to it as well.
    fn context(&self, kind: Kind, metadata: Option<&v1::ObjectMeta>) -> [String; 5] {
        let of = |part: fn(&v1::ObjectMeta) -> &String| metadata.map(part).cloned().unwrap_or_default();
        [
            self.0.cluster_id.to_string(),
            kind.to_string(),
            of(|metadata| &metadata.namespace),
            of(|metadata| &metadata.name),
            of(|metadata| &metadata.uid),
        ]
    }
}

/// The object for who wrote it, and may not be allowed to read it: without values and without what only servers see.
#[must_use]
pub fn redacted(record: &Record) -> Object {
    let mut object = record.object.clone();
    match &mut object.body {
        Some(Body::Secret(secret)) => {
            secret.data.clear();
            secret.sealed = None;
        }
        Some(Body::SigningKey(key)) => {
            if let Some(spec) = &mut key.spec {
                spec.sealed_private_key = None;
            }
        }
        _ => {}
    }
    object
}

/// The same, encoded.
#[must_use]
pub fn redacted_bytes(record: &Record) -> Bytes {
    match record.kind() {
        Kind::Secret | Kind::SigningKey => redacted(record).encode_to_vec().into(),
        _ => record.encoded.clone(),
    }
}

/// The key that seals what is written now.
#[must_use]
pub fn active_key(view: &View) -> Option<String> {
    in_phase(view, ACTIVE).next().map(|(record, _)| record.key.name.clone())
}

/// The sealing keys in a phase.
pub fn in_phase<'a>(view: &'a View, phase: &'static str) -> impl Iterator<Item = (&'a Arc<Record>, &'a SealingKey)> {
    let keys = view.list(Kind::SealingKey, None);
    let keys = keys.filter_map(|record| Some((record, SealingKey::from_object(&record.object)?)));
    keys.filter(move |(_, key)| key.spec.as_ref().is_some_and(|spec| spec.phase == phase))
}

/// Where a sealing key stands.
#[must_use]
pub fn key_of(id: &str) -> Key {
    Key::cluster(Kind::SealingKey, id)
}

fn why_none(view: &View) -> String {
    let waiting = view.list(Kind::SealingKey, None).find_map(|record| {
        let spec = SealingKey::from_object(&record.object)?.spec.as_ref()?;
        (!spec.message.is_empty()).then(|| spec.message.clone())
    });
    waiting.unwrap_or_else(|| "every server must hold the same key, as the operator's manual says".to_owned())
}

#[cfg(test)]
mod tests;
