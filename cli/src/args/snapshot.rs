//! The command line of snapshots. Knows no command's work.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Answer;

/// The whole registry in a file
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Save everything acknowledged so far into a file, and check the file
    Save {
        /// The file to write; must not be there
        file: PathBuf,
    },
    /// Check every byte of a file and show what it holds; asks no server
    Verify {
        /// The file
        file: PathBuf,
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Answer,
    },
    /// Make the data folder of one fresh server from a file; the cluster begins a new incarnation with it
    Restore(RestoreSnapshot),
}

/// A server to be made from a snapshot.
#[derive(Debug, Clone, Args)]
pub struct RestoreSnapshot {
    /// The file
    pub file: PathBuf,
    /// The data folder to make; must be empty or missing
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Id of the server; no server of the cluster may ever have had it
    #[arg(long, value_name = "N")]
    pub id: u64,
    /// Name of the server
    #[arg(long)]
    pub name: String,
    /// Where other servers will reach it
    #[arg(long, value_name = "HOST:PORT")]
    pub peer: String,
    /// Where clients will reach it
    #[arg(long, value_name = "HOST:PORT")]
    pub api: String,
}
