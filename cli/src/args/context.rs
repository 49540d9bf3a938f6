//! The command line of contexts. Knows no command's work.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The clusters that you work with.
#[derive(Debug, Subcommand)]
pub enum Context {
    /// Show all contexts; a star marks the current one
    List,
    /// Show the name of the current context
    Current,
    /// Make a context the current one
    Use {
        /// Its name
        name: String,
    },
    /// Add a context, or change the given parts of one
    Set(SetContext),
    /// Forget a context; the files that it names stay
    Delete {
        /// Its name
        name: String,
    },
}

/// A context to add or change.
#[derive(Debug, Clone, Args)]
pub struct SetContext {
    /// Its name
    pub name: String,
    /// The file with the certificate of the cluster's authority
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The file with a token
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "key"])]
    pub token_file: Option<PathBuf>,
    /// The address of a provider of identities that logs you in: bossctl login
    #[arg(long, value_name = "URL", requires = "client_id")]
    pub issuer: Option<String>,
    /// What the provider calls this cluster's logins
    #[arg(long, value_name = "ID", requires = "issuer")]
    pub client_id: Option<String>,
    /// The file with the authority of the provider's certificate [default: those that this machine trusts]
    #[arg(long, value_name = "FILE", requires = "issuer")]
    pub issuer_ca: Option<PathBuf>,
    /// What the provider is asked to tell of you [default: openid profile email]
    #[arg(long, value_name = "WORDS", requires = "issuer")]
    pub scope: Option<String>,
    /// The file with a client certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// The file with its key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
}
