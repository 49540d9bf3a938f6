//! The command line of nodes. Knows no command's work.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Machines that run sandboxes.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Make this machine a node of the cluster with a join token; its agent is then started with its new node.toml
    Join(JoinNode),
}

/// This machine, as a node that is to be.
#[derive(Debug, Clone, Default, Args)]
pub struct JoinNode {
    /// The node's name [default: the one that the token is for]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// The file with the token of `token create --node`; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// The folder to make for the node; nothing of a node may be in it
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// A label of the node; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
}
