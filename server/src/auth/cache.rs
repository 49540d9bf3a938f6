//! Identities of credentials that were verified a moment ago: a signature costs more than all the rest of a call.
//! Whether one was revoked since is asked of the registry each time. Keeps no credential, only what it hashes to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use boss_base::constant_time::sha256;

use super::Identity;

/// Credentials remembered; when there are more, all are verified once again.
const ENTRIES_MAX: usize = 8_192;

/// Of a credential: SHA-256, so that nobody can make another one with the same.
pub(super) type CredentialDigest = Vec<u8>;

/// Verified credentials by their digests.
#[derive(Default)]
pub(super) struct Cache {
    entries: Mutex<HashMap<CredentialDigest, Arc<Identity>>>,
}

/// What a credential is remembered by.
pub(super) fn digest(credential: &[u8]) -> CredentialDigest {
    sha256(credential)
}

impl Cache {
    /// The identity that the credential proved. Whether it has ended since is for the caller to ask.
    pub(super) fn find(&self, credential: &CredentialDigest) -> Option<Arc<Identity>> {
        self.lock().get(credential).cloned()
    }

    /// Remembers a verified credential.
    pub(super) fn remember(&self, credential: CredentialDigest, identity: &Arc<Identity>) {
        let mut entries = self.lock();
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(credential, identity.clone());
    }

    /// Forgets a credential that has ended.
    pub(super) fn forget(&self, credential: &CredentialDigest) {
        self.lock().remove(credential);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CredentialDigest, Arc<Identity>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
