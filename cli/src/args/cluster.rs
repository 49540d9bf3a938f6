//! The command line of the control plane itself. Knows no command's work.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use super::Answer;

/// The control plane itself.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Show the state of every server
    Status {
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: StatusFormat,
    },
    /// Show the servers that the cluster consists of
    Members {
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Answer,
    },
    /// Let another server lead
    TransferLeader {
        /// Which; without it, whoever needs least to lead
        #[arg(value_name = "SERVER_ID")]
        to: Option<u64>,
    },
    /// Make this machine a server of the cluster with a join token; it is then started with its new server.toml
    Join(Join),
    /// Add a server and make its folder, with the cluster's own key; needs the folder of `cluster init`
    Add(Add),
    /// Add a server that takes the place of another one, which may be dead, and make its folder
    Replace(Replace),
    /// Remove a server, and wait until it is done; refused when the rest could not form a majority
    Remove(Remove),
    /// Show how far a change of the members is
    Change {
        /// Its number
        number: u64,
    },
    /// Give up the change of the members under way
    CancelChange {
        /// Its number
        number: u64,
    },
    /// Tokens with which a new server may join
    #[command(subcommand)]
    JoinToken(JoinToken),
    /// Forget the history of watches and past revisions, and tidy up logs
    Compact {
        /// Up to this revision; without it, up to now
        #[arg(long)]
        revision: Option<u64>,
    },
    /// Compare the servers' states by their hashes now, at one entry of the log
    CheckHashes {
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Answer,
    },
    /// The whole registry in a file: save, verify, restore
    #[command(subcommand)]
    Snapshot(super::Snapshot),
    /// Make certificates, keys and configuration of a new cluster, one folder per machine
    Init(Init),
    /// Make a token with the cluster's own key; needs the folder of `cluster init` or `dev up`
    Token(Token),
}

/// How the state of the servers is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum StatusFormat {
    /// For people.
    #[default]
    Table,
    /// For people who look for something: all columns.
    Wide,
    /// For programs.
    Json,
}

/// This machine, as a server that is to be.
#[derive(Debug, Clone, Args)]
pub struct Join {
    /// How others reach it: NAME=PEER_HOST:PORT,API_HOST:PORT
    #[arg(value_name = "NAME=PEER,API")]
    pub newcomer: String,
    /// The file with the token of `cluster join-token create`; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// The folder to make for the server; nothing of a server may be in it
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The cluster's file of keys that seal secrets, which its operator hands out: pki/sealing.keys of its folder
    #[arg(long, value_name = "FILE")]
    pub sealing_keys: Option<PathBuf>,
    /// Where it answers about its health and metrics
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7402")]
    pub http: String,
}

/// A server to be added from the cluster's folder.
#[derive(Debug, Clone, Args)]
pub struct Add {
    /// How others reach it: NAME=PEER_HOST:PORT,API_HOST:PORT
    #[arg(value_name = "NAME=PEER,API")]
    pub newcomer: String,
    /// The cluster's folder, as `cluster init` made it; the server's folder is made in it
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Where it answers about its health and metrics
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7402")]
    pub http: String,
    /// Also when too few of the servers answer for a majority: the cluster may stand still
    #[arg(long)]
    pub force: bool,
}

/// A server to be replaced from the cluster's folder.
#[derive(Debug, Clone, Args)]
pub struct Replace {
    /// The id of the one that goes, as `cluster members` shows it
    #[arg(value_name = "OLD_ID")]
    pub old: u64,
    /// The one that comes.
    #[command(flatten)]
    pub add: Add,
}

/// A server to be removed.
#[derive(Debug, Clone, Args)]
pub struct Remove {
    /// Which
    #[arg(value_name = "SERVER_ID")]
    pub server_id: u64,
    /// Also when the servers that are left could not form a majority: the cluster may stand still
    #[arg(long)]
    pub force: bool,
    /// How long to wait until it is done
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub wait: Duration,
}

/// Tokens of servers that are to join.
#[derive(Debug, Subcommand)]
pub enum JoinToken {
    /// Make one; it is shown this once
    Create {
        /// How long it is good for
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
        ttl: Duration,
        /// The server that joins takes the place of this one
        #[arg(long, value_name = "SERVER_ID")]
        replaces: Option<u64>,
        /// The file to write it to, for its owner only [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show those that are kept
    List,
    /// Let nobody join with one any more
    Revoke {
        /// Its id, as the list shows it
        id: String,
    },
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
