//! One stored object: decoded once, encoded once, shared by everything that reads it. Knows no rules.

use boss_proto::{
    ids::{NodeName, Revision, Uid},
    key::Key,
    kind::Kind,
    v1::{self, ObjectMeta, object::Body},
};
use bytes::Bytes;
use prost::Message;

use super::digest::Digest;

/// An object as the registry holds it. Made only of objects that have a body and metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Where it stands.
    pub key: Key,
    /// Revision of its last write; `metadata.resourceVersion` says the same.
    pub revision: Revision,
    /// What it is.
    pub object: v1::Object,
    /// The object's encoding.
    pub encoded: Bytes,
    digest: Digest,
}

impl Record {
    /// A record of an object whose `resourceVersion` is set; `None` without a body or metadata.
    #[must_use]
    pub fn new(object: v1::Object) -> Option<Self> {
        let encoded = Bytes::from(object.encode_to_vec());
        // Their bytes are slices of the message that the object came in, which may hold many others.
        if holds_bytes(&object) { Self::decode(encoded) } else { Self::assemble(object, encoded) }
    }

    /// Reads what [`Record::encoded`] holds.
    #[must_use]
    pub fn decode(encoded: Bytes) -> Option<Self> {
        // Strings and maps of the object are its own memory, and its bytes are slices of `encoded`: nothing else is pinned.
        let object = v1::Object::decode(encoded.clone()).ok()?;
        Self::assemble(object, encoded)
    }

    fn assemble(object: v1::Object, encoded: Bytes) -> Option<Self> {
        let key = object.key()?;
        let revision = Revision(object.metadata()?.resource_version);
        let digest = Digest::of(&[b"object", &encoded]);
        Some(Self { key, revision, object, encoded, digest })
    }

    /// Its metadata.
    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        self.object.metadata().expect("records are made only of objects with metadata")
    }

    /// Identity of the object over its whole life.
    #[must_use]
    pub fn uid(&self) -> Uid {
        Uid::new(&*self.metadata().uid)
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.key.kind
    }

    /// Whether its deletion was asked for.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.metadata().deletion_timestamp.is_some()
    }

    /// The pod, if it is one.
    #[must_use]
    pub fn pod(&self) -> Option<&v1::Pod> {
        match &self.object.body {
            Some(Body::Pod(pod)) => Some(pod),
            _ => None,
        }
    }

    /// The node, if it is one.
    #[must_use]
    pub fn node(&self) -> Option<&v1::Node> {
        match &self.object.body {
            Some(Body::Node(node)) => Some(node),
            _ => None,
        }
    }

    /// The node to which it is bound, if it is a bound pod.
    #[must_use]
    pub fn bound_to(&self) -> Option<NodeName> {
        let name = &self.pod()?.spec.as_ref()?.node_name;
        (!name.is_empty()).then(|| NodeName::new(&**name))
    }

    /// Its part of the state's hash.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Whether any field of the object is a slice of a buffer that the object shares with others.
fn holds_bytes(object: &v1::Object) -> bool {
    match &object.body {
        Some(Body::ConfigMap(map)) => !map.binary_data.is_empty(),
        Some(Body::Secret(_) | Body::SigningKey(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_stored_object_do_not_pin_the_message_that_brought_them() {
        let message = Bytes::from(vec![7; 4096]);
        let metadata = ObjectMeta { name: "m".to_owned(), namespace: "n".to_owned(), ..ObjectMeta::default() };
        let binary_data = [("b".to_owned(), message.slice(100..200))].into();
        let object = v1::ConfigMap { metadata: Some(metadata), binary_data, ..v1::ConfigMap::default() };
        let record = Record::new(object.into()).unwrap();
        let Some(Body::ConfigMap(map)) = &record.object.body else { panic!("{record:?}") };
        assert_eq!(map.binary_data["b"], message.slice(100..200));
        assert!(message.is_unique(), "the stored object shares the message's buffer");
    }
}
