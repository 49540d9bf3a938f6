//! The agent's configuration from file, flags and environment, checked once. Knows nothing of what is built from it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use boss_base::{
    config::{Problems, Section, read_file, read_log_format, read_tls},
    tls,
};
use boss_client::Endpoint;
use boss_proto::{ids::NodeName, labels};
use clap::Parser;

pub use boss_base::config::Problem;

/// The agent of Boss on one machine: runs the pods that are bound to it.
#[derive(Debug, Clone, Default, Parser)]
#[command(
    name = "boss-node",
    version,
    after_help = "SIGTERM ends the agent; its sandboxes go on running and are adopted by the next agent on the same state \
                  folder, unless stop_sandboxes_on_exit is set. A second signal ends it at once.\n\
                  Exit codes: 0 clean stop, 1 runtime failure, 2 bad configuration or arguments."
)]
pub struct Args {
    /// The configuration file (TOML).
    #[arg(long, env = "BOSS_NODE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of this node; must be the one in its certificate.
    #[arg(long, env = "BOSS_NODE_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// Servers of the cluster, any of them.
    #[arg(long, env = "BOSS_API_SERVER", value_name = "HOST:PORT,...", value_delimiter = ',')]
    pub servers: Vec<String>,
    /// Where sandboxes and their output are kept.
    #[arg(long, env = "BOSS_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// json or text.
    #[arg(long, env = "BOSS_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// Everything an agent is built from.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node.
    pub name: NodeName,
    /// Any of the cluster's servers.
    pub servers: Vec<Endpoint>,
    /// Where sandboxes and their output are kept; absolute.
    pub state_dir: PathBuf,
    /// Labels of the Node object.
    pub labels: BTreeMap<String, String>,
    /// Its certificate, key and the cluster's CA.
    pub tls: tls::Files,
    /// Bounds of the process provider.
    pub process: Process,
    /// A clean stop of the agent stops its sandboxes too.
    pub stop_sandboxes_on_exit: bool,
    /// How log lines look.
    pub log_format: boss_base::telemetry::Format,
}

/// Bounds of the process provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Sandboxes at once; 0 means no bound.
    pub concurrency_max: u32,
    /// Tasks (processes and threads) of one sandbox; 0 means no bound.
    pub tasks_max: u64,
}

impl Default for Process {
    fn default() -> Self {
        // A fork bomb must not take the machine; no honest workload of one pod needs as many.
        Self { concurrency_max: 0, tasks_max: 8_192 }
    }
}

impl Config {
    /// Reads the file, lays flags and environment over it, and checks everything; returns all problems at once.
    /// Paths in the file are relative to its folder.
    pub fn load(args: &Args) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let Some((root, folder)) = read_file(args.config.as_deref(), &mut problems) else {
            return Err(problems.into_vec());
        };
        let config = read(root, args, &folder, &mut problems);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems.into_vec()),
        }
    }
}

fn read(mut root: Section, args: &Args, folder: &Path, problems: &mut Problems) -> Option<Config> {
    let name = read_name(&mut root, args, problems);
    let servers = read_servers(&mut root, args, problems);
    let state_dir = read_state_dir(&mut root, args, folder, problems);
    let stop_sandboxes_on_exit = root.flag("stop_sandboxes_on_exit", problems).unwrap_or(false);
    let labels = root.section("labels", problems).all_texts(problems);
    check_labels(&labels, problems);
    let tls = read_tls(&mut root, folder, problems);
    let process = read_process(&mut root, problems);
    let log_format = read_log_format(&mut root, args.log_format.as_deref(), problems);
    root.finish(problems);
    Some(Config {
        name: name?,
        servers,
        state_dir: state_dir?,
        labels,
        tls: tls?,
        process: process?,
        stop_sandboxes_on_exit,
        log_format: log_format?,
    })
}

fn read_name(root: &mut Section, args: &Args, problems: &mut Problems) -> Option<NodeName> {
    let from_file = root.text("name", problems);
    match args.name.clone().or(from_file) {
        None => problems.none("name", "is missing: set it in the file or with --name"),
        Some(name) => match labels::check_name(&name) {
            Ok(()) => Some(NodeName::from(name)),
            Err(error) => problems.none("name", error.to_string()),
        },
    }
}

fn read_servers(root: &mut Section, args: &Args, problems: &mut Problems) -> Vec<Endpoint> {
    let from_file = root.texts("servers", problems);
    let texts = if args.servers.is_empty() { from_file } else { args.servers.clone() };
    if texts.is_empty() {
        problems.add("servers", "is missing: name at least one server as host:port, in the file or with --servers");
    }
    let mut servers = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(server) => servers.push(server),
            Err(error) => problems.add(format!("servers[{index}]"), format!("{error}")),
        }
    }
    servers
}

