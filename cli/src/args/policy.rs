//! The command line of policies. Knows no command's work.

use std::path::PathBuf;

use boss_proto::policy::{Operation, profile::Profile};
use clap::{Args, Subcommand};

/// Policies, without a cluster.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Ask policies about objects as the servers would, offline; exit code 1 when one is refused
    Test(TestPolicy),
}

/// Ask policies about objects.
#[derive(Debug, Clone, Args)]
pub struct TestPolicy {
    /// Files with policies and with objects to ask about; a Namespace among them gives its labels, a ConfigMap the
    /// parameters that policies name. Defaults that the servers would fill in are not there
    #[arg(short = 'f', long = "filename", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Hold pods against this profile too: baseline or restricted
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<Profile>,
    /// What is done with the objects: create, update, status or delete
    #[arg(long, default_value = "create", value_name = "OPERATION")]
    pub operation: Operation,
    /// Who does it
    #[arg(long, default_value = "somebody", value_name = "NAME")]
    pub user: String,
    /// What he belongs to; may be repeated
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// Show the objects that policies have changed
    #[arg(long)]
    pub show: bool,
}
