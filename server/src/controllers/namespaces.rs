//! A namespace that is being deleted: its objects are deleted, and then it goes itself.

use std::sync::Arc;

use boss_proto::kind::Kind;
use boss_raft::state::{Record, View};

use super::{
    driver::{Controller, Error, NextRun},
    leader::{Changes, Leader, Write},
    was_written,
};

/// Deletes per round: a huge namespace must not make one huge entry after another while others wait.
const DELETES_MAX: usize = 256;

/// Empties namespaces.
pub(super) struct Namespaces {
    leader: Leader,
    changes: Changes,
}

impl Namespaces {
    /// For one term.
    #[must_use]
    pub(super) fn new(leader: Leader) -> Self {
        // Of what lives in namespaces only pods take their time to go; their going must be noticed.
        let changes = leader.changes(&[Kind::Namespace, Kind::Pod]);
        Self { leader, changes }
    }
}

impl Controller for Namespaces {
    const NAME: &'static str = "namespaces";

    async fn reconcile(&mut self) -> Result<NextRun, Error> {
        loop {
            let view = self.leader.view();
            let targets: Vec<_> =
                terminating(&view).flat_map(|namespace| step(&view, namespace)).take(DELETES_MAX).collect();
            let more = targets.len() == DELETES_MAX;
            let writes = targets.iter().map(|record| Write::delete(record)).collect();
            for (outcome, record) in self.leader.write(writes).await?.iter().zip(&targets) {
                was_written(outcome, &record.key)?;
            }
            if targets.is_empty() || (!more && targets.iter().all(|record| record.key.kind == Kind::Namespace)) {
                return Ok(NextRun::OnChange);
            }
        }
    }

    async fn changed(&mut self) {
        self.changes.next().await;
    }
}

fn terminating(view: &View) -> impl Iterator<Item = &Arc<Record>> {
    view.list(Kind::Namespace, None).filter(|record| record.is_terminating())
}

/// What to delete next: the objects whose deletion was not asked for yet, or the empty namespace itself.
fn step<'v>(view: &'v View, namespace: &'v Arc<Record>) -> Vec<&'v Arc<Record>> {
    let name = &namespace.key.name;
    let kinds = Kind::ALL.into_iter().filter(|kind| kind.is_namespaced());
    let mut inside = kinds.flat_map(|kind| view.list(kind, Some(name))).peekable();
    if inside.peek().is_none() {
        return if namespace.metadata().finalizers.is_empty() { vec![namespace] } else { Vec::new() };
    }
    inside.filter(|record| !record.is_terminating()).take(DELETES_MAX).collect()
}
