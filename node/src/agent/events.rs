//! Event objects about pods, best effort: when the servers are away or too many come at once, some are lost.

use std::sync::Arc;

use boss_base::{
    clock::Clock,
    tasks::{OnExit, Tasks},
};
use boss_client::Client;
use boss_proto::{ids::NodeName, object::Resource, v1};
use tokio::sync::mpsc;

use crate::agent::status::timestamp;

/// A burst of this many pods starting at once is told in full.
const QUEUE_MAX: usize = 256;

/// Whether something went as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It did.
    Normal,
    /// Somebody may want to look.
    Warning,
}

/// Takes events; never waits.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<v1::Event>,
    clock: Arc<dyn Clock>,
    source: String,
}

impl Events {
    /// Starts writing them.
    #[must_use]
    pub fn start(client: Client, node: &NodeName, clock: Arc<dyn Clock>, tasks: &Tasks) -> Self {
        let (queue, mut waiting) = mpsc::channel::<v1::Event>(QUEUE_MAX);
        let token = tasks.token();
        tasks.spawn("events", OnExit::StopProcess, async move {
            let write_all = async {
                while let Some(event) = waiting.recv().await {
                    if let Err(error) = client.create(event.into_object()).await {
                        tracing::debug!(%error, "an event is lost");
                    }
                }
            };
            token.run_until_cancelled(write_all).await;
        });
        Self { queue, clock, source: format!("agent/{node}") }
    }

    /// Something happened to a pod. `reason` is one CamelCase word.
    pub fn emit(&self, pod: &v1::Pod, severity: Severity, reason: &str, message: impl Into<String>) {
        let metadata = pod.metadata().cloned().unwrap_or_default();
        let now = timestamp(self.clock.unix_millis() * 1_000);
        // 40 of the 63 characters that a name may have; the rest makes it unique.
        let prefix: String = metadata.name.chars().take(40).collect();
        let name = format!("{prefix}-{:016x}", self.clock.random_u64());
        let event = v1::Event {
            metadata: Some(v1::ObjectMeta { name, namespace: metadata.namespace.clone(), ..v1::ObjectMeta::default() }),
            involved_object: Some(v1::ObjectReference {
                kind: "Pod".to_owned(),
                namespace: metadata.namespace,
                name: metadata.name,
                uid: metadata.uid,
            }),
            reason: reason.to_owned(),
            message: message.into(),
            r#type: match severity {
                Severity::Normal => "Normal",
                Severity::Warning => "Warning",
            }
            .to_owned(),
            source: self.source.clone(),
            first_timestamp: now,
            last_timestamp: now,
            count: 1,
            ..v1::Event::default()
        };
        // Best effort: a full queue means that the servers are slow already.
        let _ = self.queue.try_send(event);
    }
}
