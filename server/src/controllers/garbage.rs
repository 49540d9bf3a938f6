//! The garbage collector: dependents of owners that are gone go too, owners that wait for their dependents are let go,
//! orphans forget their owner. Looks only at what names owners; says what a deletion waits for.

use std::{collections::BTreeSet, sync::Arc};

use boss_proto::{
    ids::{Revision, Uid},
    key::Key,
    kind::Kind,
    v1::{ObjectReference, OwnerReference},
};
use boss_raft::state::{Record, View, finalizers};

use super::{
    driver::{Controller, Error, NextRun},
    events::{Note, Recorder, Tone},
    leader::{Leader, Write},
    was_written,
};

/// Writes per round: others' writes go in between.
const WRITES_MAX: usize = 256;
/// Dependents that a note names; more help nobody.
const NAMED_MAX: usize = 5;

/// Collects garbage.
pub(super) struct Garbage {
    leader: Leader,
    events: Recorder,
    /// Everything up to here was looked at.
    seen: Revision,
}

impl Garbage {
    /// For one term.
    #[must_use]
    pub(super) fn new(leader: Leader, events: Recorder) -> Self {
        Self { leader, events, seen: Revision::ZERO }
    }

    fn explain(&self, view: &View) {
        for (owner, blocking) in blocked(view) {
            let named: Vec<_> = blocking.iter().take(NAMED_MAX).map(ToString::to_string).collect();
            let more = blocking.len().saturating_sub(NAMED_MAX);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let about = ObjectReference {
                kind: owner.key.kind.to_string(),
                namespace: owner.key.namespace.clone(),
                name: owner.key.name.clone(),
                uid: owner.uid().to_string(),
            };
            let message = format!("the deletion waits for {} dependents: {}{more}", blocking.len(), named.join(", "));
            let reason = "DeletionBlocked";
            self.events.note(Note { about, source: Self::NAME, reason, message, tone: Tone::Normal });
        }
    }
}

impl Controller for Garbage {
    const NAME: &'static str = "garbage-collector";

    async fn reconcile(&mut self) -> Result<NextRun, Error> {
        loop {
            let view = self.leader.view();
            let steps = plan(&view);
            if steps.is_empty() {
                self.explain(&view);
                self.seen = view.revision();
                return Ok(NextRun::OnChange);
            }
            let (keys, writes): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
            for (outcome, key) in self.leader.write(writes).await?.iter().zip(&keys) {
                was_written(outcome, key)?;
            }
        }
    }

    async fn changed(&mut self) {
        self.leader.owners_moved(self.seen).await;
    }
}

/// What is to be written next.
fn plan(view: &View) -> Vec<(Key, Write)> {
    let dependents: BTreeSet<&Key> = view.owners().iter().flat_map(|(_, keys)| keys).collect();
    let steps = dependents.into_iter().filter_map(|key| step_for_dependent(view, view.get(key)?));
    let released = view.owners().waiting().filter_map(|key| release(view, view.get(key)?));
    steps.chain(released).take(WRITES_MAX).collect()
}

/// How an owner stands to its dependent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// It is there and means to stay, or waits for nothing of ours.
    Solid,
    /// It goes once its dependents are gone.
    Waiting,
    /// It goes and leaves its dependents.
    Leaving,
    Gone,
}

fn owner_of(view: &View, dependent: &Key, reference: &OwnerReference) -> Owner {
    // A kind that this version does not know may be known to the next: nothing is deleted for it.
    let Ok(kind) = reference.kind.parse::<Kind>() else { return Owner::Solid };
    let key = if kind.is_namespaced() {
        Key::new(kind, &*dependent.namespace, &*reference.name)
    } else {
        Key::cluster(kind, &*reference.name)
    };
    let Some(owner) = view.get(&key).filter(|owner| owner.metadata().uid == reference.uid) else { return Owner::Gone };
    let holds = |finalizer: &str| owner.is_terminating() && owner.metadata().finalizers.iter().any(|f| f == finalizer);
    match () {
        () if holds(finalizers::ORPHAN) => Owner::Leaving,
        () if holds(finalizers::FOREGROUND) => Owner::Waiting,
        () => Owner::Solid,
    }
}

fn step_for_dependent(view: &View, record: &Arc<Record>) -> Option<(Key, Write)> {
    let references = &record.metadata().owner_references;
    let owners: Vec<Owner> = references.iter().map(|reference| owner_of(view, &record.key, reference)).collect();
    let has = |wanted: Owner| owners.contains(&wanted);
    let stays = has(Owner::Solid) || has(Owner::Leaving);
    let write = if stays && owners.iter().any(|owner| matches!(owner, Owner::Leaving | Owner::Gone)) {
        let mut object = record.object.clone();
        let mut kept = owners.iter().map(|owner| matches!(owner, Owner::Solid | Owner::Waiting));
        object.metadata_mut()?.owner_references.retain(|_| kept.next().unwrap_or(true));
        Write::update(record, object)
    } else if stays || record.is_terminating() {
        return None;
    } else if has(Owner::Waiting) {
        // What is below it goes before it, too.
        Write::delete_in_foreground(record)
    } else {
        Write::delete(record)
    };
    Some((record.key.clone(), write))
}

/// Lets an owner go that has nothing left to wait for.
fn release(view: &View, owner: &Arc<Record>) -> Option<(Key, Write)> {
    let uid = owner.uid();
    let waits = |finalizer: &str| match finalizer {
        finalizers::FOREGROUND => blocking(view, &uid).next().is_some(),
        finalizers::ORPHAN => view.owners().dependents(&uid).next().is_some(),
        _ => true,
    };
    let mut object = owner.object.clone();
    let metadata = object.metadata_mut()?;
    let before = metadata.finalizers.len();
    metadata.finalizers.retain(|finalizer| waits(finalizer));
    (metadata.finalizers.len() < before).then(|| (owner.key.clone(), Write::update(owner, object)))
}

/// Dependents without whose end the owner does not go.
fn blocking<'v>(view: &'v View, owner: &'v Uid) -> impl Iterator<Item = &'v Key> {
    let blocks = |record: &Arc<Record>| {
        let references = &record.metadata().owner_references;
        references.iter().any(|reference| reference.uid == owner.as_str() && reference.block_owner_deletion)
    };
    view.owners().dependents(owner).filter(move |key| view.get(key).is_some_and(blocks))
}

fn dependents_of<'v>(view: &'v View, owner: &Uid) -> Vec<&'v Key> {
    view.owners().dependents(owner).filter_map(|key| view.get(key)).map(|record| &record.key).collect()
}

/// Owners that wait, with what they wait for.
fn blocked(view: &View) -> Vec<(&Arc<Record>, Vec<&Key>)> {
    let waiting = view.owners().waiting().filter_map(|key| view.get(key));
    let found = waiting.map(|owner| (owner, dependents_of(view, &owner.uid())));
    found.filter(|(_, dependents)| !dependents.is_empty()).collect()
}
