//! Objects that the clients write: small, and nothing acts on them.

use std::collections::BTreeMap;

use boss_proto::v1;

/// A namespace.
#[must_use]
pub fn namespace(name: &str) -> v1::Namespace {
    let metadata = v1::ObjectMeta { name: name.to_owned(), ..v1::ObjectMeta::default() };
    v1::Namespace { metadata: Some(metadata), ..v1::Namespace::default() }
}

/// A service account with a label.
#[must_use]
pub fn record(namespace: &str, name: &str, value: &str) -> v1::ServiceAccount {
    let labels = BTreeMap::from([("value".to_owned(), value.to_owned())]);
    let (name, namespace) = (name.to_owned(), namespace.to_owned());
    let metadata = v1::ObjectMeta { name, namespace, labels, ..v1::ObjectMeta::default() };
    v1::ServiceAccount { metadata: Some(metadata), ..v1::ServiceAccount::default() }
}

/// The name of an object.
#[must_use]
pub fn name_of(metadata: Option<&v1::ObjectMeta>) -> &str {
    metadata.map_or("", |metadata| metadata.name.as_str())
}
