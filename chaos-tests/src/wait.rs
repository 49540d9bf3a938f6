//! Waiting for conditions, never for time to pass. Knows nothing of what is waited for.

use std::{fmt, time::Duration};

/// How often a condition is looked at. Short against everything measured here, long against its cost.
const INTERVAL: Duration = Duration::from_millis(10);

/// The condition did not come to hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("waited {} s until {what}; the last look said: {last}", .after.as_secs_f32())]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// For how long.
    pub after: Duration,
    /// Why it did not hold at the last look.
    pub last: String,
}

/// Looks again and again until `condition` gives a value. Its error says why it does not hold yet.
/// A look that itself hangs is cut off at the deadline.
pub async fn until<T, E: fmt::Display>(
    what: impl Into<String>,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, TimedOut> {
    let what = what.into();
    let mut last = String::from("the first look did not end");
    let looks = async {
        loop {
            match condition().await {
                Ok(value) => return value,
                Err(why) => last = why.to_string(),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    match tokio::time::timeout(deadline, looks).await {
        Ok(value) => Ok(value),
        Err(_) => Err(TimedOut { what, after: deadline, last }),
    }
}

/// `Ok` when it holds, else the reason: for conditions that have no value.
pub fn holds(condition: bool, otherwise: impl fmt::Display) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_reason_is_reported() {
        let mut looks = 0;
        let outcome: Result<(), TimedOut> = until("the moon is blue", Duration::from_millis(50), async || {
            looks += 1;
            Err(format!("look {looks}"))
        })
        .await;
        let message = outcome.expect_err("it never holds").to_string();
        assert!(message.contains("until the moon is blue") && message.contains("look "), "{message}");
    }
}
