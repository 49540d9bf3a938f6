//! The command line: what is common to every command, and the list of commands. One file per group of verbs holds their
//! arguments. Knows no command's work.

mod audit;
mod auth;
mod bench;
mod certs;
mod cluster;
mod context;
mod dev;
mod login;
mod node;
mod policy;
mod read;
mod secret;
mod snapshot;
mod token;
mod verify;
mod write;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::{
    audit::{Audit, SearchAudit},
    auth::{Auth, FetchKeys, Whoami},
    bench::{Bench, BenchOptions, Load},
    certs::{Certs, RevokeCertificates, RotateAuthority},
    cluster::{Add, Cluster, Init, Join, JoinToken, Remove, Replace, StatusFormat, Token},
    context::{Context, SetContext},
    dev::{Dev, Folder, Shape, Up},
    login::Login,
    node::{JoinNode, Node},
    policy::{Policy, TestPolicy},
    read::{Describe, Events, Get, Logs, Selection, Watch},
    secret::{CreateSecret, Secrets},
    snapshot::{RestoreSnapshot, Snapshot},
    token::{CreateToken, RevokeSubject, RevokeToken, Tokens},
    verify::{Faults, Verify},
    write::{Apply, Cascade, Delete, DryRun, Patch, Txn, Whole},
};
use crate::failure::EXIT_CODES;

/// Controls a Boss cluster.
#[derive(Debug, Parser)]
#[command(name = "bossctl", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The file of contexts [default: ~/.boss/config]
    #[arg(long, env = "BOSS_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The context to use instead of the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Servers to use instead of the context's (host:port, several with commas)
    #[arg(long, env = "BOSS_API_SERVER", global = true, value_name = "HOST:PORT", value_delimiter = ',')]
    pub server: Vec<String>,
    /// The namespace [default: the context's, else `default`]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// How long a call may take, with all its attempts
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create or change objects so that they are as the manifests say
    Apply(Apply),
    /// Show objects
    Get(Get),
    /// Show one object in full, with its events
    Describe(Describe),
    /// Create objects that must not be there yet
    Create(Whole),
    /// Replace objects that must be there, but for their status
    Replace(Whole),
    /// Change some fields of an object
    Patch(Patch),
    /// Compare objects, then do all of some operations or all of others, in one revision
    Txn(Txn),
    /// Delete objects and wait until they are gone
    Delete(Delete),
    /// Show every change of objects as it happens
    Watch(Watch),
    /// Show what a pod writes
    Logs(Logs),
    /// Show what happened lately
    Events(Events),
    /// The control plane itself, and the making of new ones
    #[command(subcommand)]
    Cluster(Cluster),
    /// Certificates of servers and nodes, and the authorities behind them
    #[command(subcommand)]
    Certs(Certs),
    /// Machines that run sandboxes
    #[command(subcommand)]
    Node(Node),
    /// Show who the cluster takes you for
    Whoami(Whoami),
    /// Questions about rights
    #[command(subcommand)]
    Auth(Auth),
    /// What servers have kept of who did what
    #[command(subcommand)]
    Audit(Audit),
    /// Policies, without a cluster
    #[command(subcommand)]
    Policy(Policy),
    /// Secrets, and the keys that seal them
    #[command(subcommand, alias = "secrets")]
    Secret(Secrets),
    /// Bearer tokens, and tokens with which machines join
    #[command(subcommand)]
    Token(Tokens),
    /// Log in: at the context's provider of identities, or with a token that you were given
    Login(Login),
    /// End the credential that the context uses
    Logout,
    /// Put load on the cluster and show what it makes of it
    Bench(Bench),
    /// Check from outside that the cluster keeps its promises
    Verify(Verify),
    /// The clusters that you work with
    #[command(subcommand)]
    Context(Context),
    /// A cluster on this machine
    #[command(subcommand)]
    Dev(Dev),
    /// Write a completion script for a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Show the versions of client and servers
    Version {
        /// Do not ask the servers
        #[arg(long)]
        client: bool,
    },
}

/// How answers that are no objects are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Answer {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_its_help_tells_the_exit_codes() {
        Cli::command().debug_assert();
        assert!(Cli::command().render_help().to_string().contains("nobody answered, or not in time"));
    }

    #[test]
    fn no_secret_can_be_given_on_the_command_line() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                assert!(!matches!(id, "token" | "password" | "secret" | "bearer"), "{id} of {}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn usage_errors_have_the_documented_exit_code() {
        for line in
            [&["bossctl"][..], &["bossctl", "get"], &["bossctl", "apply"], &["bossctl", "get", "pods", "-o", "xml"]]
        {
            let error = Cli::try_parse_from(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line:?}");
        }
    }
}
