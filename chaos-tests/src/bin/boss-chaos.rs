//! Breaks clusters on this machine and looks whether they kept their promises: `boss-chaos run --minutes 10`. Needs root.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program speaks to its terminal")]

use std::{path::PathBuf, process::ExitCode, time::Duration};

use boss_base::clock::{Clock, SystemClock};
use boss_chaos_tests::{
    bugs,
    cluster::Bugged,
    nemesis::Family,
    net, proc, report,
    simulation::many::{self, Told, Wanted},
    sprint::{self, Options, Outcome, Work, shrinking},
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
    /// Leave faults and clients out of a bad sprint as long as it stays bad.
    Shrink(Shrink),
    /// Kill servers and agents at each point of theirs while clients work: `make points` builds what is needed.
    Points(Points),
    /// Many simulations of the whole control plane, each in a process of its own; needs no root.
    Simulate(Simulate),
    /// Put each deliberate bug into a cluster, and show what finds it: `make bugs` builds what is needed.
    Bugs(Bugs),
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
    /// Of the faults that come of these, only the ones of these numbers, from 0; or none
    #[arg(long, value_delimiter = ',', value_name = "NUMBER")]
    only_faults: Option<Vec<String>>,
    /// What clients do: registers, set, pairs, pods [default: all]
    #[arg(long, value_delimiter = ',')]
    work: Option<Vec<String>>,
    /// A bug on purpose, to see what a bad sprint looks like: `make bugs` builds the programs that have it
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    /// Where the report goes
    #[arg(long, default_value = "chaos-reports", value_name = "FOLDER")]
    out: PathBuf,
    /// Keep it also when all is well
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
struct Shrink {
    #[command(flatten)]
    sprint: Sprint,
    /// Parts of the sprint that are tried
    #[arg(long, default_value_t = 24)]
    budget: usize,
    /// How often each is, before it counts as good
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=20))]
    tries: u8,
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

#[derive(Debug, Args)]
struct Simulate {
    /// How many
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The seed of the first
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Processes at once
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Run each a second time: its history must be the same
    #[arg(long)]
    twice: bool,
    /// With this deliberate bug, until a seed finds it: `make bugs` builds what is needed
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
}

#[derive(Debug, Args)]
struct Bugs {
    /// These only; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Do not look first that the same finds nothing where there is no bug
    #[arg(long)]
    no_control: bool,
}

