//! `[auth.oidc]`: the provider of identities whose people may log in; and `tokens.issuer`: what this cluster is to others
//! who believe its tokens. Reads no key.

use std::{path::Path, time::Duration};

use boss_base::config::{Problems, Section};
use boss_proto::limits::TOKEN_LIFETIME_MAX;

use crate::auth::oidc::Settings;

/// A working day: then people log in again, and the provider says whether they are still there.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(12 * 3_600);
/// Shorter ones would end before they are of use.
const LIFETIME_MIN: Duration = Duration::from_secs(60);
const PREFIX_DEFAULT: &str = "oidc:";
/// The claim that a provider never gives to somebody else.
const USER_CLAIM_DEFAULT: &str = "sub";

/// `None` when there is no such section, or a problem with it.
pub(super) fn read(root: &mut Section, folder: &Path, problems: &mut Problems) -> Option<Settings> {
    let mut auth = root.section("auth", problems);
    let section = auth.has("oidc").then(|| auth.section("oidc", problems));
    auth.finish(problems);
    let mut section = section?;
    let issuer = section.required_text("issuer", problems);
    let client_id = section.required_text("client_id", problems);
    let keys = section.required_text("keys", problems).map(|path| folder.join(path));
    let user_claim = section.text("user_claim", problems).unwrap_or_else(|| USER_CLAIM_DEFAULT.to_owned());
    let groups_claim = section.text("groups_claim", problems);
    let prefix = section.text("prefix", problems).unwrap_or_else(|| PREFIX_DEFAULT.to_owned());
    let lifetime = section.number("lifetime_seconds", problems).map(Duration::from_secs);
    section.finish(problems);
    if !prefix.ends_with(':') || prefix.starts_with("system:") || prefix.starts_with("boss:") {
        problems.add("auth.oidc.prefix", "must end with a colon and be none of Boss's own: system:, boss:");
    }
    let lifetime_max = lifetime.unwrap_or(LIFETIME_DEFAULT);
    if !(LIFETIME_MIN..=TOKEN_LIFETIME_MAX).contains(&lifetime_max) {
        let (min, max) = (LIFETIME_MIN.as_secs(), TOKEN_LIFETIME_MAX.as_secs());
        problems.add("auth.oidc.lifetime_seconds", format!("must be {min} to {max}, not {}", lifetime_max.as_secs()));
    }
    Some(Settings {
        issuer: issuer?,
        client_id: client_id?,
        keys: keys?,
        user_claim,
        groups_claim,
        prefix,
        lifetime_max,
    })
}

/// Others put a path behind it and ask there, so it must be an address without anything after the path.
pub(super) fn read_own_issuer(tokens: &mut Section, problems: &mut Problems) -> Option<String> {
    let issuer = tokens.text("issuer", problems)?;
    let address = issuer.strip_prefix("https://").unwrap_or_default();
    if address.is_empty() || address.ends_with('/') || address.contains(['?', '#', ' ']) {
        return problems.none("tokens.issuer", "must be an address of this form: https://boss.example.com");
    }
    Some(issuer)
}
