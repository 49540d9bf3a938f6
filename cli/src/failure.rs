//! What a command says when it cannot do its work: what failed, why, what to do next, and the exit code.
//! Knows no command.

use std::fmt::{self, Display};

use crate::{context, dev, provision};

/// How a command ends. The numbers are documented in `bossctl --help` and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Everything was done.
    Ok = 0,
    /// Refused, or failed in a way that has no number of its own.
    Failed = 1,
    /// The command line or the input makes no sense.
    BadInput = 2,
    /// There is no such object.
    NotFound = 3,
    /// Not logged in, or not allowed.
    Forbidden = 4,
    /// Nobody answered, or not in time. Writes may or may not have happened.
    Unavailable = 5,
    /// The object, folder or address is not as the command expects: it exists, has changed, or is in use.
    Conflict = 6,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

/// The table of exit codes for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    everything was done (for `auth can-i`: yes)
  1    refused or failed (for `auth can-i`: no)
  2    the command line or the input makes no sense
  3    no such object
  4    not logged in, or not allowed
  5    nobody answered, or not in time; a write may or may not have happened
  6    conflict: it exists, has changed meanwhile, or is in use
  130  ended by Ctrl-C";

/// The end of a command that could not do its work.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What was attempted: "cannot apply pods/web".
    pub what: String,
    /// Why it failed.
    pub why: String,
    /// What to do next.
    pub next: Option<String>,
}

impl Failure {
    /// One without advice.
    pub fn new(exit: Exit, what: impl Into<String>, why: impl Display) -> Self {
        Self { exit, what: what.into(), why: why.to_string(), next: None }
    }

    /// The same with advice; earlier, closer advice stays.
    #[must_use]
    pub fn or_next(mut self, next: impl Into<String>) -> Self {
        self.next.get_or_insert_with(|| next.into());
        self
    }

    /// Wrong input.
    pub fn bad_input(what: impl Into<String>, why: impl Display) -> Self {
        Self::new(Exit::BadInput, what, why)
    }
}

