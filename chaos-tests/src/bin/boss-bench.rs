//! Measures a cluster on this machine, alone or beside etcd, and prints what it found: `boss-bench failover --runs 20`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program speaks to its terminal")]

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use boss_chaos_tests::{
    bench::{By, measure_failover, measure_idle, measure_judging, measure_overload, measure_pod_start},
    cluster::Spec,
    versus::{self, Load},
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
    /// Also write the figures of a comparison as JSON to this file.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// The leader is lost or hands over, and how long writes wait for it.
    Failover {
        /// How often.
        #[arg(long, default_value_t = 20)]
        runs: usize,
        /// kill (-9) or pause it: to the next accepted write. stop (cleanly) or transfer: the longest write.
        #[arg(long, default_value = "kill")]
        by: By,
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
    /// The registry beside etcd: rates, latencies, processor time.
    Etcd {
        /// How often each load runs on each side.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Seconds of each run.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Three rounds of two seconds.
        #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
        quick: bool,
        /// Only these loads: put-1, put-256, put-1000, stream, get-256, get-1000, list, watch-1000.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Bytes of each value.
        #[arg(long, default_value_t = 256)]
        value_size: usize,
    },
    /// Memory, disk and restart time after many puts, beside etcd.
    Volume {
        /// How many puts.
        #[arg(long, default_value_t = 1_000_000)]
        puts: u64,
        /// Over so many keys.
        #[arg(long, default_value_t = 100_000)]
        objects: u64,
        /// Then Boss once more with so many objects.
        #[arg(long, value_delimiter = ',', default_value = "1000000")]
        more: Vec<u64>,
        /// Bytes of each value.
        #[arg(long, default_value_t = 256)]
        value_size: usize,
    },
    /// The cost of a put as the number of objects grows, beside etcd.
    Growth {
        /// Numbers of objects, ascending.
        #[arg(long, value_delimiter = ',', default_value = "10000,30000,100000,300000,1000000")]
        objects: Vec<u64>,
        /// Seconds of each run.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Many writes of 1 KiB and frequent snapshots, under which a core of openraft died (its issue 2116).
    #[command(name = "soak-2116")]
    Soak2116 {
        /// For how long.
        #[arg(long, default_value_t = 10)]
        minutes: u64,
    },
    /// A crowd of writers and watchers of one tenant, and what a quiet tenant waits beside it.
    Overload {
        /// Clients that write as fast as they can.
        #[arg(long, default_value_t = 1_000)]
        clients: usize,
        /// Watches that are told of every write.
        #[arg(long, default_value_t = 1_000)]
        watchers: usize,
    },
    /// The judge of linearizability over a long history; starts no cluster.
    Judge {
        /// Operations of the history.
        #[arg(long, default_value_t = 1_000_000)]
        operations: usize,
    },
    /// The bare server that the comparison takes as its ceiling.
    #[command(hide = true)]
    EchoServer {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        server_folder: PathBuf,
        #[arg(long)]
        value_size: usize,
    },
    /// Failover, pod start and idle cost with their defaults.
    All,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let profile = match args.profile.as_str() {
        "fast" => "fast",
        "slow-disk" => "slow-disk",
        _ => "standard",
    };
    let spec = Spec { servers: usize::from(args.servers), nodes: 1, profile, ..Spec::default() };
    let todo = match args.what {
        What::All => {
            vec![What::PodStart { pods: 100 }, What::Idle { minutes: 3 }, What::Failover { runs: 20, by: By::Kill }]
        }
        one => vec![one],
    };
    for what in todo {
        match Box::pin(measure(what, spec)).await {
            Ok((text, figures)) => {
                println!("{text}\n");
                if let Some(file) = &args.json
                    && let Err(error) = fs::write(file, format!("{figures:#}\n"))
                {
                    eprintln!("cannot write {}: {error}", file.display());
                    return ExitCode::FAILURE;
                }
            }
            Err(problem) => {
                eprintln!("{problem}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// The text for people, and the figures for programs.
async fn measure(what: What, spec: Spec) -> Result<(String, serde_json::Value), String> {
    let text_only = |text: String| Ok((text, serde_json::Value::Null));
    match what {
        What::Failover { runs, by } => text_only(measure_failover(spec, by, runs).await.to_string()),
        What::PodStart { pods } => text_only(measure_pod_start(spec, pods).await.to_string()),
        What::Idle { minutes } => text_only(measure_idle(spec, Duration::from_secs(60 * minutes)).await.to_string()),
        What::Etcd { rounds, seconds, quick, only, value_size } => {
            let (rounds, seconds) = if quick { (3, 2) } else { (rounds, seconds) };
            let (each, loads) = (Duration::from_secs(seconds), loads(&only)?);
            let report = versus::compare(&versus::Options { rounds, each, value_bytes: value_size, loads }).await?;
            Ok((report.to_string(), report.to_json()))
        }
        What::Volume { puts, objects, more, value_size } => {
            let volume = versus::measure_volume(puts, objects, value_size, &more).await?;
            Ok((volume.to_string(), volume.to_json()))
        }
        What::Growth { objects, seconds } => {
            let growth = versus::measure_growth(&objects, Duration::from_secs(seconds), 256).await?;
            Ok((growth.to_string(), growth.to_json()))
        }
        What::Soak2116 { minutes } => {
            let soak = versus::soak_2116(Duration::from_secs(60 * minutes)).await;
            if soak.passed() { Ok((soak.to_string(), soak.to_json())) } else { Err(soak.to_string()) }
        }
        What::Overload { clients, watchers } => {
            text_only(measure_overload(Spec { nodes: 0, ..spec }, clients, watchers).await.to_string())
        }
        What::Judge { operations } => text_only(measure_judging(operations).to_string()),
        What::EchoServer { port, server_folder, value_size } => {
            let served = versus::serve_echo(port, &server_folder, value_size).await;
            served.map(|()| (String::new(), serde_json::Value::Null)).map_err(|error| error.to_string())
        }
        What::All => text_only(String::new()),
    }
}

fn loads(only: &[String]) -> Result<Vec<Load>, String> {
    if only.is_empty() {
        return Ok(Load::ALL.to_vec());
    }
    let find = |name: &String| {
        let found = Load::ALL.into_iter().find(|load| load.name() == *name);
        found.ok_or_else(|| format!("unknown load {name:?}: {}", Load::ALL.map(Load::name).join(", ")))
    };
    only.iter().map(find).collect()
}
