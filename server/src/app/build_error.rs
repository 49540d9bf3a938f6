//! Why a server cannot be built.

use std::path::PathBuf;

use boss_base::{jwt, sealing::BadKeys, tls};
use boss_raft::StartError;

use crate::{
    auth::{CertificateProblem, oidc},
    listeners::CannotListen,
};

/// Why a server cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Certificate, key or authority cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] tls::Error),
    /// The certificate is not that of this server.
    #[error("the certificate {} is not one for this server: {problem}", path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A key that verifies tokens cannot be used.
    #[error("tokens.keys: {0}")]
    TokenKey(#[from] jwt::KeyError),
    /// The keys of the provider of identities cannot be used.
    #[error("auth.oidc.keys: {0}")]
    Oidc(#[from] oidc::BadKeys),
    /// The keys that seal secrets cannot be used.
    #[error("sealing.keys: {0}")]
    SealingKeys(#[from] BadKeys),
    /// A port is taken, or not ours to take.
    #[error(transparent)]
    Listen(#[from] CannotListen),
    /// The files of the audit cannot be opened.
    #[error("audit.dir: {} cannot be used: {error}", path.display())]
    Audit {
        /// Their folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The data directory or consensus cannot be used.
    #[error(transparent)]
    Raft(StartError),
}

impl BuildError {
    pub(super) fn certificate(path: &std::path::Path, problem: impl ToString) -> Self {
        Self::Certificate { path: path.to_owned(), problem: problem.to_string() }
    }

    /// Whether the configuration is to blame, not the machine.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Tls(_) | Self::Certificate { .. } | Self::TokenKey(_) | Self::SealingKeys(_) | Self::Oidc(_) => true,
            Self::Listen(_) | Self::Audit { .. } | Self::Raft(_) => false,
        }
    }
}

impl From<(PathBuf, CertificateProblem)> for BuildError {
    fn from((path, problem): (PathBuf, CertificateProblem)) -> Self {
        Self::Certificate { path, problem: problem.to_string() }
    }
}
