//! The command line of logging in. Knows no command's work.

use std::{path::PathBuf, time::Duration};

use clap::Args;

/// Log in to the context's cluster.
#[derive(Debug, Clone, Args)]
pub struct Login {
    /// The file with a token that you were given; it is tried and copied. Without it, the context's provider of
    /// identities logs you in
    #[arg(long, value_name = "FILE", conflicts_with = "lifetime")]
    pub token_file: Option<PathBuf>,
    /// How long to be logged in [default: as long as the cluster allows]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub lifetime: Option<Duration>,
}
