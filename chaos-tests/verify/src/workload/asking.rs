//! What a refusal means for whoever asked, and asking again until somebody answers. Knows no workload.

use std::time::Duration;

use boss_client::Error;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};

use crate::{
    api::{Api, error_info},
    checkers::generate::Random,
};

/// For one answer. What takes longer has an unknown outcome; an election takes less.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// For asking again and again.
const INSISTENCE: Duration = Duration::from_secs(12);
/// Between two attempts, so that a cluster that refuses at once is not asked all the time.
const PAUSE: Duration = Duration::from_millis(20);

/// Why something was not done, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// There is no such object.
    Absent,
    /// There is one already.
    Exists {
        /// At this revision.
        current: u64,
    },
    /// It is at another revision.
    Conflict {
        /// At this one.
        current: u64,
    },
    /// It was certainly not done.
    Nothing(String),
    /// The same, and neither an election nor the object's state explains it.
    Refused(String),
    /// It may have been done, or be done later.
    Unknown(String),
}

/// What a refusal of a write means.
#[must_use]
pub fn failed(status: &Status) -> Failed {
    let current = error_info(status).current_revision;
    match Error::from_status(status) {
        Error::NotFound(_) => Failed::Absent,
        Error::AlreadyExists(_) => Failed::Exists { current },
        Error::Conflict { current, .. } => Failed::Conflict { current: current.0 },
        error @ (Error::Unavailable(_) | Error::Overloaded(_)) => Failed::Nothing(error.to_string()),
        Error::Precondition(detail) if detail.reason == "UNSETTLED" => Failed::Nothing(detail.to_string()),
        error @ (Error::Timeout(_) | Error::Internal(_)) => Failed::Unknown(error.to_string()),
        // Too old to be told from a new one: this attempt did nothing, an earlier one may have.
        error @ Error::RequestExpired { .. } => Failed::Nothing(error.to_string()),
        error => Failed::Refused(error.to_string()),
    }
}

/// Whether a credential is refused by the time of day: clocks can be wrong, and then tokens come too early or too late.
#[must_use]
pub fn is_a_matter_of_time(status: &Status) -> bool {
    let says = |words| status.message().contains(words);
    status.code() == Code::Unauthenticated && (says("is not valid yet") || says("has expired"))
}

/// Asks one server after the other the same thing until one answers; the request id in it makes it one request.
pub async fn insist<T>(
    random: &mut Random,
    servers: &[Api],
    ask: impl AsyncFn(&Api) -> Result<T, Status>,
) -> Result<T, Failed> {
    let deadline = Instant::now() + INSISTENCE;
    let mut server = random.below(servers.len());
    let mut may_be_done = None;
    let mut last = String::from("no answer");
    while Instant::now() < deadline {
        let until = (Instant::now() + PATIENCE).min(deadline);
        match timeout_at(until, ask(&servers[server])).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => match failed(&status) {
                Failed::Nothing(why) => last = why,
                Failed::Unknown(why) => may_be_done = Some(why),
                // Who is refused now may have got it done before.
                Failed::Refused(why) if may_be_done.is_some() => return Err(Failed::Unknown(why)),
                told => return Err(told),
            },
            Err(_) => may_be_done = Some("no answer".to_owned()),
        }
        server = (server + 1) % servers.len();
        sleep(PAUSE).await;
    }
    Err(may_be_done.map_or(Failed::Nothing(last), Failed::Unknown))
}
