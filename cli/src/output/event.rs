//! Events in tables.

use boss_proto::{kind::Kind, v1};

use super::age;

pub(super) const HEADERS: (&[&str], &[&str]) =
    (&["LAST-SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"], &["COUNT", "SOURCE"]);

pub(super) fn cells(event: &v1::Event, wide: bool, now: u64) -> Vec<String> {
    let message = event.message.clone();
    let mut cells =
        vec![age(last_seen(event), now), event.r#type.clone(), event.reason.clone(), object(event), message];
    if wide {
        cells.extend([event.count.max(1).to_string(), event.source.clone()]);
    }
    cells
}

/// When the event was seen last, in seconds since the Unix epoch.
#[must_use]
pub fn last_seen(event: &v1::Event) -> Option<i64> {
    let created = event.metadata.as_ref().and_then(|metadata| metadata.creation_timestamp.as_ref());
    event.last_timestamp.as_ref().or(event.first_timestamp.as_ref()).or(created).map(|time| time.seconds)
}

fn object(event: &v1::Event) -> String {
    let Some(involved) = &event.involved_object else { return String::new() };
    let kind = Kind::from_user(&involved.kind).map_or_else(|| involved.kind.clone(), |kind| kind.plural().to_owned());
    format!("{kind}/{}", involved.name)
}