#[derive(Debug, Args)]
struct Points {
    /// These only; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let rootless = matches!(arguments.what, What::Bugs(_) | What::Points(_) | What::Simulate(_));
    if let Some(why) = net::why_not().filter(|_| !rootless) {
        eprintln!("boss-chaos: {why}");
        return ExitCode::FAILURE;
    }
    let done = match arguments.what {
        What::Bugs(bugs) => find_bugs(&bugs),
        What::Points(points) => kill_at_points(&points),
        What::Simulate(wanted) => simulate(&wanted),
        What::Sprint(sprint) => one(&sprint),
        What::Run(run) => many(&run),
        What::Shrink(wanted) => shrink(&wanted),
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

fn simulate(wanted: &Simulate) -> Result<bool, String> {
    let began = SystemClock.monotonic();
    let all = Wanted {
        seeds: wanted.first..wanted.first.saturating_add(wanted.seeds),
        jobs: wanted.jobs,
        twice: wanted.twice,
        until_bad: wanted.bug.is_some(),
        bug: wanted.bug.clone(),
    };
    let tell = |told: &Told| print!("{}", told.text);
    let good = many::run(&all, &tell)?;
    let took = SystemClock.monotonic().saturating_sub(began);
    if let Some(bug) = &wanted.bug {
        let found = good < wanted.seeds;
        println!("{bug}: {} after {took:.1?}", if found { "found" } else { "NOT found" });
        return Ok(found);
    }
    println!("{good} of {} simulations kept every promise, in {took:.0?}", wanted.seeds);
    Ok(good == wanted.seeds)
}

fn one(sprint: &Sprint) -> Result<bool, String> {
    let options = options(sprint)?;
    let outcome = sprint::run(&options, &sprint.out, sprint.keep).map_err(|error| error.to_string())?;
    tell(&outcome, sprint.keep);
    Ok(outcome.is_good())
}

fn options(sprint: &Sprint) -> Result<Options, String> {
    let drawn = Options::of_seed(sprint.seed);
    let families = match &sprint.faults {
        Some(names) => families(names)?,
        None => drawn.families,
    };
    let work = |name: &String| Work::named(name).ok_or_else(|| format!("unknown work {name:?}"));
    let number = |text: &String| text.parse().map_err(|_| format!("--only-faults: {text:?} is no number"));
    let faults = match &sprint.only_faults {
        Some(names) if names == &["none"] => Some(Vec::new()),
        Some(names) => Some(names.iter().map(number).collect::<Result<_, String>>()?),
        None => None,
    };
    Ok(Options {
        seed: sprint.seed,
        servers: sprint.servers.map_or(drawn.servers, usize::from),
        nodes: sprint.nodes.map_or(drawn.nodes, usize::from),
        profile: match sprint.profile.as_str() {
            "fast" => "fast",
            "slow-disk" => "slow-disk",
            _ => "standard",
        },
        families,
        faults,
        work: match &sprint.work {
            Some(names) => names.iter().map(work).collect::<Result<_, String>>()?,
            None => drawn.work,
        },
        duration: sprint.seconds.map_or(drawn.duration, Duration::from_secs),
        bug: sprint.bug.as_deref().map(bug).transpose()?,
    })
}

fn bug(name: &str) -> Result<Bugged, String> {
    let known = bugs::named(name).ok_or_else(|| unknown_bug(name))?;
    Ok(Bugged { name: known.name, only: known.only })
}

fn unknown_bug(name: &str) -> String {
    let known: Vec<&str> = bugs::ALL.iter().map(|known| known.name).collect();
    format!("there is no bug {name:?}; there are {}", known.join(", "))
}

fn shrink(wanted: &Shrink) -> Result<bool, String> {
    let options = options(&wanted.sprint)?;
    let tell = |part: &Options, bad: bool| {
        println!("{}: {}", if bad { "still bad" } else { "good" }, part.command());
    };
    let effort = (wanted.budget, usize::from(wanted.tries));
    let shrunk = shrinking::shrink(&options, &wanted.sprint.out, effort, &tell).map_err(|error| error.to_string())?;
    match shrunk {
        Some(shrunk) => {
            let (left, all) = (shrunk.options.steps(), options.steps().len());
            println!(
                "{} breaks with {} of {all} faults, found in {} sprints:",
                shrunk.promise,
                left.len(),
                shrunk.sprints
            );
            for step in left {
                println!("  {} from {} to {} ms", step.fault, step.at_ms, step.until_ms);
            }
            println!("  again: {}", shrunk.options.command());
        }
        None => println!("nothing breaks: there is nothing to shrink"),
    }
    Ok(true)
}

fn many(run: &Run) -> Result<bool, String> {
    let began = SystemClock.monotonic();
    let until = began + Duration::from_secs(60 * run.minutes);
    let first = run.seed.unwrap_or_else(|| SystemClock.unix_seconds());
    for (family, why) in Family::ALL.into_iter().filter_map(|family| Some((family, family.why_not()?))) {
        println!("without {}: {why}", family.name());
    }
    let (mut good, mut all, mut answered) = (0_u32, 0_u32, 0);
    let mut failovers = Vec::new();
    for seed in first.. {
        let outcome = sprint::run(&Options::of_seed(seed), &run.out, false).map_err(|error| error.to_string())?;
        tell(&outcome, false);
        all += 1;
        good += u32::from(outcome.is_good());
        answered += outcome.answered;
        failovers.extend(outcome.failovers);
        if SystemClock.monotonic() >= until || (run.fail_fast && good < all) {
            break;
        }
    }
    let took = SystemClock.monotonic().saturating_sub(began).as_secs_f64();
    println!("{good} of {all} sprints kept every promise; {answered} operations were answered");
    println!(
        "in {took:.0} s: {:.0} sprints and {:.0} operations an hour; load average {}",
        f64::from(all) * 3_600.0 / took,
        answered as f64 * 3_600.0 / took,
        proc::load_average()
    );
    for (kind, count, [median, slow]) in report::summary(&failovers) {
        println!(
            "{kind} of the leader, {count} times: the next write was acknowledged after {median:.2?}, at the 99th of 100 after {slow:.2?}"
        );
    }
    Ok(good == all)
}

fn find_bugs(wanted: &Bugs) -> Result<bool, String> {
    let unknown = wanted.only.iter().find(|name| bugs::named(name).is_none());
    if let Some(name) = unknown {
        return Err(unknown_bug(name));
    }
    println!("| bug | found by | with | after |\n|---|---|---|---|");
    let mut all_found = true;
    for known in
        bugs::ALL.iter().filter(|known| wanted.only.is_empty() || wanted.only.iter().any(|name| name == known.name))
    {
        let control = (!wanted.no_control).then(|| bugs::find(known, false));
        if let Some(control) = control.filter(|control| !control.is_good()) {
            println!("| `{}` | NOTHING: the same fails without the bug, {:?} | | |", known.name, control.judged);
            all_found = false;
            continue;
        }
        let found = bugs::find(known, true);
        let seconds = found.took.as_secs_f64();
        match found.broken() {
            Some(judged) => {
                println!("| `{}` | {} | {} | {seconds:.1} s |", known.name, judged.promise, known.layer.name());
                eprintln!("{}: {:?}", known.name, judged.verdict);
            }
            None => {
                println!(
                    "| `{}` | NOTHING: {:?} | {} | {seconds:.1} s |",
                    known.name,
                    found.judged,
                    known.layer.name()
                );
                all_found = false;
            }
        }
    }
    Ok(all_found)
}

fn kill_at_points(wanted: &Points) -> Result<bool, String> {
    if let Some(name) = wanted.only.iter().find(|name| bugs::POINTS.iter().all(|point| point.name != name.as_str())) {
        let known: Vec<&str> = bugs::POINTS.iter().map(|point| point.name).collect();
        return Err(format!("there is no point {name:?}; there are {}", known.join(", ")));
    }
    let chosen = |point: &&bugs::Point| wanted.only.is_empty() || wanted.only.iter().any(|name| name == point.name);
    let mut all_good = true;
    for point in bugs::POINTS.iter().filter(chosen) {
        let found = bugs::kill_at(*point);
        let word = if found.is_good() { "good" } else { "BAD" };
        println!("{}: {word}, {:.1} s", point.name, found.took.as_secs_f64());
        for judged in found.judged.iter().filter(|judged| !judged.verdict.is_valid()) {
            println!("  {}: {:?}", judged.promise, judged.verdict);
        }
        all_good &= found.is_good();
    }
    Ok(all_good)
}

fn families(names: &[String]) -> Result<Vec<Family>, String> {
    if names == ["none"] {
        return Ok(Vec::new());
    }
    let known = || Family::ALL.map(Family::name).join(", ");
    let find = |name: &String| {
        let family = Family::named(name).ok_or_else(|| format!("unknown fault {name:?}: {}", known()))?;
        family.why_not().map_or(Ok(family), |why| Err(format!("--faults {name}: {why}")))
    };
    names.iter().map(find).collect()
}

fn tell(outcome: &Outcome, kept: bool) {
    let Options { seed, servers, nodes, families, .. } = &outcome.options;
    let names: Vec<&str> = families.iter().map(|family| family.name()).collect();
    let word = if outcome.is_good() { "good" } else { "BAD" };
    let answered = outcome.answered;
    let took = outcome.took.map(|took| format!("{:.1}", took.as_secs_f64())).join("+");
    println!(
        "seed {seed}: {word}, {answered} answers, {servers} servers, {nodes} nodes, {took} s, faults {}",
        names.join(" ")
    );
    for judged in outcome.broken() {
        println!("  {}: {:?}", judged.promise, judged.verdict);
    }
    if kept || !outcome.is_good() {
        println!("  {}\n  again: {}", outcome.folder.join("report.html").display(), outcome.options.command());
    }
}
