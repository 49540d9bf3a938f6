//! The command line. Knows no command's work.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{failure::EXIT_CODES, output::Format};

/// Controls a Boss cluster.
#[derive(Debug, Parser)]
#[command(name = "bossctl", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The file of contexts [default: ~/.boss/config]
    #[arg(long, env = "BOSS_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The context to use instead of the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Servers to use instead of the context's (host:port, several with commas)
    #[arg(long, env = "BOSS_API_SERVER", global = true, value_name = "HOST:PORT", value_delimiter = ',')]
    pub server: Vec<String>,
    /// The namespace [default: the context's, else `default`]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// How long a call may take, with all its attempts
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create or change objects so that they are as the manifests say
    Apply(Apply),
    /// Show objects
    Get(Get),
    /// Show one object in full, with its events
    Describe(Describe),
    /// Delete objects and wait until they are gone
    Delete(Delete),
    /// Show every change of objects as it happens
    Watch(Watch),
    /// Show what a pod writes
    Logs(Logs),
    /// Show what happened lately
    Events(Events),
    /// The control plane itself, and the making of new ones
    #[command(subcommand)]
    Cluster(Cluster),
    /// Show who the cluster takes you for
    Whoami(Whoami),
    /// Questions about rights
    #[command(subcommand)]
    Auth(Auth),
    /// The clusters that you work with
    #[command(subcommand)]
    Context(Context),
    /// A cluster on this machine
    #[command(subcommand)]
    Dev(Dev),
    /// Write a completion script for a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Show the versions of client and servers
    Version {
        /// Do not ask the servers
        #[arg(long)]
        client: bool,
    },
}

