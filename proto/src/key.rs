//! Keys of objects: `/registry/{kind}/{namespace}/{name}`, made here and nowhere else. Knows no storage.

use std::fmt;

use crate::{kind::Kind, v1};

/// Where an object stands in the registry. Ordered by kind, namespace, name, so that a list is one range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// Unique within kind and namespace.
    pub name: String,
}

impl Key {
    /// A key of a namespaced kind, or of a cluster-scoped one with an empty namespace.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// A key of a cluster-scoped kind.
    pub fn cluster(kind: Kind, name: impl Into<String>) -> Self {
        Self::new(kind, "", name)
    }

    /// The one object in which the servers keep what they agree on about themselves.
    #[must_use]
    pub fn control_plane() -> Self {
        Self::cluster(Kind::ControlPlane, "boss")
    }

    /// `/registry/pods/default/web`; cluster-scoped kinds have an empty namespace: `/registry/nodes//n1`.
    #[must_use]
    pub fn to_path(&self) -> String {
        // Each write of each server needs some: the formatting machinery would cost more than the text.
        ["/registry/", self.kind.plural(), "/", &self.namespace, "/", &self.name].concat()
    }

    /// Reads what [`Key::to_path`] wrote.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix("/registry/")?.splitn(3, '/');
        let (plural, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
        let kind = Kind::ALL.into_iter().find(|kind| kind.plural() == plural)?;
        Some(Self::new(kind, namespace, name))
    }

    /// The key itself, if an object can stand there.
    pub fn checked(self) -> Result<Self, BadKey> {
        let bad = |field, problem: &str| Err(BadKey { field, problem: problem.to_owned() });
        if self.name.is_empty() {
            return bad("name", "is empty");
        }
        match (self.kind.is_namespaced(), self.namespace.is_empty()) {
            (true, true) => bad("namespace", "is empty, but the kind lives in a namespace"),
            (false, false) => bad("namespace", "is set, but the kind is cluster-scoped"),
            _ => Ok(self),
        }
    }

    /// As it travels.
    #[must_use]
    pub fn to_proto(&self) -> v1::ObjectKey {
        v1::ObjectKey { kind: self.kind.to_string(), namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl fmt::Display for Key {
    /// `pods/web in default`, as messages say it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.plural(), self.name)?;
        if self.namespace.is_empty() { Ok(()) } else { write!(f, " in namespace {}", self.namespace) }
    }
}

/// The message names no possible key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct BadKey {
    /// The offending field of the key.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl TryFrom<&v1::ObjectKey> for Key {
    type Error = BadKey;

    fn try_from(key: &v1::ObjectKey) -> Result<Self, BadKey> {
        let kind: Kind = key.kind.parse().map_err(|error| BadKey { field: "kind", problem: format!("{error}") })?;
        Key::new(kind, &*key.namespace, &*key.name).checked()
    }
}
