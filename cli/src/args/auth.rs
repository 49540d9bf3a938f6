//! The command line of questions about identity and rights. Knows no command's work.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Answer, RevokeSubject};

/// Show who the cluster takes you for.
#[derive(Debug, Clone, Args)]
pub struct Whoami {
    /// How to write it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Answer,
}

/// Questions about rights.
#[derive(Debug, Subcommand)]
pub enum Auth {
    /// Ask whether you may do something; exit code 0 means yes, 1 means no
    CanI {
        /// get, list, watch, create, update, delete, ...
        #[arg(required_unless_present = "list")]
        verb: Option<String>,
        /// A kind, with a subresource if need be: pods, pods/log
        #[arg(required_unless_present = "list")]
        resource: Option<String>,
        /// One object by its name
        name: Option<String>,
        /// In all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// List everything that you may do, with the bindings that let you
        #[arg(long, conflicts_with_all = ["verb", "resource", "name"])]
        list: bool,
    },
    /// Fetch the public keys of a provider of identities, for the servers' auth.oidc.keys; what cannot be used changes
    /// nothing
    FetchKeys(FetchKeys),
    /// End all tokens and certificates of somebody so far, on every server at once
    RevokeSubject(RevokeSubject),
    /// Show each binding that allows something, or the roles that would; exit codes as for can-i
    Explain {
        /// get, list, watch, create, update, delete, ...
        verb: String,
        /// A kind, with a subresource if need be: pods, pods/log
        resource: String,
        /// One object by its name
        name: Option<String>,
        /// In all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// Ask about this user instead of yourself; needs the right to impersonate it
        #[arg(long)]
        user: Option<String>,
        /// And take it for a member of this group
        #[arg(long, requires = "user")]
        group: Vec<String>,
    },
}

/// Fetch a provider's public keys.
#[derive(Debug, Clone, Args)]
pub struct FetchKeys {
    /// Its address, as its tokens name it
    #[arg(long, value_name = "URL")]
    pub issuer: String,
    /// The file with the authority of its certificate [default: those that this machine trusts]
    #[arg(long, value_name = "FILE")]
    pub issuer_ca: Option<PathBuf>,
    /// The file to write them to
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}
