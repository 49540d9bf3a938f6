//! The command line of `bossctl bench`. Knows no load.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::Answer;

/// Put load on the cluster and show what it makes of it.
///
/// All objects are config maps in a namespace of their own, which is removed at the end.
#[derive(Debug, Clone, Args)]
pub struct Bench {
    /// Which load
    #[command(subcommand)]
    pub load: Load,
    /// Options of every load
    #[command(flatten)]
    pub options: BenchOptions,
}

/// Which load.
#[derive(Debug, Clone, Subcommand)]
pub enum Load {
    /// Replace single objects
    Put,
    /// Replace single objects over streams of writes, one for each connection
    Stream,
    /// Replace single objects in transactions that compare first
    Txn,
    /// Read single objects
    Get {
        /// Take what the server at hand has, instead of asking for the latest
        #[arg(long)]
        local: bool,
    },
    /// Read all objects of the key space, page by page
    List,
    /// Replace one object and wait until every client, each with a watch, has seen it
    Watch,
    /// Read and replace single objects
    Mixed {
        /// How many of 100 operations read
        #[arg(long, value_name = "PERCENT", default_value_t = 90, value_parser = clap::value_parser!(u8).range(0..=100))]
        reads: u8,
    },
}

/// How much load.
#[derive(Debug, Clone, Args)]
pub struct BenchOptions {
    /// Callers that each wait for one answer before they ask again
    #[arg(long, global = true, value_name = "N", default_value_t = 64)]
    pub clients: usize,
    /// Connections that they share [default: 16, or one for each client if these are fewer]
    #[arg(long, global = true, value_name = "N")]
    pub connections: Option<usize>,
    /// Bytes of each written value
    #[arg(long, global = true, value_name = "BYTES", default_value_t = 256)]
    pub value_size: usize,
    /// Objects to read and replace; made before the measurement begins
    #[arg(long, global = true, value_name = "N", default_value_t = 10_000)]
    pub keys: u64,
    /// How long to measure
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// Stop after so many operations instead
    #[arg(long, global = true, value_name = "N", conflicts_with = "duration")]
    pub total: Option<u64>,
    /// Operations per second of all clients together [default: as many as possible]
    #[arg(long, global = true, value_name = "N")]
    pub rate: Option<f64>,
    /// How to write the result
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub output: Answer,
}
