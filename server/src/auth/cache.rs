//! Identities of credentials that were verified a moment ago: a signature costs more than all the rest of a call.
//! Revocation does not suffer: it is decided where the entry is applied.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Identity;

/// Credentials remembered; when there are more, all are verified once again.
const ENTRIES_MAX: usize = 8_192;

/// Verified credentials by their bytes.
#[derive(Default)]
pub(super) struct Cache {
    entries: Mutex<HashMap<Box<[u8]>, Arc<Identity>>>,
}

impl Cache {
    /// The identity that these bytes proved. Whether it has ended since is for the caller to ask.
    pub(super) fn find(&self, credential: &[u8]) -> Option<Arc<Identity>> {
        self.lock().get(credential).cloned()
    }

    /// Remembers a verified credential.
    pub(super) fn remember(&self, credential: &[u8], identity: &Arc<Identity>) {
        let mut entries = self.lock();
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(credential.into(), identity.clone());
    }

    /// Forgets a credential that has ended.
    pub(super) fn forget(&self, credential: &[u8]) {
        self.lock().remove(credential);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Arc<Identity>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
