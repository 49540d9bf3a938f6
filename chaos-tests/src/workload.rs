//! Writers that remember what was acknowledged. What the promises mean for it, the tests say.

pub mod bound;
pub mod journals;
pub mod pods;

pub use boss_verify::workload::*;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use boss_proto::ids::Revision;
use tonic::Code;

use crate::{api::Api, manifests};

/// Every acknowledged write by its revision: the name of what was written.
pub type Acknowledged = BTreeMap<Revision, String>;

/// Creates records until told to stop.
#[derive(Debug, Default)]
pub struct Workload {
    stopped: AtomicBool,
    acknowledged: Mutex<Acknowledged>,
}

impl Workload {
    /// Ends all writers after their current write.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// What was acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// One writer over several servers: when one does not answer, it sends the same write, with the same request id,
    /// to the next, until some server acknowledges it or the workload is stopped.
    pub async fn write(&self, writer: usize, servers: &[Api]) {
        for number in 0.. {
            let name = format!("w{writer}-{number}");
            let id = servers[0].seen().request_id();
            for attempt in 0.. {
                if self.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let api = &servers[(writer + attempt) % servers.len()];
                match api.create_as(manifests::record(&name, &name), id.clone()).await {
                    Ok(written) => {
                        self.record(written.revision, name.clone());
                        break;
                    }
                    Err(status) if is_temporary(status.code()) => tokio::task::yield_now().await,
                    Err(status) => panic!("writing {name} was refused: {status}"),
                }
            }
        }
    }

    fn record(&self, revision: Revision, name: String) {
        let mut acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = acknowledged.insert(revision, name.clone()) {
            panic!("{name} and {other} were both acknowledged at {revision}");
        }
    }
}

fn is_temporary(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Aborted
            | Code::ResourceExhausted
            | Code::Cancelled
    )
}
