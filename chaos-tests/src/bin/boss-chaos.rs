//! Breaks clusters on this machine and looks whether they kept their promises: `boss-chaos run --minutes 10`. Needs root.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program speaks to its terminal")]

use std::{path::PathBuf, process::ExitCode, time::Duration};

use boss_base::clock::{Clock, SystemClock};
use boss_chaos_tests::{
    nemesis::Family,
    net,
    sprint::{self, Options, Outcome},
};
use clap::{Args, Parser, Subcommand};

/// Starts clusters of real processes on hosts of their own, disturbs them while clients work, and judges what was seen.
/// Build all binaries with the same profile first.
#[derive(Debug, Parser)]
#[command(name = "boss-chaos", version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One sprint; what is not said comes from the seed.
    Sprint(Sprint),
    /// Sprint after sprint, each with the next seed.
    Run(Run),
}

#[derive(Debug, Args)]
struct Sprint {
    /// Where all choices come from
    #[arg(long)]
    seed: u64,
    /// Servers
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=7))]
    servers: Option<u8>,
    /// Nodes; with none there are no pods
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=5))]
    nodes: Option<u8>,
    /// Election timing: fast, standard or slow-disk
    #[arg(long, default_value = "standard", value_parser = ["fast", "standard", "slow-disk"])]
    profile: String,
    /// From the first call to the last, without the recovery
    #[arg(long, value_parser = clap::value_parser!(u64).range(6..=600))]
    seconds: Option<u64>,
    /// Faults that may come, or none
    #[arg(long, value_delimiter = ',')]
    faults: Option<Vec<String>>,
    /// Where the report goes
    #[arg(long, default_value = "chaos-reports", value_name = "FOLDER")]
    out: PathBuf,
    /// Keep it also when all is well
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
struct Run {
    /// For how long; the last sprint is not cut off
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The first seed; by default the time
    #[arg(long)]
    seed: Option<u64>,
    /// Where the reports of bad sprints go
    #[arg(long, default_value = "chaos-reports", value_name = "FOLDER")]
    out: PathBuf,
    /// Stop at the first bad sprint
    #[arg(long)]
    fail_fast: bool,
}

fn main() -> ExitCode {
    if let Some(why) = net::why_not() {
        eprintln!("boss-chaos: {why}");
        return ExitCode::FAILURE;
    }
    let done = match Arguments::parse().what {
        What::Sprint(sprint) => one(&sprint),
        What::Run(run) => many(&run),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("boss-chaos: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn one(sprint: &Sprint) -> Result<bool, String> {
    let drawn = Options::of_seed(sprint.seed);
    let families = match &sprint.faults {
        Some(names) => families(names)?,
        None => drawn.families,
    };
    let options = Options {
        seed: sprint.seed,
        servers: sprint.servers.map_or(drawn.servers, usize::from),
        nodes: sprint.nodes.map_or(drawn.nodes, usize::from),
        profile: match sprint.profile.as_str() {
            "fast" => "fast",
            "slow-disk" => "slow-disk",
            _ => "standard",
        },
        families,
        duration: sprint.seconds.map_or(drawn.duration, Duration::from_secs),
    };
    let outcome = sprint::run(&options, &sprint.out, sprint.keep).map_err(|error| error.to_string())?;
    tell(&outcome, sprint.keep);
    Ok(outcome.is_good())
}

fn many(run: &Run) -> Result<bool, String> {
    let until = SystemClock.monotonic() + Duration::from_secs(60 * run.minutes);
    let first = run.seed.unwrap_or_else(|| SystemClock.unix_seconds());
    let (mut good, mut all, mut answered) = (0_u32, 0_u32, 0);
    for seed in first.. {
        let outcome = sprint::run(&Options::of_seed(seed), &run.out, false).map_err(|error| error.to_string())?;
        tell(&outcome, false);
        all += 1;
        good += u32::from(outcome.is_good());
        answered += outcome.answered;
        if SystemClock.monotonic() >= until || (run.fail_fast && good < all) {
            break;
        }
    }
    println!("{good} of {all} sprints kept every promise; {answered} operations were answered");
    Ok(good == all)
}

fn families(names: &[String]) -> Result<Vec<Family>, String> {
    if names == ["none"] {
        return Ok(Vec::new());
    }
    let known = || Family::ALL.map(Family::name).join(", ");
    let find = |name: &String| Family::named(name).ok_or_else(|| format!("unknown fault {name:?}: {}", known()));
    names.iter().map(find).collect()
}

fn tell(outcome: &Outcome, kept: bool) {
    let Options { seed, servers, nodes, families, .. } = &outcome.options;
    let names: Vec<&str> = families.iter().map(|family| family.name()).collect();
    let word = if outcome.is_good() { "good" } else { "BAD" };
    let answered = outcome.answered;
    println!("seed {seed}: {word}, {answered} answers, {servers} servers, {nodes} nodes, faults {}", names.join(" "));
    for judged in outcome.broken() {
        println!("  {}: {:?}", judged.promise, judged.verdict);
    }
    if kept || !outcome.is_good() {
        println!("  {}\n  again: {}", outcome.folder.join("report.html").display(), outcome.options.command());
    }
}
