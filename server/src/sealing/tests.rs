//! What is sealed for one object opens for that one only.

use boss_base::sealing::new_key_line;
use boss_proto::v1::{ObjectMeta, SealingKeySpec};

use super::*;
use crate::controllers::testing::registry_of;

const CANARY: &str = "canary-in-clear-text";

fn ring() -> (KeyRing, String) {
    let ring = KeyRing::parse(&new_key_line().unwrap()).unwrap();
    let id = ring.ids().next().unwrap().to_owned();
    (ring, id)
}

fn vault() -> (Vault, String) {
    let (ring, id) = ring();
    (Vault::with_keys("c1".into(), ring), id)
}

fn secret(name: &str, uid: &str) -> Secret {
    let metadata =
        ObjectMeta { name: name.into(), namespace: "default".into(), uid: uid.into(), ..ObjectMeta::default() };
    let data = [("password".to_owned(), Bytes::from(CANARY))].into();
    Secret { metadata: Some(metadata), data, ..Secret::default() }
}

fn holds_canary(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}

fn key(id: &str, phase: &str) -> Object {
    let metadata = Some(ObjectMeta { name: id.to_owned(), ..ObjectMeta::default() });
    let spec = Some(SealingKeySpec { phase: phase.to_owned(), ..SealingKeySpec::default() });
    SealingKey { metadata, spec, ..SealingKey::default() }.into_object()
}

#[test]
fn a_sealed_secret_shows_nothing_and_opens_again() {
    let (vault, id) = vault();
    let mut sealed = secret("s", "u1");
    vault.seal_with(&id, &mut sealed).unwrap();
    assert!(!holds_canary(&sealed.encode_to_vec()));
    assert_eq!(vault.open(&sealed).unwrap(), secret("s", "u1"));
}

#[test]
fn what_was_sealed_for_one_object_opens_as_no_other() {
    let (vault, id) = vault();
    let mut sealed = secret("s", "u1");
    vault.seal_with(&id, &mut sealed).unwrap();
    let stolen = Secret { sealed: sealed.sealed.clone(), data: Default::default(), ..secret("mine", "u1") };
    assert!(vault.open(&stolen).is_err(), "another name");
    let stolen = Secret { sealed: sealed.sealed.clone(), data: Default::default(), ..secret("s", "u2") };
    assert!(vault.open(&stolen).is_err(), "another uid");
    let elsewhere = Vault::with_keys("c2".into(), ring().0);
    assert!(elsewhere.open(&sealed).is_err(), "another cluster and key");
    let metadata = sealed.metadata.as_ref();
    assert!(vault.open_bytes(sealed.sealed.as_ref().unwrap(), Kind::SigningKey, metadata).is_err(), "another kind");
}

#[test]
fn the_active_key_seals_and_without_one_nothing_is() {
    let (vault, id) = vault();
    let mut sealed = secret("s", "u1");
    let none = vault.seal(&registry_of(vec![key(&id, WAITING)]), &mut secret("s", "u1"));
    assert!(matches!(none, Err(Error::NoActiveKey(_))), "{none:?}");
    vault.seal(&registry_of(vec![key("00", RETIRED), key(&id, ACTIVE)]), &mut sealed).unwrap();
    assert_eq!(sealed.sealed.unwrap().key_id, id);
}

#[test]
fn readers_see_clear_text_and_writers_neither_that_nor_the_sealed_form() {
    let (vault, id) = vault();
    let mut sealed = secret("s", "u1");
    vault.seal_with(&id, &mut sealed).unwrap();
    let record = Record::new(sealed.into_object()).unwrap();
    assert!(!holds_canary(&record.encoded));
    assert!(holds_canary(&vault.shown(&record).unwrap()));
    let told = redacted(&record);
    let told = Secret::from_object(&told).unwrap();
    assert!(told.data.is_empty() && told.sealed.is_none());
    // A server without the key says so instead of showing something else.
    let empty = Vault::with_keys("c1".into(), KeyRing::default());
    assert_eq!(empty.shown(&record), Err(Error::Sealing(SealError::UnknownKey { id })));
}

#[test]
fn a_server_proves_its_key_under_its_own_name_only() {
    use boss_proto::{ids::ServerId, peer::v1::ProveSealingKeyRequest};
    let (vault, id) = vault();
    let request = ProveSealingKeyRequest { key_id: id.clone(), challenge: vec![7; 32].into() };
    let (one, two) = (vault.prove(ServerId(1), &request), vault.prove(ServerId(2), &request));
    assert!(!one.proof.is_empty() && one.proof != two.proof, "the proof of one server is of no use to another");
    let other = ProveSealingKeyRequest { key_id: "other".into(), ..request };
    assert!(vault.prove(ServerId(1), &other).proof.is_empty());
}
