//! A caller after authentication. Knows no transport.

use std::{fmt, sync::Arc};

use boss_proto::{
    ids::{NodeName, ServerId},
    peer::v1::Credential,
    raft::v1::Caller,
    v1::ObjectReference,
};
use boss_raft::state::credentials::Shown;

use super::Error;

/// Who calls, and until when that is so.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// As bindings name the subject.
    pub username: String,
    /// Never given to somebody else: scopes request ids and audit.
    pub uid: String,
    /// As bindings name groups.
    pub groups: Vec<String>,
    /// How it was proven.
    pub method: Method,
    /// What kind of caller it is.
    pub role: Role,
    /// Seconds since the epoch at which the credential ends.
    pub expires_at: u64,
    /// `jti` of the token; empty for a certificate.
    pub token_id: String,
    /// Serial of the certificate; empty for a token.
    pub certificate_serial: String,
    /// What the token states, or the second of the credential's issue: older ones of a subject can be revoked at once.
    pub generation: u64,
    /// The credential counts only as long as these very objects stand.
    pub bound_to: Vec<ObjectReference>,
    /// The proof itself, for the one hop to the leader.
    pub credential: Credential,
}

/// How an identity was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By a client certificate of the cluster's authority.
    Certificate,
    /// By a bearer token.
    Token,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Token => "token",
        })
    }
}

/// What kind of caller it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A person or a program.
    User,
    /// The agent of this node.
    Node(NodeName),
    /// A control-plane replica.
    Server(ServerId),
}

impl Identity {
    /// The caller of a call that has passed the gate.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Arc<Self>, Error> {
        request.extensions().get::<Arc<Self>>().cloned().ok_or(Error::Missing)
    }

    /// The node whose agent calls, if it is one.
    #[must_use]
    pub fn node(&self) -> Option<&NodeName> {
        match &self.role {
            Role::Node(name) => Some(name),
            Role::User | Role::Server(_) => None,
        }
    }

    /// What the log freezes of it.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller {
            uid: self.uid.clone(),
            username: self.username.clone(),
            groups: self.groups.clone(),
            token_id: self.token_id.clone(),
            certificate_serial: self.certificate_serial.clone(),
            subject_generation: self.generation,
            bound_to: self.bound_to.clone(),
        }
    }

    /// What decides whether the credential still counts.
    #[must_use]
    pub fn shown(&self) -> Shown<'_> {
        Shown {
            uid: &self.uid,
            token_id: &self.token_id,
            certificate_serial: &self.certificate_serial,
            generation: self.generation,
            bound_to: &self.bound_to,
        }
    }
}
