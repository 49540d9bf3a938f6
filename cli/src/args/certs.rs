//! The command line of certificates. Knows no command's work.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Answer;

/// Certificates of servers and nodes, and the authorities behind them.
#[derive(Debug, Subcommand)]
pub enum Certs {
    /// Show every server's and node's certificate, how long it is good, and the authorities
    Status {
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Answer,
    },
    /// Make certificates useless on every server, at once
    Revoke(RevokeCertificates),
    /// Replace the cluster's authority by another one, in three steps, while everything runs
    #[command(subcommand)]
    RotateCa(RotateAuthority),
}

/// Certificates to be taken back.
#[derive(Debug, Clone, Args)]
pub struct RevokeCertificates {
    /// One certificate, by its serial as `certs status` shows it
    #[arg(long, value_name = "HEX", required_unless_present = "node", conflicts_with = "node")]
    pub serial: Option<String>,
    /// Everything that a node has; another machine may then join under its name
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Why, for those who look at it later
    #[arg(long, default_value = "")]
    pub reason: String,
}

/// The steps of a rotation. Each can be repeated.
#[derive(Debug, Clone, Subcommand)]
pub enum RotateAuthority {
    /// Make the next authority, and have it believed beside the present one
    Begin(Folder),
    /// Let the next authority sign: everybody renews at once
    Switch(Folder),
    /// Believe the former authority no more; refused while certificates of it are in use
    Finish(Folder),
}

/// The folder that holds the authority's key.
#[derive(Debug, Clone, Args)]
pub struct Folder {
    /// The cluster's folder, as `cluster init` made it
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}
