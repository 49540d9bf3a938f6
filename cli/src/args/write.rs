//! The command line of what changes objects: apply, delete. Knows no command's work.

use std::{path::PathBuf, time::Duration};

use clap::Args;

/// Files with manifests.
#[derive(Debug, Clone, Args)]
pub struct Apply {
    /// A file, a folder with .yaml, .yml and .json files, or - for standard input; may be repeated
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// What to delete.
#[derive(Debug, Clone, Args)]
pub struct Delete {
    /// KIND NAME..., or KIND/NAME...
    #[arg(required_unless_present = "files", conflicts_with = "files", value_name = "KIND NAME...")]
    pub what: Vec<String>,
    /// The objects of these manifests, last ones first
    #[arg(short, long = "filename", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Do not wait until they are gone
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait until they are gone
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    pub wait_timeout: Duration,
    /// Seconds between SIGTERM and SIGKILL, instead of the pod's own
    #[arg(long, value_name = "SECONDS")]
    pub grace_period: Option<u32>,
    /// What is not there counts as deleted
    #[arg(long)]
    pub ignore_not_found: bool,
}
