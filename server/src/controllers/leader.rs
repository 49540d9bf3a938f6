//! What a controller may do in its term: look at the registry, write under its own name, wait for changes.
//! Knows no controller.

use boss_proto::{
    ids::Revision,
    kind::Kind,
    limits,
    raft::v1::{Bind, Caller, Create, Delete, Operation, Update, UpdateStatus, operation::Action},
    v1::{Object, Preconditions, Propagation},
};
use boss_raft::{
    Handle, Interest, WatchError, Watcher,
    state::{Outcome, Record, View, rbac::SERVERS_GROUP},
};
use futures_util::{FutureExt, future::select_all};
use prost::Message;

use super::driver::Error;

/// One controller's hand on the registry, good for one term: apply refuses what it writes in another.
#[derive(Clone)]
pub(super) struct Leader {
    handle: Handle,
    term: u64,
    caller: Caller,
}

/// One write with what must hold for it.
#[derive(Debug, Clone)]
pub(super) struct Write {
    action: Action,
    preconditions: Option<Preconditions>,
}

impl Write {
    /// Creates an object whose uid is set.
    #[must_use]
    pub(super) fn create(object: impl Into<Object>) -> Self {
        Self { action: Action::Create(Create { object: Some(object.into()) }), preconditions: None }
    }

    /// Replaces an object unless it has changed since `seen`.
    #[must_use]
    pub(super) fn update(seen: &Record, object: impl Into<Object>) -> Self {
        let action = Action::Update(Update { object: Some(object.into()) });
        Self { action, preconditions: Some(unchanged(seen)) }
    }

    /// Replaces an object's status unless the object has changed since `seen`.
    #[must_use]
    pub(super) fn status(seen: &Record, object: impl Into<Object>) -> Self {
        let action = Action::UpdateStatus(UpdateStatus { object: Some(object.into()) });
        Self { action, preconditions: Some(unchanged(seen)) }
    }

    /// Deletes this very object, whatever it looks like by then.
    #[must_use]
    pub(super) fn delete(seen: &Record) -> Self {
        let delete = Delete { key: Some(seen.key.to_proto()), ..Default::default() };
        let same = Preconditions { uid: Some(seen.uid().to_string()), resource_version: None };
        Self { action: Action::Delete(delete), preconditions: Some(same) }
    }

    /// The same, but what it owns goes first.
    #[must_use]
    pub(super) fn delete_in_foreground(seen: &Record) -> Self {
        let mut write = Self::delete(seen);
        if let Action::Delete(delete) = &mut write.action {
            delete.set_propagation(Propagation::Foreground);
        }
        write
    }

    /// Gives a pod its node.
    #[must_use]
    pub(super) fn bind(bind: Bind) -> Self {
        Self { action: Action::Bind(bind), preconditions: None }
    }
}

fn unchanged(seen: &Record) -> Preconditions {
    Preconditions { uid: Some(seen.uid().to_string()), resource_version: Some(seen.revision.0) }
}

impl Leader {
    /// For the controller of this name in this term.
    #[must_use]
    pub(super) fn new(handle: Handle, term: u64, name: &str) -> Self {
        let uid = if name == "scheduler" { "system:scheduler".to_owned() } else { format!("system:controller:{name}") };
        let groups = vec![SERVERS_GROUP.to_owned()];
        let caller = Caller { username: uid.clone(), uid, groups, ..Default::default() };
        Self { handle, term, caller }
    }

    /// The registry as applied here, which on a ready leader is at least all of the terms before.
    #[must_use]
    pub(super) fn view(&self) -> View {
        self.handle.view()
    }

    /// What happens to a kind after `from`.
    #[must_use]
    pub(super) fn watch(&self, kind: Kind, from: Revision) -> Watcher {
        self.handle.watch(Interest::in_kind(kind), from)
    }

    /// Wakes up when one of the kinds changes after now.
    #[must_use]
    pub(super) fn changes(&self, kinds: &[Kind]) -> Changes {
        let from = self.view().revision();
        let watchers = kinds.iter().map(|kind| (*kind, self.watch(*kind, from))).collect();
        Changes { leader: self.clone(), watchers }
    }

    /// Resolves when a write after `seen` has changed who owns whom, or begun a deletion that waits.
    pub(super) async fn owners_moved(&self, seen: Revision) {
        let mut applied = self.handle.applied();
        if applied.wait_for(|_| self.view().owners().moved() > seen).await.is_err() {
            // The server stops, and whoever drives this with it.
            std::future::pending::<()>().await;
        }
    }

    /// Commits the writes, as few entries as they fit into, in order. One outcome for each.
    pub(super) async fn write(&self, writes: Vec<Write>) -> Result<Vec<Outcome>, Error> {
        let mut outcomes = Vec::with_capacity(writes.len());
        for entry in into_entries(writes.into_iter().map(|write| self.operation(write))) {
            outcomes.extend(self.handle.propose(entry).await?);
        }
        Ok(outcomes)
    }

    fn operation(&self, write: Write) -> Operation {
        Operation {
            caller: Some(self.caller.clone()),
            preconditions: write.preconditions,
            leader_term: Some(self.term),
            action: Some(write.action),
            ..Default::default()
        }
    }
}

/// Half of an entry's bound: its own fields come on top.
const ENTRY_BYTES_MAX: usize = limits::COMMAND_BYTES_MAX / 2;

fn into_entries(operations: impl Iterator<Item = Operation>) -> Vec<Vec<Operation>> {
    let mut entries: Vec<Vec<Operation>> = Vec::new();
    let mut bytes = 0;
    for operation in operations {
        let size = operation.encoded_len();
        match entries.last_mut() {
            Some(entry) if entry.len() < limits::COMMAND_OPERATIONS_MAX && bytes + size <= ENTRY_BYTES_MAX => {
                bytes += size;
                entry.push(operation);
            }
            _ => {
                bytes = size;
                entries.push(vec![operation]);
            }
        }
    }
    entries
}

/// Wakes a controller up. Carries no data.
pub(super) struct Changes {
    leader: Leader,
    watchers: Vec<(Kind, Watcher)>,
}

impl Changes {
    /// Resolves when one of the kinds has changed since the last time.
    pub(super) async fn next(&mut self) {
        let waits = self.watchers.iter_mut().map(|(_, watcher)| watcher.next().boxed());
        let (result, changed, others) = select_all(waits).await;
        drop(others);
        match result {
            Ok(_) => {}
            // A change, too: what happened meanwhile is for the reconcile to find out.
            Err(WatchError::Expired { .. }) => {
                let kind = self.watchers[changed].0;
                self.watchers[changed].1 = self.leader.watch(kind, self.leader.view().revision());
            }
            // The server stops, and whoever drives this with it: looking again would only keep it from stopping.
            Err(WatchError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use boss_proto::v1;

    use super::*;

    fn event(bytes: usize) -> Operation {
        let event = v1::Event { message: "x".repeat(bytes), ..Default::default() };
        Operation { action: Some(Write::create(event).action), ..Default::default() }
    }

    #[test]
    fn entries_stay_within_their_bounds_and_keep_the_order() {
        let small = into_entries((0..1_200).map(|_| event(10)));
        assert_eq!(small.iter().map(Vec::len).collect::<Vec<_>>(), [512, 512, 176]);
        let large = into_entries((0..5).map(|_| event(50_000)));
        assert_eq!(large.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
        assert!(into_entries(std::iter::empty()).is_empty());
    }
}
