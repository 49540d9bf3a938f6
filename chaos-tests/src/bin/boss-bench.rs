//! Measures a cluster on this machine and prints what it found: `boss-bench failover --runs 20`.
#![expect(clippy::print_stdout, reason = "a command-line program speaks to its terminal")]

use std::time::Duration;

use boss_chaos_tests::{
    bench::{measure_failover, measure_idle, measure_pod_start},
    cluster::Spec,
};
use clap::{Parser, Subcommand};

/// Starts clusters of real processes on this machine and measures them. Build all binaries with the same profile first.
#[derive(Debug, Parser)]
#[command(name = "boss-bench", version)]
struct Args {
    /// Election timing: fast, standard or slow-disk.
    #[arg(long, default_value = "standard", global = true, value_parser = ["fast", "standard", "slow-disk"])]
    profile: String,
    /// Servers of the cluster.
    #[arg(long, default_value_t = 3, global = true, value_parser = clap::value_parser!(u8).range(1..=7))]
    servers: u8,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Leader kill -9 to the next accepted write.
    Failover {
        /// How often.
        #[arg(long, default_value_t = 20)]
        runs: usize,
    },
    /// Create of a process pod to Running.
    PodStart {
        /// How many, one after the other.
        #[arg(long, default_value_t = 100)]
        pods: usize,
    },
    /// Memory, processor time and disk writes of a cluster without work.
    Idle {
        /// For how long.
        #[arg(long, default_value_t = 3)]
        minutes: u64,
    },
    /// All of them with their defaults.
    All,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let profile = match args.profile.as_str() {
        "fast" => "fast",
        "slow-disk" => "slow-disk",
        _ => "standard",
    };
    let spec = Spec { servers: usize::from(args.servers), nodes: 1, profile };
    let todo = match args.what {
        What::All => vec![What::PodStart { pods: 100 }, What::Idle { minutes: 3 }, What::Failover { runs: 20 }],
        one => vec![one],
    };
    for what in todo {
        match what {
            What::Failover { runs } => println!("{}\n", measure_failover(spec, runs).await),
            What::PodStart { pods } => println!("{}\n", measure_pod_start(spec, pods).await),
            What::Idle { minutes } => println!("{}\n", measure_idle(spec, Duration::from_secs(60 * minutes)).await),
            What::All => {}
        }
    }
}
