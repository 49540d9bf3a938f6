//! The command line of tokens. Knows no command's work.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

/// Bearer tokens, and tokens with which machines join.
#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// Make a token; it is shown this once
    Create(CreateToken),
    /// Show the join tokens that are kept, and what is left of each
    List,
    /// End a token before its time, on every server at once
    Revoke(RevokeToken),
}

/// A token to be made.
#[derive(Debug, Clone, Args)]
pub struct CreateToken {
    /// For machines that join as nodes: bossctl node join
    #[arg(long = "node", id = "for_nodes", required_unless_present_any = ["control_plane", "service_account", "user"])]
    pub for_nodes: bool,
    /// For one machine that joins as a server: bossctl cluster join (`--server` names the servers to ask, here as in
    /// every command)
    // clap gives a command the options of all commands by their names, so that this one cannot be called `--server`.
    #[arg(long, conflicts_with = "for_nodes")]
    pub control_plane: bool,
    /// For programs that act as this service account of the namespace
    #[arg(long, value_name = "NAME", conflicts_with_all = ["for_nodes", "control_plane", "user"])]
    pub service_account: Option<String>,
    /// Good only as long as this pod of the namespace stands
    #[arg(long, value_name = "NAME", requires = "service_account")]
    pub pod: Option<String>,
    /// For this user; needs the right to impersonate him
    #[arg(long, value_name = "NAME", conflicts_with_all = ["for_nodes", "control_plane"])]
    pub user: Option<String>,
    /// A group of the user; needs the right to impersonate it; may be repeated
    #[arg(long, value_name = "NAME", requires = "user")]
    pub group: Vec<String>,
    /// The one name that the node is to have
    #[arg(long, value_name = "NAME", requires = "for_nodes", conflicts_with = "name_prefix")]
    pub name: Option<String>,
    /// How the names of the nodes begin
    #[arg(long, value_name = "PREFIX", requires = "for_nodes")]
    pub name_prefix: Option<String>,
    /// How many nodes may join with it
    #[arg(long, value_name = "COUNT", requires = "for_nodes", default_value_t = 1)]
    pub uses: u32,
    /// The server that joins takes the place of this one
    #[arg(long, value_name = "SERVER_ID", requires = "control_plane")]
    pub replaces: Option<u64>,
    /// How long it is good for
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    pub expires: Duration,
    /// The file to write it to, for its owner only [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// End a token before its time.
#[derive(Debug, Clone, Args)]
pub struct RevokeToken {
    /// Its id: that of a join token, as the list shows it, else the jti of a bearer token
    #[arg(value_name = "ID")]
    pub id: String,
    /// Why, for who looks later
    #[arg(long, default_value = "")]
    pub reason: String,
}

/// End all credentials of somebody so far.
#[derive(Debug, Clone, Args)]
pub struct RevokeSubject {
    /// A user, system:serviceaccount:NAMESPACE:NAME or system:node:NAME
    #[arg(value_name = "USER")]
    pub user: String,
    /// Why, for who looks later
    #[arg(long, default_value = "")]
    pub reason: String,
}
