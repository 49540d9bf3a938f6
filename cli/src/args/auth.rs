//! The command line of questions about identity and rights. Knows no command's work.

use clap::{Args, Subcommand};

use super::Answer;

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
        verb: String,
        /// A kind, with a subresource if need be: pods, pods/log
        resource: String,
        /// One object by its name
        name: Option<String>,
        /// In all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
    },
}
