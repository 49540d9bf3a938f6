//! Who an ID token speaks of. What makes one believable is tested where it is checked.

use boss_base::jwt::{
    Refusal,
    testing::{ProviderKey, key_set},
};
use serde_json::json;

use super::*;

const NOW: u64 = 1_700_000_000;

struct Fixture {
    folder: tempfile::TempDir,
    key: ProviderKey,
    settings: Settings,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let key = ProviderKey::generate("k1");
    let settings = Settings {
        issuer: "https://id.example".into(),
        client_id: "boss".into(),
        keys: folder.path().join("keys.json"),
        user_claim: "sub".into(),
        groups_claim: Some("groups".into()),
        prefix: "oidc:".into(),
        lifetime_max: Duration::from_secs(3_600),
    };
    std::fs::write(&settings.keys, key_set([&key]).to_string()).unwrap();
    Fixture { folder, key, settings }
}

fn claims(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = json!({
        "iss": "https://id.example", "aud": "boss", "sub": "anna", "exp": NOW + 300, "iat": NOW - 5,
        "groups": ["builders", "system:admins", "system:masters"], "email": "anna@example.com",
    });
    change(&mut claims);
    claims
}

impl Fixture {
    fn identify(&self, claims: &Value) -> Result<Person, Error> {
        Provider::load(self.settings.clone()).unwrap().identify(&self.key.sign(claims), None, NOW)
    }
}

#[test]
fn names_and_groups_have_the_prefix_and_so_are_never_ours() {
    let person = fixture().identify(&claims(|_| {})).unwrap();
    let groups = ["oidc:builders", "oidc:system:admins", "oidc:system:masters"].map(str::to_owned).to_vec();
    assert_eq!(person, Person { name: "oidc:anna".into(), groups, logged_in_at: NOW - 5 });
}

#[test]
fn a_prefix_that_would_make_names_ours_lets_nobody_in() {
    let fixture = fixture();
    for (prefix, sub) in [("system:", "node:n1"), ("", "system:node:n1")] {
        let settings = Settings { prefix: prefix.into(), ..fixture.settings.clone() };
        let claims = claims(|claims| claims["sub"] = json!(sub));
        let found = Provider::load(settings).unwrap().identify(&fixture.key.sign(&claims), None, NOW);
        assert!(matches!(found, Err(Error::TokenClaims(_))), "{found:?}");
    }
}

#[test]
fn groups_count_only_where_a_claim_is_configured_and_nobody_must_have_some() {
    let mut fixture = fixture();
    let none = claims(|claims| drop(claims.as_object_mut().unwrap().remove("groups")));
    assert_eq!(fixture.identify(&none).unwrap().groups, Vec::<String>::new());
    let one = claims(|claims| claims["groups"] = json!("builders"));
    assert_eq!(fixture.identify(&one).unwrap().groups, ["oidc:builders"]);
    fixture.settings.groups_claim = None;
    assert_eq!(fixture.identify(&claims(|_| {})).unwrap().groups, Vec::<String>::new());
}

#[test]
fn claims_that_name_nobody_are_refused() {
    let mut fixture = fixture();
    let refused = |fixture: &Fixture, change: fn(&mut Value)| {
        let found = fixture.identify(&claims(change));
        assert!(matches!(found, Err(Error::TokenClaims(_))), "{found:?}");
    };
    refused(&fixture, |claims| claims["sub"] = json!("anna\n"));
    refused(&fixture, |claims| claims["sub"] = json!("a".repeat(USER_NAME_LEN_MAX + 1)));
    refused(&fixture, |claims| claims["groups"] = json!([1]));
    refused(&fixture, |claims| claims["groups"] = json!(null));
    refused(&fixture, |claims| claims["groups"] = json!(vec!["g"; GROUPS_PER_USER_MAX + 1]));
    refused(&fixture, |claims| claims["groups"] = json!([""]));
    fixture.settings.user_claim = "name".into();
    refused(&fixture, |_| {});
    refused(&fixture, |claims| claims["name"] = json!(["anna"]));
    fixture.settings.user_claim = "email".into();
    refused(&fixture, |_| {});
    refused(&fixture, |claims| claims["email_verified"] = json!("true"));
    let verified = claims(|claims| claims["email_verified"] = json!(true));
    assert_eq!(fixture.identify(&verified).unwrap().name, "oidc:anna@example.com");
}

#[test]
fn new_keys_are_taken_from_the_file_and_a_broken_file_changes_nothing() {
    let fixture = fixture();
    let provider = Provider::load(fixture.settings.clone()).unwrap();
    let next = ProviderKey::generate("k2");
    let known = |key: &ProviderKey| provider.identify(&key.sign(&claims(|_| {})), None, NOW);
    assert_eq!(known(&next), Err(Error::IdToken(Refusal::UnknownKey)));
    let write = |text: String| std::fs::write(fixture.folder.path().join("keys.json"), text).unwrap();
    write(key_set([&next]).to_string());
    provider.reload();
    assert!(known(&next).is_ok());
    assert_eq!(known(&fixture.key), Err(Error::IdToken(Refusal::UnknownKey)), "what the provider took out is out");
    write("{".to_owned());
    provider.reload();
    assert!(known(&next).is_ok());
}
