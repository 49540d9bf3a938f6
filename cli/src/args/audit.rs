//! The command line of audit files. Knows no command's work.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What servers have kept of who did what: of a running cluster, or in the files of one server
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Show the last records, and those that come with --follow
    Tail {
        /// Read these files instead of asking the cluster: `audit` in a server's data folder
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// How many
        #[arg(long, default_value_t = 20, value_name = "N")]
        lines: usize,
        /// Go on with what comes
        #[arg(short, long)]
        follow: bool,
    },
    /// Show the records that fit everything that is named
    Search(SearchAudit),
    /// Look for gaps, edits and cut ends; exit code 1 when there are any
    Verify {
        /// Read these files instead of every server's records: `audit` in a server's data folder
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// A head as the registry has it (bossctl get auditheads -o json), instead of asking a cluster
        #[arg(long, value_name = "FILE", conflicts_with = "offline", requires = "dir")]
        heads: Option<PathBuf>,
        /// Ask no cluster: a cut end cannot be found then
        #[arg(long, requires = "dir")]
        offline: bool,
    },
}

/// Which records.
#[derive(Debug, Clone, Args)]
pub struct SearchAudit {
    /// Read these files instead of asking the cluster: `audit` in a server's data folder
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Who did it
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A part of the object's name: pods/default/web
    #[arg(long, value_name = "TEXT")]
    pub object: Option<String>,
    /// create, update, delete, ...; or a part of the method
    #[arg(long, value_name = "TEXT")]
    pub verb: Option<String>,
    /// Only what was refused
    #[arg(long)]
    pub refused: bool,
}
