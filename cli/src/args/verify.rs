//! The command line of `bossctl verify`. Knows no workload.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::Answer;

/// Check from outside that the cluster keeps its promises.
///
/// Clients write, read and watch objects in scratch namespaces through every server, remember what they were told, and
/// judges look whether one order of events explains all of it. The namespaces are removed at any end but a kill -9; what
/// that leaves, the next run removes after an hour.
///
/// The verdict is `valid` (exit code 0), `invalid` with an explanation (1), or `unknown` when too little was seen to say
/// (5). The caller needs the right to create and delete namespaces and service accounts.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// The servers to ask [default: those of the context]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub endpoints: Vec<String>,
    /// From the first call to the last
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// Clients of registers, beside two of a set and one of transactions
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub clients: u64,
    /// Operations per second of all clients together [default: as many as possible; 5 with --canary]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub rate: Option<f64>,
    /// What to do to the servers meanwhile, one after the other, by calling the hook
    #[arg(long, value_enum, default_value_t, requires_if("pause", "hook"), requires_if("restart", "hook"))]
    pub faults: Faults,
    /// A program that is called with `pause`, `resume` or `restart` and a server's HOST:PORT; it returns when that is done
    #[arg(long, value_name = "PROGRAM")]
    pub hook: Option<PathBuf>,
    /// Where the choices of the clients come from [default: another one each time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Keep the history in this file, one line of JSON for each event
    #[arg(long, value_name = "FILE", conflicts_with = "canary")]
    pub history: Option<PathBuf>,
    /// Go on for ever at a low rate, one run after the other, and offer metrics at this loopback address
    #[arg(long, value_name = "ADDR:PORT", conflicts_with_all = ["hook", "seed"], value_parser = loopback)]
    pub canary: Option<SocketAddr>,
    /// How to write the result
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Answer,
}

/// What is done to the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Faults {
    /// Nothing.
    #[default]
    None,
    /// Each is paused for a moment.
    Pause,
    /// Each is restarted.
    Restart,
}

fn positive(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if rate > 0.0 && rate.is_finite() { Ok(rate) } else { Err("must be above 0".to_owned()) }
}

/// What it tells is nobody else's business, and nobody logs in to read it.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "is not of the form 127.0.0.1:9464".to_owned())?;
    if address.ip().is_loopback() { Ok(address) } else { Err("must be a loopback address".to_owned()) }
}
