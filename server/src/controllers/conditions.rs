//! Conditions of objects: set one, keep the others, move the transition time only with the status. Knows no object.

use boss_proto::v1::Condition;

/// What a condition is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said<'a> {
    /// Ready, PodScheduled, ...
    pub(super) r#type: &'a str,
    /// True, False or Unknown.
    pub(super) status: &'a str,
    /// One CamelCase word.
    pub(super) reason: &'a str,
    /// For people.
    pub(super) message: &'a str,
}

/// Sets a condition at `now_ms`; says whether that changed anything.
pub(super) fn set(conditions: &mut Vec<Condition>, said: Said<'_>, generation: u32, now_ms: u64) -> bool {
    let old = conditions.iter_mut().find(|condition| condition.r#type == said.r#type);
    let same_status = old.as_ref().is_some_and(|old| old.status == said.status);
    if same_status && old.as_ref().is_some_and(|old| old.reason == said.reason && old.message == said.message) {
        return false;
    }
    let since = old.as_ref().and_then(|old| old.last_transition_time).filter(|_| same_status);
    let condition = Condition {
        r#type: said.r#type.to_owned(),
        status: said.status.to_owned(),
        reason: said.reason.to_owned(),
        message: said.message.to_owned(),
        last_transition_time: Some(since.unwrap_or_else(|| timestamp(now_ms))),
        observed_generation: generation,
    };
    match old {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
    true
}

/// The status of a condition; empty when it was never said.
#[must_use]
pub(super) fn status<'a>(conditions: &'a [Condition], r#type: &str) -> &'a str {
    conditions.iter().find(|condition| condition.r#type == r#type).map_or("", |condition| &condition.status)
}

/// Milliseconds since the epoch as messages carry them.
#[must_use]
pub(super) fn timestamp(unix_ms: u64) -> pbjson_types::Timestamp {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    // Below a thousand, so the product is below a milliard.
    let nanos = i32::try_from(unix_ms % 1_000 * 1_000_000).unwrap_or(0);
    pbjson_types::Timestamp { seconds, nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: Said<'_> = Said { r#type: "Ready", status: "True", reason: "Reports", message: "" };

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let mut conditions = Vec::new();
        assert!(set(&mut conditions, READY, 1, 1_000));
        assert!(!set(&mut conditions, READY, 1, 2_000));
        assert!(set(&mut conditions, Said { message: "still", ..READY }, 1, 3_000));
        assert_eq!(conditions[0].last_transition_time, Some(timestamp(1_000)));
        assert!(set(&mut conditions, Said { status: "Unknown", ..READY }, 1, 4_000));
        assert_eq!(conditions[0].last_transition_time, Some(timestamp(4_000)));
        assert_eq!(conditions.len(), 1);
    }
}
