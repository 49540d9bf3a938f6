//! Keys that make and check tokens, and their files. Reads no token.

use std::{collections::BTreeMap, fs, path::Path};

use jsonwebtoken::{DecodingKey, EncodingKey};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use sha2::{Digest, Sha256};

use crate::files;

/// Everything in the DER form of an Ed25519 public key but the key itself (RFC 8410).
const PUBLIC_DER_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PUBLIC_KEY_LEN: usize = 32;
/// Of the SHA-256 of the public key: enough to tell keys apart, short enough to read.
const KID_BYTES: usize = 16;
/// A key in PEM is a tenth of this.
const PEM_BYTES_MAX: usize = 4 * 1024;

/// A key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token key is not usable: {0}")]
pub struct KeyError(pub(super) String);

fn unusable(problem: impl ToString) -> KeyError {
    KeyError(problem.to_string())
}

/// Makes tokens.
pub struct SigningKey {
    pair: KeyPair,
    encoding: EncodingKey,
    kid: String,
}

impl SigningKey {
    /// A fresh one.
    pub fn generate() -> Result<Self, KeyError> {
        Self::new(KeyPair::generate_for(&PKCS_ED25519).map_err(unusable)?)
    }

    /// From PKCS#8 PEM.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        Self::new(KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ED25519).map_err(unusable)?)
    }

    /// From a file that [`SigningKey::save`] wrote.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&read(path)?)
    }

    /// Writes it as PKCS#8 PEM that only the owner can read.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        files::write_atomic(path, self.pair.serialize_pem().as_bytes(), files::PRIVATE)
            .map_err(|error| unusable(format!("{}: {error}", path.display())))
    }

    /// As PKCS#8 PEM, for who keeps it safe.
    #[must_use]
    pub fn private_pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// The 32 bytes of its public half.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.pair.der_bytes()
    }

    /// Its public half, for those who check.
    #[must_use]
    pub fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    /// Its name in the headers of tokens; follows from the public key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }

    fn new(pair: KeyPair) -> Result<Self, KeyError> {
        if pair.algorithm() != &PKCS_ED25519 {
            return Err(unusable("it is no Ed25519 key"));
        }
        let encoding = EncodingKey::from_ed_der(pair.serialized_der());
        let kid = kid(pair.der_bytes());
        Ok(Self { pair, encoding, kid })
    }
}

/// Checks tokens of one [`SigningKey`].
#[derive(Clone)]
pub struct VerifyingKey {
    decoding: DecodingKey,
    public: Vec<u8>,
    kid: String,
}

impl VerifyingKey {
    /// From the public key's PEM (`PUBLIC KEY`).
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(unusable)?;
        Self::from_bytes(der.as_ref().strip_prefix(&PUBLIC_DER_PREFIX).unwrap_or_default())
    }

    /// From the 32 bytes of the public key.
    pub fn from_bytes(key: &[u8]) -> Result<Self, KeyError> {
        if key.len() != PUBLIC_KEY_LEN {
            return Err(unusable("it is no Ed25519 public key"));
        }
        Ok(Self { decoding: DecodingKey::from_ed_der(key), public: key.to_vec(), kid: kid(key) })
    }

    /// As a JSON Web Key (RFC 8037), for others who check.
    #[must_use]
    pub fn to_jwk(&self) -> serde_json::Value {
        serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": base64url(&self.public),
        })
    }

    /// From a file with the public key's PEM.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&read(path)?).map_err(|KeyError(problem)| unusable(format!("{}: {problem}", path.display())))
    }

    /// Its name in the headers of tokens.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

/// All keys whose tokens are taken.
#[derive(Clone, Default)]
pub struct VerifyingKeys(BTreeMap<String, VerifyingKey>);

impl VerifyingKeys {
    pub(super) fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.0.get(kid)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.0.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no token can be taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<VerifyingKey> for VerifyingKeys {
    fn from_iter<I: IntoIterator<Item = VerifyingKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.kid.clone(), key)).collect())
    }
}

/// Base64 for URLs, without padding (RFC 4648).
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        text.extend((0..=chunk.len()).map(|digit| char::from(ALPHABET[(bits >> (18 - 6 * digit)) as usize & 63])));
    }
    text
}

fn kid(public_key: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(public_key)[..KID_BYTES].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn read(path: &Path) -> Result<String, KeyError> {
    let describe = |error: &dyn std::fmt::Display| unusable(format!("{}: {error}", path.display()));
    if fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return Err(describe(&"is a directory"));
    }
    let bytes = files::read_bounded(path, PEM_BYTES_MAX).map_err(|error| describe(&error))?;
    String::from_utf8(bytes).map_err(|error| describe(&error))
}
