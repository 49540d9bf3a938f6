//! The command line of what shows objects: get, describe, watch, logs, events. Knows no command's work.

use clap::Args;

use crate::output::Format;

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
    /// As it was after this revision, as far as the history reaches back
    #[arg(long, value_name = "REVISION", conflicts_with = "watch")]
    pub at: Option<u64>,
    /// Show who owns which fields, too
    #[arg(long)]
    pub show_managed_fields: bool,
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
    /// Show who owns which fields, too
    #[arg(long)]
    pub show_managed_fields: bool,
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
    /// Show who owns which fields, too
    #[arg(long)]
    pub show_managed_fields: bool,
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
