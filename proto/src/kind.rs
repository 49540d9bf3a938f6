//! The kinds of objects and their names. Knows no object.

use std::{fmt, str::FromStr};

/// What an object is. The order is the order of keys in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A rule about writes, beyond what objects of a kind may say.
    AdmissionPolicy,
    /// How far a server's audit had come.
    AuditHead,
    /// What a node asked to have signed, and what it got.
    CertificateSigningRequest,
    /// Who may do what in every namespace.
    ClusterRole,
    /// Gives a [`Kind::ClusterRole`] to subjects everywhere.
    ClusterRoleBinding,
    /// Keys and values for programs.
    ConfigMap,
    /// What the servers agree on about themselves.
    ControlPlane,
    /// Something that happened to an object.
    Event,
    /// What pods of a namespace may ask for, and ask for when they do not say.
    LimitRange,
    /// A scope for names.
    Namespace,
    /// A machine that runs sandboxes.
    Node,
    /// A wanted sandbox.
    Pod,
    /// How much a namespace may hold.
    ResourceQuota,
    /// Credentials that count no more.
    Revocation,
    /// Who may do what in one namespace.
    Role,
    /// Gives a role to subjects in one namespace.
    RoleBinding,
    /// A key that wraps the keys of secrets.
    SealingKey,
    /// Values that only some may see.
    Secret,
    /// An identity for programs.
    ServiceAccount,
    /// A key that signs tokens.
    SigningKey,
}

struct Names {
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
}

impl Kind {
    /// Every kind, in key order.
    pub const ALL: [Kind; 20] = [
        Kind::AdmissionPolicy,
        Kind::AuditHead,
        Kind::CertificateSigningRequest,
        Kind::ClusterRole,
        Kind::ClusterRoleBinding,
        Kind::ConfigMap,
        Kind::ControlPlane,
        Kind::Event,
        Kind::LimitRange,
        Kind::Namespace,
        Kind::Node,
        Kind::Pod,
        Kind::ResourceQuota,
        Kind::Revocation,
        Kind::Role,
        Kind::RoleBinding,
        Kind::SealingKey,
        Kind::Secret,
        Kind::ServiceAccount,
        Kind::SigningKey,
    ];

    const fn names(self) -> Names {
        let (kind, plural, short, namespaced): (_, _, &'static [&'static str], _) = match self {
            Kind::AdmissionPolicy => ("AdmissionPolicy", "admissionpolicies", &["policy"], false),
            Kind::AuditHead => ("AuditHead", "auditheads", &[], false),
            Kind::CertificateSigningRequest => {
                ("CertificateSigningRequest", "certificatesigningrequests", &["csr"], false)
            }
            Kind::ClusterRole => ("ClusterRole", "clusterroles", &[], false),
            Kind::ClusterRoleBinding => ("ClusterRoleBinding", "clusterrolebindings", &[], false),
            Kind::ConfigMap => ("ConfigMap", "configmaps", &["cm"], true),
            Kind::ControlPlane => ("ControlPlane", "controlplanes", &["cp"], false),
            Kind::Event => ("Event", "events", &["ev"], true),
            Kind::LimitRange => ("LimitRange", "limitranges", &["limits"], true),
            Kind::Namespace => ("Namespace", "namespaces", &["ns"], false),
            Kind::Node => ("Node", "nodes", &["no"], false),
            Kind::Pod => ("Pod", "pods", &["po"], true),
            Kind::ResourceQuota => ("ResourceQuota", "resourcequotas", &["quota"], true),
            Kind::Revocation => ("Revocation", "revocations", &[], false),
            Kind::Role => ("Role", "roles", &[], true),
            Kind::RoleBinding => ("RoleBinding", "rolebindings", &[], true),
            Kind::SealingKey => ("SealingKey", "sealingkeys", &[], false),
            Kind::Secret => ("Secret", "secrets", &[], true),
            Kind::ServiceAccount => ("ServiceAccount", "serviceaccounts", &["sa"], true),
            Kind::SigningKey => ("SigningKey", "signingkeys", &[], false),
        };
        Names { kind, plural, short, namespaced }
    }

    /// As manifests write it: `Pod`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.names().kind
    }

    /// As rules and the command line write it: `pods`.
    #[must_use]
    pub fn plural(self) -> &'static str {
        self.names().plural
    }

    /// Short forms for the command line.
    #[must_use]
    pub fn short_names(self) -> &'static [&'static str] {
        self.names().short
    }

    /// Whether its objects live in a namespace.
    #[must_use]
    pub fn is_namespaced(self) -> bool {
        self.names().namespaced
    }

    /// The kind that a person means: `pod`, `pods`, `po`, `Pod`; case does not matter.
    #[must_use]
    pub fn from_user(text: &str) -> Option<Kind> {
        let lower = text.to_ascii_lowercase();
        Kind::ALL.into_iter().find(|kind| {
            kind.as_str().eq_ignore_ascii_case(&lower)
                || kind.plural() == lower
                || kind.short_names().contains(&&*lower)
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind {0:?}: one of {list} is possible", list = Kind::ALL.map(Kind::as_str).join(", "))]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}
