//! The command line of clusters on this machine. Knows no command's work.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

/// A cluster on this machine.
#[derive(Debug, Subcommand)]
pub enum Dev {
    /// Start a cluster, new or as it was left, and stay until Ctrl-C
    Up(Up),
    /// Make the folder of a new cluster and start nothing
    Init(Shape),
    /// Stop a cluster; it can be started again
    Down(Folder),
    /// Show the processes of a cluster
    Status(Folder),
}

/// Where a local cluster lives.
#[derive(Debug, Clone, Args)]
pub struct Folder {
    /// The cluster's folder [default: ~/.boss/dev]
    #[arg(long, env = "BOSS_DEV_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// The size of a local cluster. What is not given is as it was, for a new one 3 servers, 1 node and port 7400.
#[derive(Debug, Clone, Args)]
pub struct Shape {
    /// Where it lives
    #[command(flatten)]
    pub folder: Folder,
    /// How many servers [default: 3]
    #[arg(long, value_name = "N")]
    pub servers: Option<usize>,
    /// How many nodes [default: 1]
    #[arg(long, value_name = "N")]
    pub nodes: Option<usize>,
    /// The first port; each server takes ten [default: 7400]
    #[arg(long, value_name = "PORT")]
    pub base_port: Option<u16>,
}

/// How to start a local cluster.
#[derive(Debug, Clone, Args)]
pub struct Up {
    /// Its size, when it is new
    #[command(flatten)]
    pub shape: Shape,
    /// Return as soon as it works, and leave it running
    #[arg(long)]
    pub detach: bool,
    /// Do not make it the current context of the user's own file
    #[arg(long)]
    pub no_context: bool,
    /// Apply this manifest and wait until its pods run
    #[arg(long, value_name = "FILE")]
    pub example: Option<PathBuf>,
    /// How long it may take until everything works
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub ready_timeout: Duration,
}
