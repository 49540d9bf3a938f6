//! One view of all kinds: what the envelope holds, and what every object has. Knows no rules about contents.

use crate::{
    API_VERSION,
    key::Key,
    kind::Kind,
    v1::{self, ObjectMeta, object::Body},
};

/// A message that is an object of its own kind.
pub trait Resource: Sized {
    /// Its kind.
    const KIND: Kind;
    /// Its metadata, if the message has any.
    fn metadata(&self) -> Option<&ObjectMeta>;
    /// The envelope around it, with `apiVersion` and `kind` filled in.
    fn into_object(self) -> v1::Object;
    /// What is in the envelope, if it is this kind.
    fn from_object(object: &v1::Object) -> Option<&Self>;
    /// The same, by value; hands the envelope back when it holds another kind.
    fn try_from_object(object: v1::Object) -> Result<Self, v1::Object>;
}

/// Gives every kind to another macro: what is made for each of them is made from this one list.
macro_rules! with_kinds {
    ($make:ident) => {
        $make!(
            Namespace,
            Pod,
            Node,
            Event,
            ConfigMap,
            CertificateSigningRequest,
            ControlPlane,
            ResourceQuota,
            AdmissionPolicy,
            LimitRange,
            AuditHead,
            Secret,
            SigningKey,
            SealingKey,
            Revocation,
            ServiceAccount,
            Role,
            ClusterRole,
            RoleBinding,
            ClusterRoleBinding,
        );
    };
}
pub(crate) use with_kinds;

macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        $(
            impl Resource for v1::$kind {
                const KIND: Kind = Kind::$kind;

                fn metadata(&self) -> Option<&ObjectMeta> {
                    self.metadata.as_ref()
                }

                fn into_object(mut self) -> v1::Object {
                    self.api_version = API_VERSION.to_owned();
                    self.kind = Kind::$kind.to_string();
                    v1::Object { body: Some(Body::$kind(Box::new(self))) }
                }

                fn from_object(object: &v1::Object) -> Option<&Self> {
                    match &object.body {
                        Some(Body::$kind(body)) => Some(body),
                        _ => None,
                    }
                }

                fn try_from_object(object: v1::Object) -> Result<Self, v1::Object> {
                    match object.body {
                        Some(Body::$kind(body)) => Ok(*body),
                        _ => Err(object),
                    }
                }
            }

            impl From<v1::$kind> for v1::Object {
                fn from(body: v1::$kind) -> Self {
                    body.into_object()
                }
            }
        )*

        impl v1::Object {
            /// An object with nothing in it but its `apiVersion` and `kind`.
            #[must_use]
            pub fn empty(kind: Kind) -> Self {
                match kind { $(Kind::$kind => v1::$kind::default().into_object(),)* }
            }

            /// What is inside; `None` only for an envelope that came empty over the wire.
            #[must_use]
            pub fn kind(&self) -> Option<Kind> {
                Some(match self.body.as_ref()? { $(Body::$kind(_) => Kind::$kind,)* })
            }

            /// Metadata; `None` when the message came without.
            #[must_use]
            pub fn metadata(&self) -> Option<&ObjectMeta> {
                match self.body.as_ref()? { $(Body::$kind(body) => body.metadata.as_ref(),)* }
            }

            /// Metadata for writing, made when missing; `None` only for an empty envelope.
            pub fn metadata_mut(&mut self) -> Option<&mut ObjectMeta> {
                Some(match self.body.as_mut()? {
                    $(Body::$kind(body) => body.metadata.get_or_insert_default(),)*
                })
            }

            /// `apiVersion` and `kind` as the sender wrote them.
            #[must_use]
            pub fn type_meta(&self) -> Option<(&str, &str)> {
                Some(match self.body.as_ref()? {
                    $(Body::$kind(body) => (body.api_version.as_str(), body.kind.as_str()),)*
                })
            }

            /// Writes `apiVersion` and `kind`.
            pub fn fill_type_meta(&mut self) {
                match self.body.as_mut() {
                    $(Some(Body::$kind(body)) => {
                        body.api_version = API_VERSION.to_owned();
                        body.kind = Kind::$kind.to_string();
                    })*
                    None => {}
                }
            }
        }
    };
}
with_kinds!(kinds);

impl v1::Object {
    /// Where it belongs; `None` for an empty envelope or one without metadata.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        let metadata = self.metadata()?;
        Some(Key::new(self.kind()?, &*metadata.namespace, &*metadata.name))
    }
}
