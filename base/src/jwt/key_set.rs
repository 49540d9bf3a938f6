//! Public keys of others, from a JSON Web Key Set (RFC 7517). Each key has one algorithm, which no token chooses.
//! Fetches nothing.

use std::collections::BTreeMap;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// A set of the largest providers is a hundredth of this.
pub const KEY_SET_BYTES_MAX: usize = 256 * 1024;
/// A provider has two or three in use, and some that are not for signing.
const KEYS_MAX: usize = 128;
/// As a token's header may name it.
const KID_LEN_MAX: usize = 256;
/// Of 32 bytes in base64url: a coordinate of P-256, an Ed25519 key.
const POINT_TEXT_LEN: usize = 43;
/// Of 256 and 1,024 bytes in base64url: RSA with 2,048 to 8,192 bits.
const MODULUS_TEXT_LEN: std::ops::RangeInclusive<usize> = 342..=1_366;

/// The set cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    /// Longer than [`KEY_SET_BYTES_MAX`].
    #[error("the key set is longer than {KEY_SET_BYTES_MAX} bytes")]
    TooLong,
    /// Not a key set.
    #[error("it is no JSON Web Key Set: {0}")]
    Malformed(String),
    /// One of its keys is not what it says it is.
    #[error("key {kid:?}: {problem}")]
    Key {
        /// Which.
        kid: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no key in it that could sign for us.
    #[error("it holds no key for RS256, ES256 or EdDSA that names itself")]
    Empty,
}

/// Public keys by their names.
#[derive(Clone, Default)]
pub struct KeySet(BTreeMap<String, PublicKey>);

#[derive(Clone)]
pub(super) struct PublicKey {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// What of a key is looked at. Whatever is there must be of its type.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    used_for: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

impl KeySet {
    /// Reads a set. Keys that are for something else are left out; one that is for signatures and broken makes the
    /// whole set unusable: half a set would refuse people for no reason that anybody sees.
    pub fn from_json(json: &[u8]) -> Result<Self, BadKeySet> {
        if json.len() > KEY_SET_BYTES_MAX {
            return Err(BadKeySet::TooLong);
        }
        let malformed = |error: serde_json::Error| BadKeySet::Malformed(error.to_string());
        let Document { keys } = serde_json::from_slice(json).map_err(malformed)?;
        if keys.len() > KEYS_MAX {
            return Err(BadKeySet::Malformed(format!("it has {} keys, {KEYS_MAX} are the most", keys.len())));
        }
        let mut found = BTreeMap::new();
        for key in keys {
            let jwk = Jwk::deserialize(key).map_err(malformed)?;
            let (Some(kid), Some(algorithm)) = (jwk.kid.clone(), jwk.algorithm()) else { continue };
            let bad = |problem| BadKeySet::Key { kid: kid.chars().take(KID_LEN_MAX).collect(), problem };
            if kid.is_empty() || kid.len() > KID_LEN_MAX {
                return Err(bad("its name is empty or too long"));
            }
            let decoding = jwk.decoding(algorithm).map_err(bad)?;
            if found.insert(kid.clone(), PublicKey { algorithm, decoding }).is_some() {
                return Err(bad("there are two of that name"));
            }
        }
        if found.is_empty() { Err(BadKeySet::Empty) } else { Ok(Self(found)) }
    }

    /// The names of the keys.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn find(&self, kid: &str) -> Option<&PublicKey> {
        self.0.get(kid)
    }
}

impl Jwk {
    /// The one algorithm of a key that is for signatures, if it is one that we check.
    fn algorithm(&self) -> Option<Algorithm> {
        if self.used_for.as_deref().is_some_and(|used_for| used_for != "sig") {
            return None;
        }
        let (algorithm, word) = match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => (Algorithm::RS256, "RS256"),
            ("EC", Some("P-256")) => (Algorithm::ES256, "ES256"),
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, "EdDSA"),
            _ => return None,
        };
        self.alg.as_deref().is_none_or(|alg| alg == word).then_some(algorithm)
    }

    fn decoding(&self, algorithm: Algorithm) -> Result<DecodingKey, &'static str> {
        let key = match algorithm {
            Algorithm::RS256 => {
                let (Some(n), Some(e)) = (&self.n, &self.e) else { return Err("n or e is missing") };
                if !MODULUS_TEXT_LEN.contains(&n.len()) {
                    return Err("it must have 2,048 to 8,192 bits");
                }
                DecodingKey::from_rsa_components(n, e)
            }
            Algorithm::ES256 => DecodingKey::from_ec_components(point(self.x.as_ref())?, point(self.y.as_ref())?),
            _ => DecodingKey::from_ed_components(point(self.x.as_ref())?),
        };
        key.map_err(|_| "it is not base64url without padding")
    }
}

fn point(text: Option<&String>) -> Result<&str, &'static str> {
    match text {
        Some(text) if text.len() == POINT_TEXT_LEN => Ok(text),
        Some(_) => Err("x or y has not the length that the curve asks for"),
        None => Err("x or y is missing"),
    }
}
