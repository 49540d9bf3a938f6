//! Envelope encryption over ring: every text under a key of its own, which is wrapped by a key that stands in a file.
//! Knows no object and no network; what a text belongs to comes in as its context and is bound to it.

mod keys;

pub use keys::{BadKeys, KeyRing, new_key_line};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

/// Of data keys and wrapping keys: AES-256.
const KEY_LEN: usize = 32;
/// What tells the two uses of a context apart: a wrapped key never opens as a text.
const WRAP: &[u8] = b"boss wrapped key";
const TEXT: &[u8] = b"boss sealed text";

/// A sealed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Names the wrapping key.
    pub key_id: String,
    /// Nonce and wrapped data key.
    pub wrapped_key: Vec<u8>,
    /// Nonce and ciphertext.
    pub ciphertext: Vec<u8>,
}

/// Why something is not sealed or not opened. Never says a word of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The wrapping key is not in the file.
    #[error("this server does not hold the sealing key {id}")]
    UnknownKey {
        /// Which.
        id: String,
    },
    /// Other bytes, another context or another key than it was sealed with.
    #[error("what was sealed with key {id} does not open: it was changed, or belongs to another object")]
    Broken {
        /// Which key.
        id: String,
    },
    /// The machine gives no randomness.
    #[error("the machine gives no random bytes")]
    NoRandomness,
}

impl KeyRing {
    /// Seals a text so that it opens only with the same key and context.
    pub fn seal(&self, key_id: &str, context: &[&[u8]], text: &[u8]) -> Result<Envelope, Error> {
        let unknown = || Error::UnknownKey { id: key_id.to_owned() };
        let wrapping = self.wrapping(key_id).ok_or_else(unknown)?;
        let mut data_key = [0; KEY_LEN];
        fill(&mut data_key)?;
        let wrapped_key = encrypt(wrapping, &bound(WRAP, key_id, context), &data_key)?;
        let ciphertext = encrypt(&aead(&data_key), &bound(TEXT, key_id, context), text)?;
        data_key.fill(0);
        Ok(Envelope { key_id: key_id.to_owned(), wrapped_key, ciphertext })
    }

    /// The text of an envelope that was sealed with this context.
    pub fn open(&self, envelope: &Envelope, context: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let id = &envelope.key_id;
        let wrapping = self.wrapping(id).ok_or_else(|| Error::UnknownKey { id: id.clone() })?;
        let broken = || Error::Broken { id: id.clone() };
        let mut data_key = decrypt(wrapping, &bound(WRAP, id, context), &envelope.wrapped_key).ok_or_else(broken)?;
        let whole: &[u8; KEY_LEN] = data_key.as_slice().try_into().map_err(|_| broken())?;
        let text = decrypt(&aead(whole), &bound(TEXT, id, context), &envelope.ciphertext).ok_or_else(broken);
        data_key.fill(0);
        text
    }
}

/// Fresh bytes that nobody can foresee.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    SystemRandom::new().fill(bytes).map_err(|_| Error::NoRandomness)
}

fn aead(key: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has the length of the algorithm's"))
}

/// Parts with their lengths, so that `ab, c` is not `a, bc`.
fn bound(purpose: &[u8], key_id: &str, context: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in [purpose, key_id.as_bytes()].iter().chain(context) {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Nonce, ciphertext, tag. Nonces are random: a data key is used once, a wrapping key far less than 2^32 times.
fn encrypt(key: &LessSafeKey, context: &[u8], text: &[u8]) -> Result<Vec<u8>, Error> {
    let nonce: [u8; NONCE_LEN] = random()?;
    let mut body = text.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut body)
        .map_err(|_| Error::NoRandomness)?;
    Ok([nonce.as_slice(), &body].concat())
}

fn decrypt(key: &LessSafeKey, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut body = body.to_vec();
    let text = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut body).ok()?;
    Some(text.to_vec())
}

#[cfg(test)]
mod tests;