impl Failure {
    /// What the cluster, or the way to it, answered.
    #[must_use]
    pub fn from_client(what: impl Into<String>, error: &boss_client::Error) -> Self {
        use boss_client::Error;
        let (exit, next) = match error {
            Error::NotFound(_) => (Exit::NotFound, None),
            Error::AlreadyExists(_) | Error::Precondition(_) => (Exit::Conflict, None),
            Error::Conflict { .. } => (Exit::Conflict, Some("read the object again, it has changed meanwhile")),
            Error::Invalid { .. } => (Exit::BadInput, None),
            Error::Forbidden(_) => {
                (Exit::Forbidden, Some("bossctl auth can-i tells what you may do; an administrator can bind a role"))
            }
            Error::Unauthenticated(_) => {
                (Exit::Forbidden, Some("get a new token, or choose another context: bossctl context list"))
            }
            Error::Untrusted(_) => {
                (Exit::Forbidden, Some("check that the context's ca is this cluster's: bossctl context list"))
            }
            Error::Overloaded(_) => (Exit::Unavailable, Some("the servers have too much to do; come back in a moment")),
            Error::Unavailable(_) => (
                Exit::Unavailable,
                Some("check that the servers run: bossctl cluster status, for a local cluster bossctl dev status"),
            ),
            Error::Timeout(_) | Error::RequestExpired { .. } => (
                Exit::Unavailable,
                Some("whether it was done is not known: look with bossctl get before you try again"),
            ),
            Error::Config(_) => (Exit::BadInput, Some("bossctl context list shows what is configured")),
            Error::Expired { .. } | Error::Internal(_) => (Exit::Failed, None),
        };
        let next = error.hint().or(next).map(str::to_owned);
        let why = match error {
            Error::Invalid { field, .. } if !field.is_empty() && !error.to_string().contains(field.as_str()) => {
                format!("{field}: {error}")
            }
            _ => error.to_string(),
        };
        Self { exit, what: what.into(), why, next }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}: {}", self.what, self.why)?;
        match &self.next {
            Some(next) => write!(f, "\n  try: {next}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// An error with everything below it, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let below = error.to_string();
        // Some errors repeat what is below them.
        if !text.ends_with(&below) {
            text = format!("{text}: {below}");
        }
        source = error.source();
    }
    text
}

impl From<provision::Error> for Failure {
    fn from(error: provision::Error) -> Self {
        use provision::Error;
        let (exit, next) = match &error {
            Error::Plan(_) => (Exit::BadInput, None),
            Error::Occupied(_) => (Exit::Conflict, Some("name an empty folder with --dir".to_owned())),
            Error::Exists(_) => {
                (Exit::Conflict, Some("name another folder with --dir, or use this cluster".to_owned()))
            }
            Error::InUse { .. } => (Exit::Conflict, Some("name an empty folder with --dir".to_owned())),
            Error::Missing(_) => {
                (Exit::NotFound, Some("name the cluster's folder with --dir, or make one: bossctl dev up".to_owned()))
            }
            Error::Newer { .. } => {
                (Exit::Conflict, Some("use the bossctl that made it, or name another folder with --dir".to_owned()))
            }
            Error::Corrupt { .. } => {
                (Exit::Failed, Some("restore the file, or make a new cluster in another folder".to_owned()))
            }
            Error::SealingKeys(_) => (Exit::BadInput, Some("name the file pki/sealing.keys of the cluster".to_owned())),
            Error::Io { .. } | Error::Certificate(_) | Error::Sealing(_) | Error::Token(_) => (Exit::Failed, None),
        };
        Failure { exit, what: "cannot use the cluster's folder".to_owned(), why: chain(&error), next }
    }
}

impl From<context::Error> for Failure {
    fn from(error: context::Error) -> Self {
        use context::Error;
        let (exit, next) = match &error {
            Error::NoContext { .. } | Error::NoCurrent => (
                Exit::BadInput,
                Some("bossctl context list; bossctl dev up makes a local cluster with a context".to_owned()),
            ),
            Error::Unknown { known, .. } if known.is_empty() => {
                (Exit::NotFound, Some("bossctl context set NAME --server HOST:PORT --ca FILE ...".to_owned()))
            }
            Error::Unknown { known, .. } => (Exit::NotFound, Some(format!("one of {}", known.join(", ")))),
            Error::OpenToOthers { path } => (Exit::Failed, Some(format!("chmod 600 {}", path.display()))),
            Error::Corrupt { .. } | Error::Incomplete { .. } => {
                (Exit::BadInput, Some("bossctl context set writes it anew".to_owned()))
            }
            Error::NoHome => (Exit::BadInput, Some("set BOSS_CONFIG to the file".to_owned())),
            Error::Io { .. } => (Exit::Failed, None),
        };
        Failure { exit, what: "cannot use the context".to_owned(), why: chain(&error), next }
    }
}

impl From<dev::Error> for Failure {
    fn from(error: dev::Error) -> Self {
        use dev::Error;
        let (exit, next) = match &error {
            Error::Provision(_) => match error {
                Error::Provision(inner) => return inner.into(),
                _ => (Exit::Failed, None),
            },
            Error::Running { directory, .. } => {
                let (status, down) = (dev::command_line("status", directory), dev::command_line("down", directory));
                (Exit::Conflict, Some(format!("{status}; {down} stops it")))
            }
            Error::Busy { .. } => {
                (Exit::Conflict, Some("wait for the other bossctl dev, or name another folder with --dir".to_owned()))
            }
            Error::OtherShape { .. } => {
                (Exit::Conflict, Some("leave the options out, or name another folder with --dir".to_owned()))
            }
            Error::PortInUse { kept: false, .. } => {
                (Exit::Conflict, Some("stop what listens there, or choose other ports with --base-port".to_owned()))
            }
            Error::PortInUse { kept: true, .. } => (
                Exit::Conflict,
                Some("stop what listens there, or make another cluster with --dir and --base-port".to_owned()),
            ),
            Error::NoBinary { name, .. } => (
                Exit::Failed,
                Some(format!("build it (cargo build --bins), or put {name} beside bossctl or into PATH")),
            ),
            Error::NotReady { .. } => (
                Exit::Unavailable,
                Some("look into these logs; --ready-timeout gives a slow machine more time".to_owned()),
            ),
            Error::Died { .. } | Error::StillThere { .. } | Error::Io { .. } | Error::Spawn { .. } => {
                (Exit::Failed, None)
            }
            Error::Corrupt { path, .. } => {
                (Exit::Failed, Some(format!("stop the cluster's processes by hand, then remove {}", path.display())))
            }
        };
        Failure { exit, what: "the local cluster".to_owned(), why: chain(&error), next }
    }
}

#[cfg(test)]
mod tests {
    use boss_client::{Detail, Error};
    use boss_proto::ids::Revision;

    use super::*;

    fn detail() -> Detail {
        Detail { message: "it is so".into(), hint: String::new(), reason: String::new() }
    }

    #[test]
    fn each_kind_of_failure_has_its_documented_exit_code() {
        let current = Revision(5);
        for (error, exit) in [
            (Error::NotFound(detail()), 3),
            (Error::AlreadyExists(detail()), 6),
            (Error::Conflict { detail: detail(), current }, 6),
            (Error::Precondition(detail()), 6),
            (Error::Invalid { detail: detail(), field: "spec.x".into() }, 2),
            (Error::Forbidden(detail()), 4),
            (Error::Unauthenticated(detail()), 4),
            (Error::Untrusted(detail()), 4),
            (Error::Overloaded(detail()), 5),
            (Error::Unavailable(detail()), 5),
            (Error::Timeout(detail()), 5),
            (Error::Expired { detail: detail(), current }, 1),
            (Error::Internal(detail()), 1),
        ] {
            assert_eq!(Failure::from_client("x", &error).exit as i32, exit, "{error:?}");
        }
    }

    #[test]
    fn a_failure_says_what_failed_why_and_what_next() {
        let error = Error::Invalid { detail: Detail { hint: "do y".into(), ..detail() }, field: "spec.x".into() };
        let text = Failure::from_client("cannot apply pods/web", &error).to_string();
        assert_eq!(text, "error: cannot apply pods/web: spec.x: it is so\n  try: do y");
    }

    #[test]
    fn the_exit_codes_of_the_help_are_those_that_are_used() {
        for exit in [
            Exit::Ok,
            Exit::Failed,
            Exit::BadInput,
            Exit::NotFound,
            Exit::Forbidden,
            Exit::Unavailable,
            Exit::Conflict,
            Exit::Interrupted,
        ] {
            let number = format!("  {} ", exit as i32);
            assert!(EXIT_CODES.lines().any(|line| line.starts_with(&number)), "{number}");
        }
    }
}