/// Files with manifests.
#[derive(Debug, Clone, Args)]
pub struct Apply {
    /// A file, a folder with .yaml, .yml and .json files, or - for standard input; may be repeated
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Which objects to show, and how.
#[derive(Debug, Clone, Args)]
pub struct Get {
    /// KIND, KIND NAME..., or KIND/NAME...
    #[arg(required = true, value_name = "KIND [NAME...]")]
    pub what: Vec<String>,
    /// How to write them
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Go on with every change
    #[arg(short, long)]
    pub watch: bool,
    /// Which objects, by their labels and fields
    #[command(flatten)]
    pub selection: Selection,
}

/// Which objects of a kind.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// By labels: app=web,tier!=db,env in (a,b),!legacy
    #[arg(short = 'l', long = "selector", value_name = "LABELS", default_value = "", hide_default_value = true)]
    pub labels: String,
    /// By fields: spec.nodeName=n1,status.phase!=Running
    #[arg(long = "field-selector", value_name = "FIELDS", default_value = "", hide_default_value = true)]
    pub fields: String,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

/// One object.
#[derive(Debug, Clone, Args)]
pub struct Describe {
    /// KIND NAME, or KIND/NAME
    #[arg(required = true, num_args = 1..=2, value_name = "KIND NAME")]
    pub what: Vec<String>,
}

/// What to delete.
#[derive(Debug, Clone, Args)]
pub struct Delete {
    /// KIND NAME..., or KIND/NAME...
    #[arg(required_unless_present = "files", conflicts_with = "files", value_name = "KIND NAME...")]
    pub what: Vec<String>,
    /// The objects of these manifests, last ones first
    #[arg(short, long = "filename", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Do not wait until they are gone
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait until they are gone
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    pub wait_timeout: Duration,
    /// Seconds between SIGTERM and SIGKILL, instead of the pod's own
    #[arg(long, value_name = "SECONDS")]
    pub grace_period: Option<u32>,
    /// What is not there counts as deleted
    #[arg(long)]
    pub ignore_not_found: bool,
}

/// Which changes to show.
#[derive(Debug, Clone, Args)]
pub struct Watch {
    /// KIND, KIND NAME, or KIND/NAME
    #[arg(required = true, num_args = 1..=2, value_name = "KIND [NAME]")]
    pub what: Vec<String>,
    /// How to write them
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Which objects, by their labels and fields
    #[command(flatten)]
    pub selection: Selection,
}

/// Whose output to show.
#[derive(Debug, Clone, Args)]
pub struct Logs {
    /// The pod
    pub pod: String,
    /// Its container; only needed when it has several
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub container: String,
    /// Go on with every new line
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines
    #[arg(long, value_name = "N")]
    pub tail: Option<u32>,
    /// Also what earlier executions of the pod wrote
    #[arg(short, long)]
    pub previous: bool,
    /// Put the time before each line
    #[arg(long)]
    pub timestamps: bool,
}

/// Which events to show.
#[derive(Debug, Clone, Args)]
pub struct Events {
    /// Only those about this object: KIND/NAME
    #[arg(long = "for", value_name = "KIND/NAME")]
    pub about: Option<String>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Go on with every new one
    #[arg(short, long)]
    pub watch: bool,
    /// How to write them
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// How answers that are no objects are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Answer {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// The control plane itself.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Show the state of every server
    Status {
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Answer,
    },
    /// Show the servers that the cluster consists of
    Members {
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Answer,
    },
    /// Make certificates, keys and configuration of a new cluster, one folder per machine
    Init(Init),
    /// Make a token with the cluster's own key; needs the folder of `cluster init` or `dev up`
    Token(Token),
}

/// A cluster to be made.
#[derive(Debug, Clone, Args)]
pub struct Init {
    /// The folder to make it in; must be empty or missing
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// A server: NAME=PEER_HOST:PORT,API_HOST:PORT; repeat it for each
    #[arg(long, required = true, value_name = "NAME=PEER,API")]
    pub server: Vec<String>,
    /// A node, by its name; repeat it for each
    #[arg(long, value_name = "NAME")]
    pub node: Vec<String>,
    /// Where each server answers about its health and metrics
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7402")]
    pub http: String,
    /// How fast a lost leader is replaced
    #[arg(long, default_value = "standard", value_parser = ["fast", "standard", "slow-disk"])]
    pub profile: String,
    /// The name of the context in the folder's bossctl.toml
    #[arg(long, default_value = "boss")]
    pub name: String,
}

/// A token to be made.
#[derive(Debug, Clone, Args)]
pub struct Token {
    /// The cluster's folder
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Whom it speaks for
    #[arg(long)]
    pub user: String,
    /// A group of that user; may be repeated
    #[arg(long)]
    pub group: Vec<String>,
    /// How long it is good for
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    pub lifetime: Duration,
    /// The file to write it to, for its owner only [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Show who the cluster takes you for.
#[derive(Debug, Clone, Args)]
pub struct Whoami {
    /// How to write it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Answer,
}

/// Questions about rights.
#[derive(Debug, Subcommand)]
pub enum Auth {
    /// Ask whether you may do something; exit code 0 means yes, 1 means no
    CanI {
        /// get, list, watch, create, update, delete, ...
        verb: String,
        /// A kind, with a subresource if need be: pods, pods/log
        resource: String,
        /// One object by its name
        name: Option<String>,
        /// In all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
    },
}

/// The clusters that you work with.
#[derive(Debug, Subcommand)]
pub enum Context {
    /// Show all contexts; a star marks the current one
    List,
    /// Show the name of the current context
    Current,
    /// Make a context the current one
    Use {
        /// Its name
        name: String,
    },
    /// Add a context, or change the given parts of one
    Set(SetContext),
    /// Forget a context; the files that it names stay
    Delete {
        /// Its name
        name: String,
    },
}

/// A context to add or change.
#[derive(Debug, Clone, Args)]
pub struct SetContext {
    /// Its name
    pub name: String,
    /// The file with the certificate of the cluster's authority
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The file with a token
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "key"])]
    pub token_file: Option<PathBuf>,
    /// The file with a client certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// The file with its key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
}

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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_its_help_tells_the_exit_codes() {
        Cli::command().debug_assert();
        assert!(Cli::command().render_help().to_string().contains("nobody answered, or not in time"));
    }

    #[test]
    fn no_secret_can_be_given_on_the_command_line() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                assert!(!matches!(id, "token" | "password" | "secret" | "bearer"), "{id} of {}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn usage_errors_have_the_documented_exit_code() {
        for line in
            [&["bossctl"][..], &["bossctl", "get"], &["bossctl", "apply"], &["bossctl", "get", "pods", "-o", "xml"]]
        {
            let error = Cli::try_parse_from(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line:?}");
        }
    }
}