fn read_state_dir(root: &mut Section, args: &Args, folder: &Path, problems: &mut Problems) -> Option<PathBuf> {
    let from_file = root.text("state_dir", problems).map(|text| folder.join(text));
    let Some(dir) = args.state_dir.clone().or(from_file) else {
        return problems.none("state_dir", "is missing: set it in the file or with --state-dir");
    };
    // Monitors outlive the agent and its working directory.
    match std::path::absolute(&dir) {
        Ok(dir) if dir.to_str().is_some() => Some(dir),
        Ok(_) => problems.none("state_dir", "must be a path in UTF-8"),
        Err(error) => problems.none("state_dir", error.to_string()),
    }
}

fn read_process(root: &mut Section, problems: &mut Problems) -> Option<Process> {
    let default = Process::default();
    let mut providers = root.section("providers", problems);
    let mut section = providers.section("process", problems);
    let concurrency_max = section.number("concurrency_max", problems).unwrap_or(default.concurrency_max.into());
    let tasks_max = section.number("tasks_max", problems).unwrap_or(default.tasks_max);
    section.finish(problems);
    providers.finish(problems);
    match u32::try_from(concurrency_max) {
        Ok(concurrency_max) => Some(Process { concurrency_max, tasks_max }),
        Err(_) => problems.none("providers.process.concurrency_max", "is too large"),
    }
}

fn check_labels(labels: &BTreeMap<String, String>, problems: &mut Problems) {
    for (key, value) in labels {
        if let Err(error) = labels::check_key(key) {
            problems.add(format!("labels.{key}"), error.to_string());
        }
        if let Err(error) = labels::check_value(value) {
            problems.add(format!("labels.{key}"), error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const GOOD: &str = "name = 'n1'\nservers = ['127.0.0.1:7400', 'b:7410']\nstate_dir = 'state'\n\
        stop_sandboxes_on_exit = true\n[labels]\nzone = 'a'\n[tls]\ncertificate = 'c'\nkey = '/k'\nca = 'ca'\n\
        [providers.process]\nconcurrency_max = 7\n";

    fn load(text: &str, args: Args) -> Result<Config, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("node.toml");
        fs::write(&file, text).unwrap();
        let loaded = Config::load(&Args { config: Some(file), ..args });
        loaded.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_whole_file_is_read_with_paths_relative_to_it() {
        let config = load(GOOD, Args::default()).unwrap();
        assert_eq!(config.name.as_str(), "n1");
        assert_eq!(config.servers.len(), 2);
        assert!(config.state_dir.is_absolute() && config.state_dir.ends_with("state"));
        assert!(config.tls.certificate.ends_with("c") && config.tls.certificate.parent().is_some());
        assert_eq!(config.tls.key, Path::new("/k"));
        assert_eq!(config.labels["zone"], "a");
        assert_eq!(config.process, Process { concurrency_max: 7, ..Process::default() });
        assert!(config.stop_sandboxes_on_exit);
    }

    #[test]
    fn flags_win_over_the_file() {
        let args = Args { name: Some("n2".into()), servers: vec!["x:1".into()], ..Args::default() };
        let config = load(GOOD, args).unwrap();
        assert_eq!(config.name.as_str(), "n2");
        assert_eq!(config.servers[0].as_str(), "x:1");
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let text = "nam = 'n1'\nservers = ['nonsense', 3]\nstop_sandboxes_on_exit = 'yes'\n[labels]\n'bad key' = 'x'\n\
                    [tls]\nkey = 1\n[providers.process]\nconcurrency_max = -1\n[providers.wasm]\nx = 1\n";
        let problems = load(text, Args::default()).unwrap_err();
        for wanted in [
            "name: is missing",
            "nam: is no key",
            "servers[0]: ",
            "servers[1]: must be a text",
            "stop_sandboxes_on_exit: must be true or false",
            "labels.bad key: ",
            "tls.certificate: is missing",
            "tls.key: must be a text",
            "tls.ca: is missing",
            "providers.process.concurrency_max: must not be negative",
            "providers.wasm: is no key",
            "state_dir: is missing",
        ] {
            assert!(problems.iter().any(|problem| problem.starts_with(wanted)), "{wanted}: {problems:#?}");
        }
    }

    #[test]
    fn a_broken_or_missing_file_is_one_clear_problem() {
        assert!(load("name = ", Args::default()).unwrap_err()[0].contains("is not TOML"));
        let missing = Config::load(&Args { config: Some("/no/such/file".into()), ..Args::default() });
        assert!(missing.unwrap_err()[0].reason.contains("cannot be read"));
        assert!(Config::load(&Args::default()).unwrap_err()[0].at == "--config");
    }
}
