//! Deletes events that are old or too many.

use std::{collections::HashMap, sync::Arc, time::Duration};

use boss_base::clock::Clock;
use boss_proto::{kind::Kind, object::Resource, v1::Event};
use boss_raft::state::{Record, View};

use super::{
    driver::{Controller, Error, NextRun},
    leader::{Leader, Write},
    was_written,
};

/// Long enough to find out in the morning break what happened after breakfast.
const AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// Events of one namespace.
const PER_NAMESPACE_MAX: usize = 1_000;
/// How often to look. Between two looks a namespace may hold more.
const INTERVAL: Duration = Duration::from_secs(60);

/// Keeps the events within bounds.
pub(super) struct EventRetention {
    leader: Leader,
    clock: Arc<dyn Clock>,
}

impl EventRetention {
    /// For one term.
    #[must_use]
    pub(super) fn new(leader: Leader, clock: Arc<dyn Clock>) -> Self {
        Self { leader, clock }
    }
}

impl Controller for EventRetention {
    const NAME: &'static str = "event-retention";

    async fn reconcile(&mut self) -> Result<NextRun, Error> {
        let view = self.leader.view();
        let surplus = surplus(&view, self.clock.unix_seconds());
        let writes = surplus.iter().map(|record| Write::delete(record)).collect();
        for (outcome, record) in self.leader.write(writes).await?.iter().zip(&surplus) {
            was_written(outcome, &record.key)?;
        }
        Ok(NextRun::Within(INTERVAL))
    }

    /// Nothing but time makes an event old, and the next look is soon enough for too many.
    async fn changed(&mut self) {
        std::future::pending().await
    }
}

fn surplus(view: &View, now_seconds: u64) -> Vec<Arc<Record>> {
    let mut by_namespace: HashMap<&str, Vec<(i64, &Arc<Record>)>> = HashMap::new();
    for record in view.list(Kind::Event, None) {
        by_namespace.entry(&record.key.namespace).or_default().push((last_seen(record), record));
    }
    let oldest = i64::try_from(now_seconds.saturating_sub(AGE_MAX.as_secs())).unwrap_or(i64::MAX);
    let mut surplus = Vec::new();
    for mut events in by_namespace.into_values() {
        // The newest first; equal seconds in key order, so that every leader keeps the same ones.
        events.sort_by(|(left, one), (right, other)| right.cmp(left).then_with(|| one.key.cmp(&other.key)));
        let kept = events.partition_point(|(seen, _)| *seen >= oldest).min(PER_NAMESPACE_MAX);
        surplus.extend(events[kept..].iter().map(|(_, record)| Arc::clone(record)));
    }
    surplus
}

/// In seconds since the epoch; an event that does not say was seen when it was created.
fn last_seen(record: &Record) -> i64 {
    let said = Event::from_object(&record.object).and_then(|event| event.last_timestamp);
    said.or(record.metadata().creation_timestamp).map_or(0, |time| time.seconds)
}

#[cfg(test)]
mod tests;
