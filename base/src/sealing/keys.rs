//! The file of sealing keys: one key a line, the newest first. Seals nothing.

use std::{fmt, path::Path};

use ring::{aead::LessSafeKey, hmac};
use sha2::{Digest, Sha256};

use super::{Error, KEY_LEN, aead, random};
use crate::{constant_time, files, tls::hex};

/// Before each key in its file: tells what it is, should somebody find the line elsewhere.
const LINE_PREFIX: &str = "boss-sealing-key-1:";
/// Rotated daily, a month of keys.
const KEYS_MAX: usize = 32;
/// Thirty-two lines and comments are a tenth of this.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// Of the SHA-256 over the key: enough to tell keys apart, too little to find one.
const ID_BYTES: usize = 8;

/// The file of keys cannot be used. Never shows a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// It cannot be read.
    #[error("{path}: {problem}")]
    Unreadable {
        /// Where.
        path: String,
        /// Why not.
        problem: String,
    },
    /// Group or others may read or change it.
    #[error("{path} can be read or changed by other users: chmod 600 it")]
    OpenToOthers {
        /// Where.
        path: String,
    },
    /// A line is no key.
    #[error("line {line} is no sealing key: {LINE_PREFIX} and 64 hexadecimal digits")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// The same key twice.
    #[error("line {line} holds a key that is there already")]
    Twice {
        /// Counted from 1.
        line: usize,
    },
    /// None, or more than are kept.
    #[error("there are {found} keys: from 1 to {KEYS_MAX} are possible")]
    Count {
        /// How many.
        found: usize,
    },
}

struct Key {
    id: String,
    wrapping: LessSafeKey,
    proving: hmac::Key,
}

/// The keys that a server holds, the newest first.
#[derive(Default)]
pub struct KeyRing(Vec<Key>);

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl KeyRing {
    /// From a file that only its owner can read.
    pub fn load(path: &Path) -> Result<Self, BadKeys> {
        let shown = path.display().to_string();
        let unreadable = |problem: String| BadKeys::Unreadable { path: shown.clone(), problem };
        if files::is_open_to_others(path).map_err(|error| unreadable(error.to_string()))? {
            return Err(BadKeys::OpenToOthers { path: shown });
        }
        let bytes = files::read_bounded(path, FILE_BYTES_MAX).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable("is no text".to_owned()))?;
        Self::parse(&text)
    }

    /// From the lines of such a file. Empty lines and those that begin with `#` are for people.
    pub fn parse(text: &str) -> Result<Self, BadKeys> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = read_line(line).ok_or(BadKeys::Line { line: index + 1 })?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(BadKeys::Twice { line: index + 1 });
            }
            keys.push(key);
        }
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(BadKeys::Count { found: keys.len() });
        }
        Ok(Self(keys))
    }

    /// Their names, the newest first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| &*key.id)
    }

    /// Whether a key is there.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// Shows to who holds the key too that this ring holds it, and tells nobody anything else.
    #[must_use]
    pub fn prove(&self, id: &str, statement: &[u8]) -> Option<Vec<u8>> {
        self.find(id).map(|key| hmac::sign(&key.proving, statement).as_ref().to_vec())
    }

    /// Whether a proof is that of the key.
    #[must_use]
    pub fn believes(&self, id: &str, statement: &[u8], proof: &[u8]) -> bool {
        self.prove(id, statement).is_some_and(|expected| constant_time::equal(&expected, proof))
    }

    pub(super) fn wrapping(&self, id: &str) -> Option<&LessSafeKey> {
        self.find(id).map(|key| &key.wrapping)
    }

    fn find(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }
}

/// A fresh key, as it stands in a file.
pub fn new_key_line() -> Result<String, Error> {
    Ok(format!("{LINE_PREFIX}{}\n", hex(&random::<KEY_LEN>()?)))
}

fn read_line(line: &str) -> Option<Key> {
    let digits = line.strip_prefix(LINE_PREFIX)?;
    if digits.len() != 2 * KEY_LEN || !digits.is_ascii() {
        return None;
    }
    let mut key = [0; KEY_LEN];
    for (byte, at) in key.iter_mut().zip((0..digits.len()).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    let named = Sha256::new().chain_update(b"boss sealing key id").chain_update(key).finalize();
    let proving = Sha256::new().chain_update(b"boss sealing key proof").chain_update(key).finalize();
    let read =
        Key { id: hex(&named[..ID_BYTES]), wrapping: aead(&key), proving: hmac::Key::new(hmac::HMAC_SHA256, &proving) };
    key.fill(0);
    Some(read)
}
