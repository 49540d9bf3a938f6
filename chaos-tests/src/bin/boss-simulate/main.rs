//! Runs one simulation of the whole control plane and says what came of it: `boss-simulate --seed 7`. Exit codes: 0 when every
//! promise was kept, 1 when one was not or too little was seen, 2 when it could not run. `boss-chaos simulate` runs many.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program speaks to its terminal")]

mod machine;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use boss_base::{
    bugs,
    telemetry::{self, Format},
};
use boss_chaos_tests::simulation::{self, Options, Outcome};
use clap::Parser;

const BROKEN: u8 = 1;
const CANNOT: u8 = 2;

/// Real servers in simulated time, on a simulated network and simulated disks, in one thread.
#[derive(Debug, Parser)]
#[command(name = "boss-simulate", version)]
struct Arguments {
    /// Where all choices come from: the same seed gives the same history
    #[arg(long)]
    seed: u64,
    /// Servers; by default the seed decides
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=7))]
    servers: Option<u64>,
    /// From the first call of a client to the last, in simulated time
    #[arg(long, value_parser = clap::value_parser!(u64).range(6..=3_600))]
    seconds: Option<u64>,
    /// Disturb nothing
    #[arg(long)]
    no_faults: bool,
    /// Keep the history here
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Show the servers' logs; BOSS_LOG says which
    #[arg(long)]
    log: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    machine::set_seed(arguments.seed);
    match simulate(&arguments) {
        Ok(outcome) => tell(&arguments, &outcome),
        Err(problem) => {
            eprintln!("boss-simulate: {problem}");
            ExitCode::from(CANNOT)
        }
    }
}

fn simulate(arguments: &Arguments) -> Result<Outcome, String> {
    bugs::check().map_err(|refused| refused.to_string())?;
    if !machine::is_asked() {
        return Err("time and random bytes do not come from the simulation: this program was linked in a way that it \
                    was not made for"
            .to_owned());
    }
    if arguments.log {
        telemetry::init(Format::Text, "info,h2=warn,openraft=error").map_err(|error| error.to_string())?;
    }
    let drawn = Options::of_seed(arguments.seed);
    let options = Options {
        servers: arguments.servers.unwrap_or(drawn.servers),
        duration: arguments.seconds.map_or(drawn.duration, Duration::from_secs),
        faults: !arguments.no_faults,
        ..drawn
    };
    let temporary = tempfile::tempdir().map_err(|error| error.to_string())?;
    let folder = arguments.out.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    simulation::run(&options, &folder, machine::set_elapsed).map_err(|error| error.to_string())
}

fn tell(arguments: &Arguments, outcome: &Outcome) -> ExitCode {
    let word = if outcome.is_good() { "good" } else { "BAD" };
    let Outcome { answered, history_hash, state_hash, lasted, .. } = outcome;
    println!(
        "seed {}: {word}, {answered} answers in {lasted:.1?}, state {state_hash}, history {history_hash}",
        arguments.seed
    );
    for judged in outcome.judged.iter().filter(|judged| !judged.verdict.is_valid()) {
        println!("  {}: {:?}", judged.promise, judged.verdict);
    }
    if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) }
}
