//! Secrets are admitted in clear text and proposed sealed. What the sealed form cannot tell is decided here: whether
//! anything has changed.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use boss_proto::{
    key::Key,
    object::Resource,
    v1::{Object, Secret, object::Body},
};
use boss_raft::state::Record;
use bytes::Bytes;

use super::{Case, Refusal};

impl Case<'_> {
    /// What stands at a key, a secret in clear text.
    pub(super) fn stored(&self, key: &Key) -> Result<Option<Arc<Record>>, Refusal> {
        Ok(self.view.get(key).map(|record| self.stamp.vault.opened(record)).transpose()?)
    }

    /// Seals what must not be proposed in clear text; everything else stays as it is. `stored` is in clear text.
    pub(super) fn seal(&self, object: &mut Object, stored: Option<&Record>) -> Result<(), Refusal> {
        let key = object.key();
        let Some(Body::Secret(secret)) = &mut object.body else { return Ok(()) };
        let before = stored.and_then(|stored| Secret::from_object(&stored.object));
        if before.is_some_and(|before| before.data == secret.data) {
            // The same as before, sealed as before: a write that changes nothing stays one.
            let record = key.and_then(|key| self.view.get(&key));
            let sealed = record.and_then(|record| Secret::from_object(&record.object)?.sealed.clone());
            secret.data.clear();
            secret.sealed = sealed;
            return Ok(());
        }
        let said = secret.metadata.as_ref().map(|metadata| metadata.uid.clone()).unwrap_or_default();
        let metadata = secret.metadata.get_or_insert_default();
        if let Some(stored) = stored {
            // Sealed for the object that stands; a write that means another one is refused anyway.
            metadata.uid = stored.uid().to_string();
        }
        self.stamp.vault.seal(self.view, secret)?;
        secret.metadata.get_or_insert_default().uid = said;
        Ok(())
    }
}

/// The values of a secret by their keys; nothing for other objects.
pub(super) type Values = BTreeMap<String, Bytes>;

/// Takes the values out of a secret and leaves its keys.
pub(super) fn take_values(object: &mut Object) -> Values {
    let Some(Body::Secret(secret)) = &mut object.body else { return Values::new() };
    let keys = secret.data.keys().map(|key| (key.clone(), Bytes::new())).collect();
    std::mem::replace(&mut secret.data, keys)
}

/// Puts them back, whatever was put in their place meanwhile.
pub(super) fn put_values(object: &mut Object, values: Values) {
    if let Some(Body::Secret(secret)) = &mut object.body {
        secret.data = values;
    }
}

/// The object as everybody may see it: a secret with its keys only.
pub(super) fn concealed(object: &Object) -> Cow<'_, Object> {
    let mut shown = Cow::Borrowed(object);
    if let Some(Body::Secret(_)) = &object.body {
        let shown = shown.to_mut();
        drop(take_values(shown));
        if let Some(Body::Secret(secret)) = &mut shown.body {
            secret.sealed = None;
        }
    }
    shown
}
