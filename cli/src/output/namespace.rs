//! Namespaces and service accounts in tables.

use boss_proto::v1;

use super::age;

pub(super) const HEADERS: (&[&str], &[&str]) = (&["NAME", "STATUS", "AGE"], &[]);
pub(super) const ACCOUNT_HEADERS: (&[&str], &[&str]) = (&["NAME", "AGE"], &[]);

pub(super) fn cells(namespace: &v1::Namespace, now: u64) -> Vec<String> {
    let phase = namespace.status.as_ref().map(|status| &*status.phase).filter(|phase| !phase.is_empty());
    let [name, age] = name_and_age(namespace.metadata.as_ref(), now);
    vec![name, phase.unwrap_or("Active").to_owned(), age]
}

pub(super) fn account_cells(account: &v1::ServiceAccount, now: u64) -> Vec<String> {
    name_and_age(account.metadata.as_ref(), now).into()
}

pub(super) fn name_and_age(metadata: Option<&v1::ObjectMeta>, now: u64) -> [String; 2] {
    let created = metadata.and_then(|metadata| metadata.creation_timestamp.as_ref()).map(|time| time.seconds);
    [metadata.map_or_else(String::new, |metadata| metadata.name.clone()), age(created, now)]
}
