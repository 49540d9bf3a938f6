//! The command line of what changes objects: apply, create, replace, patch, txn, delete. Knows no command's work.

use std::{path::PathBuf, time::Duration};

use boss_proto::v1::Propagation;
use clap::{Args, ValueEnum};

/// Who owns fields that bossctl writes, if the command line does not say.
pub(super) const FIELD_MANAGER: &str = "bossctl";

/// Whether to commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Commit.
    #[default]
    None,
    /// The servers do everything but the commit.
    Server,
}

impl DryRun {
    /// Whether nothing is to be committed.
    #[must_use]
    pub fn is_dry(self) -> bool {
        self == Self::Server
    }

    /// What lines about it end with.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        if self.is_dry() { " (dry run)" } else { "" }
    }
}

/// What becomes of the objects that name a deleted one as their owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Cascade {
    /// They are deleted afterwards.
    #[default]
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay.
    Orphan,
}

impl From<Cascade> for Propagation {
    fn from(cascade: Cascade) -> Self {
        match cascade {
            Cascade::Background => Self::Background,
            Cascade::Foreground => Self::Foreground,
            Cascade::Orphan => Self::Orphan,
        }
    }
}

/// Files with manifests.
#[derive(Debug, Clone, Args)]
pub struct Apply {
    /// A file, a folder with .yaml, .yml and .json files, or - for standard input; may be repeated
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Who owns the fields of the manifests
    #[arg(long, value_name = "NAME", default_value = FIELD_MANAGER)]
    pub field_manager: String,
    /// Take fields over that others own
    #[arg(long)]
    pub force_conflicts: bool,
    /// Do everything but the commit
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "server", require_equals = true)]
    pub dry_run: DryRun,
}

impl Apply {
    /// As without any option.
    #[must_use]
    pub fn plain(files: Vec<PathBuf>) -> Self {
        let field_manager = FIELD_MANAGER.to_owned();
        Self { files, field_manager, force_conflicts: false, dry_run: DryRun::None }
    }
}

/// Files with whole objects.
#[derive(Debug, Clone, Args)]
pub struct Whole {
    /// A file, a folder with .yaml, .yml and .json files, or - for standard input; may be repeated
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Do everything but the commit
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "server", require_equals = true)]
    pub dry_run: DryRun,
}

/// What to patch.
#[derive(Debug, Clone, Args)]
pub struct Patch {
    /// KIND NAME, or KIND/NAME
    #[arg(required = true, num_args = 1..=2, value_name = "KIND NAME")]
    pub what: Vec<String>,
    /// A JSON merge patch: {"metadata":{"labels":{"app":"web","old":null}}}
    #[arg(short, long, value_name = "JSON")]
    pub patch: String,
    /// Patch the status alone
    #[arg(long)]
    pub status: bool,
    /// Who owns what is changed
    #[arg(long, value_name = "NAME", default_value = "bossctl-patch")]
    pub field_manager: String,
    /// Do everything but the commit
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "server", require_equals = true)]
    pub dry_run: DryRun,
}

/// A transaction.
#[derive(Debug, Clone, Args)]
pub struct Txn {
    /// A file with compare, then and else, or - for standard input; docs/examples/txn.yaml shows one
    #[arg(short, long = "filename", value_name = "FILE")]
    pub file: PathBuf,
    /// Do everything but the commit
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "server", require_equals = true)]
    pub dry_run: DryRun,
}

/// What to delete.
#[derive(Debug, Clone, Args)]
pub struct Delete {
    /// KIND NAME..., or KIND/NAME...; KIND alone with --selector, --field-selector or --all
    #[arg(required_unless_present = "files", conflicts_with = "files", value_name = "KIND NAME...")]
    pub what: Vec<String>,
    /// The objects of these manifests, last ones first
    #[arg(short, long = "filename", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Those with such labels: app=web,tier!=db
    #[arg(short = 'l', long = "selector", value_name = "LABELS", conflicts_with = "files")]
    pub labels: Option<String>,
    /// Those with such fields: status.phase=Failed
    #[arg(long = "field-selector", value_name = "FIELDS", conflicts_with = "files")]
    pub fields: Option<String>,
    /// All of the kind in the namespace
    #[arg(long, conflicts_with_all = ["files", "labels", "fields"])]
    pub all: bool,
    /// What becomes of the objects that they own
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub cascade: Cascade,
    /// Do everything but the commit
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "server", require_equals = true)]
    pub dry_run: DryRun,
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

impl Delete {
    /// Whether the objects are found by the servers, not named.
    #[must_use]
    pub fn selects(&self) -> bool {
        self.all || self.labels.is_some() || self.fields.is_some()
    }
}
