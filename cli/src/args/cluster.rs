//! The command line of the control plane itself. Knows no command's work.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::Answer;

/// The control plane itself.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Show the state of every server
    Status {
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Answer,
    },
    /// Show the servers that the cluster consists of
    Members {
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Answer,
    },
    /// Make certificates, keys and configuration of a new cluster, one folder per machine
    Init(Init),
    /// Make a token with the cluster's own key; needs the folder of `cluster init` or `dev up`
    Token(Token),
}

/// A cluster to be made.
#[derive(Debug, Clone, Args)]
pub struct Init {
    /// The folder to make it in; must be empty or missing
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// A server: NAME=PEER_HOST:PORT,API_HOST:PORT; repeat it for each
    #[arg(long, required = true, value_name = "NAME=PEER,API")]
    pub server: Vec<String>,
    /// A node, by its name; repeat it for each
    #[arg(long, value_name = "NAME")]
    pub node: Vec<String>,
    /// Where each server answers about its health and metrics
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7402")]
    pub http: String,
    /// How fast a lost leader is replaced
    #[arg(long, default_value = "standard", value_parser = ["fast", "standard", "slow-disk"])]
    pub profile: String,
    /// The name of the context in the folder's bossctl.toml
    #[arg(long, default_value = "boss")]
    pub name: String,
}

/// A token to be made.
#[derive(Debug, Clone, Args)]
pub struct Token {
    /// The cluster's folder
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Whom it speaks for
    #[arg(long)]
    pub user: String,
    /// A group of that user; may be repeated
    #[arg(long)]
    pub group: Vec<String>,
    /// How long it is good for
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    pub lifetime: Duration,
    /// The file to write it to, for its owner only [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
