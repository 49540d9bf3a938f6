//! openraft's state machine over the registry: applies entries in memory, publishes a view, answers, and leaves the
//! store to its writer. Decides nothing about objects.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use boss_base::{
    cached,
    clock::{Clock, SystemClock},
    tasks::Tasks,
};
use boss_proto::ids::ClusterId;
use futures_util::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend,
    storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine},
    type_config::alias::SnapshotOf,
};
use tokio::sync::watch;

use super::{
    mailbox::{Batch, Mailbox, Moment},
    marks::{Mark, Marks},
    meta::Place,
    published::{Applied, CurrentSnapshot, Inner, Published},
    restore::OpenOptions,
    snapshot::{self, CutOff, Directory, SnapshotFile},
};
use crate::{
    disk,
    export::{self, Exporter, position},
    failpoints::failpoint,
    metric_definitions,
    state::{Change, Limits, Outcome, Position, State, View, apply},
    types::{Entry, LogId, Outcomes, SnapshotMeta, StoredMembership, TypeConfig},
};

/// Entries applied before the next view: more cost fewer views, fewer answer sooner.
const ENTRIES_PER_VIEW_MAX: usize = 64;

/// What openraft drives.
pub struct StateMachine {
    state: State,
    place: Place,
    cluster_id: ClusterId,
    limits: Limits,
    tasks: Tasks,
    published: Published,
    current: CurrentSnapshot,
    exporter: Option<Arc<dyn Exporter>>,
}

/// What a restore found.
pub(super) struct Parts {
    pub(super) state: State,
    pub(super) place: Place,
    pub(super) directory: Directory,
    pub(super) store_path: PathBuf,
    pub(super) writer: Mailbox,
    pub(super) snapshot: Option<(Place, SnapshotFile)>,
}

impl StateMachine {
    pub(super) fn assemble(options: OpenOptions, parts: Parts) -> (Self, Published) {
        let view = parts.state.view();
        let applied = Applied { log_id: parts.place.log_id, revision: view.revision() };
        let covered = parts.snapshot.as_ref().and_then(|(place, _)| place.log_id);
        let current: CurrentSnapshot = Arc::new(Mutex::new(parts.snapshot));
        let inner = Inner {
            view: ArcSwap::from_pointee(view),
            applied: watch::Sender::new(applied),
            snapshot: watch::Sender::new(covered),
            directory: parts.directory,
            cut_off: CutOff::default(),
            marks: Marks::default(),
            current: Arc::clone(&current),
            store_path: parts.store_path,
            writer: parts.writer,
        };
        let published = Published { inner: Arc::new(inner) };
        let machine = Self {
            state: parts.state,
            place: parts.place,
            cluster_id: options.cluster_id,
            limits: options.limits,
            tasks: options.tasks,
            published: published.clone(),
            current,
            exporter: options.exporter,
        };
        if let Some(exporter) = &machine.exporter {
            exporter.begins_after(position(machine.place.log_id));
        }
        (machine, published)
    }

    /// Has the store written anew from the state as it is.
    pub(super) fn replace_store(&self) {
        self.published.inner.writer.replace(Moment { place: self.place.clone(), view: self.published.view() });
    }

    fn apply_entry(&mut self, entry: &Entry, changes: &mut Vec<Change>) -> Vec<Outcome> {
        let log_id = entry.log_id;
        let at = Position { term: log_id.leader_id.term, index: log_id.index };
        self.place.log_id = Some(log_id);
        let outcomes = self.apply_payload(entry, at, changes);
        if let Some(exporter) = &self.exporter {
            let command = match &entry.payload {
                EntryPayload::Normal(proposal) => Some(proposal.command()),
                EntryPayload::Membership(_) | EntryPayload::Blank => None,
            };
            exporter.applied(at, command, &outcomes);
        }
        if Marks::wants(entry) {
            self.published.inner.marks.note(Mark { log_id, hash: self.state.hash() });
        }
        outcomes
    }

    fn apply_payload(&mut self, entry: &Entry, at: Position, changes: &mut Vec<Change>) -> Vec<Outcome> {
        let log_id = entry.log_id;
        match &entry.payload {
            EntryPayload::Normal(proposal) => {
                let panics = self.state.panics();
                let applied = apply(&mut self.state, at, proposal.command());
                cached!(counter metric_definitions::OPERATIONS_APPLIED).increment(applied.outcomes.len() as u64);
                if self.state.panics() > panics {
                    metrics::counter!(metric_definitions::APPLY_PANICS).increment(self.state.panics() - panics);
                    tracing::error!(%log_id, "applying an operation panicked; it was discarded");
                }
                changes.extend(applied.changes);
                return applied.outcomes;
            }
            EntryPayload::Membership(membership) => {
                self.place.membership = Arc::new(StoredMembership::new(Some(log_id), membership.clone()));
            }
            EntryPayload::Blank => {}
        }
        self.state.advance(at);
        Vec::new()
    }

    fn apply_batch(&mut self, batch: Vec<Result<EntryResponder<TypeConfig>, io::Error>>) -> io::Result<()> {
        let mut changes = Vec::new();
        let mut answers = Vec::with_capacity(batch.len());
        let mut failed = Ok(());
        let began = SystemClock.monotonic();
        for item in batch {
            match item {
                Ok((entry, responder)) => {
                    let outcomes = self.apply_entry(&entry, &mut changes);
                    answers.extend(responder.map(|responder| (responder, outcomes)));
                }
                Err(error) => {
                    failed = Err(error);
                    break;
                }
            }
        }
        let took = SystemClock.monotonic().saturating_sub(began);
        cached!(histogram metric_definitions::APPLY_SECONDS).record(took.as_secs_f64());
        let view = self.state.view();
        // Readers first: who has the answer must see its effect.
        self.published.publish(view.clone(), self.place.log_id);
        for (responder, outcomes) in answers {
            responder.send(Outcomes(outcomes));
        }
        self.published.inner.writer.apply(Batch { changes, after: Moment { place: self.place.clone(), view } });
        failed
    }

    fn current(&self) -> Option<(Place, SnapshotFile)> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads a received snapshot whole, checks it, and only then gives it its name.
    async fn adopt(&self, meta: &SnapshotMeta, file: SnapshotFile) -> io::Result<(State, Place, SnapshotFile)> {
        let (cluster_id, limits) = (self.cluster_id.clone(), self.limits);
        let directory = self.published.inner.directory.clone();
        let expected = meta.clone();
        let read = move || {
            let adopted =
                snapshot::read(file.path(), &cluster_id, limits).map_err(invalid).and_then(|(state, place)| {
                    if place.log_id != expected.last_log_id {
                        return Err(invalid("it ends at another entry than the leader said"));
                    }
                    let file = directory.adopt(file.path(), place.log_id)?;
                    Ok((state, place, file))
                });
            if adopted.is_err() {
                directory.discard(file.path());
            }
            adopted
        };
        self.tasks.run_blocking("install-snapshot", read).await.map_err(io::Error::other)?
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Writes a snapshot of a frozen view while apply goes on.
pub struct SnapshotBuilder {
    view: View,
    place: Place,
    cluster_id: ClusterId,
    tasks: Tasks,
    published: Published,
    current: CurrentSnapshot,
    exporter: Option<Arc<dyn Exporter>>,
}

impl SnapshotBuilder {
    fn current(&self) -> Option<SnapshotFile> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|(place, _)| place.log_id == self.place.log_id).map(|(_, file)| file.clone())
    }

    async fn write(&self) -> io::Result<SnapshotFile> {
        // With the snapshot the log before it may go, and a restart begins behind it.
        if let Some(exporter) = &self.exporter {
            export::wait_for(exporter, position(self.place.log_id)).await;
        }
        let directory = self.published.inner.directory.clone();
        let (cluster_id, place, view) = (self.cluster_id.clone(), self.place.clone(), self.view.clone());
        let write = move || {
            let temporary = directory.temporary();
            let adopted = std::fs::File::options()
                .write(true)
                .create_new(true)
                .open(&temporary)
                .and_then(|file| snapshot::write(&file, &cluster_id, &place, &view))
                .and_then(|()| directory.adopt(&temporary, place.log_id));
            if adopted.is_err() {
                directory.discard(&temporary);
            }
            adopted
        };
        self.tasks.run_blocking("write-snapshot", write).await.map_err(io::Error::other)?
    }
}

impl SnapshotBuilder {
    /// What stands in for a snapshot that has no room: the one before, or none. The core sees nothing newer in it and
    /// goes on; whoever asked asks again.
    fn put_off(&self, error: &io::Error) -> SnapshotOf<TypeConfig, SnapshotFile> {
        metrics::counter!(metric_definitions::SNAPSHOTS_POSTPONED).increment(1);
        tracing::warn!(%error, "a snapshot has no room on the disk and is put off");
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (meta, snapshot) = match current {
            Some((place, file)) => (place.snapshot_meta(), file),
            None => (SnapshotMeta::default(), SnapshotFile::none()),
        };
        SnapshotOf::<TypeConfig, SnapshotFile> { meta, snapshot }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, SnapshotFile>, io::Error> {
        let file = match self.current() {
            Some(file) => file,
            None => {
                let began = SystemClock.monotonic();
                let file = match self.write().await {
                    Ok(file) => file,
                    Err(error) if disk::says_full(&error) => return Ok(self.put_off(&error)),
                    Err(error) => return Err(error),
                };
                report_snapshot(SystemClock.monotonic().saturating_sub(began), file.len());
                file
            }
        };
        set_current(&self.current, &self.published, &self.place, &file);
        Ok(SnapshotOf::<TypeConfig, SnapshotFile> { meta: self.place.snapshot_meta(), snapshot: file })
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn report_snapshot(took: Duration, bytes: u64) {
    metrics::histogram!(metric_definitions::SNAPSHOT_SECONDS).record(took.as_secs_f64());
    metrics::gauge!(metric_definitions::SNAPSHOT_BYTES).set(bytes as f64);
}

/// Notes the newest snapshot; a builder that was overtaken by an installation changes nothing.
fn set_current(current: &CurrentSnapshot, published: &Published, place: &Place, file: &SnapshotFile) {
    let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
    let overtaken = current.as_ref().is_some_and(|(other, _)| other.log_id > place.log_id);
    if !overtaken {
        *current = Some((place.clone(), file.clone()));
        published.inner.snapshot.send_replace(place.log_id);
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.place.log_id, StoredMembership::clone(&self.place.membership)))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batches = entries.ready_chunks(ENTRIES_PER_VIEW_MAX);
        while let Some(batch) = batches.next().await {
            if let Some(exporter) = &self.exporter {
                exporter.room().await;
            }
            self.apply_batch(batch)?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            view: self.state.view(),
            place: self.place.clone(),
            cluster_id: self.cluster_id.clone(),
            tasks: self.tasks.clone(),
            published: self.published.clone(),
            current: self.current.clone(),
            exporter: self.exporter.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> Result<(), io::Error> {
        let (state, place, file) = self.adopt(meta, snapshot).await?;
        failpoint!("snapshot.adopted");
        self.state = state;
        self.place = place;
        if let Some(exporter) = &self.exporter {
            exporter.begins_after(position(self.place.log_id));
        }
        set_current(&self.current, &self.published, &self.place, &file);
        self.published.publish(self.state.view(), self.place.log_id);
        // What another transfer left is older than this, or will be sent again.
        self.published.inner.cut_off.clear();
        self.replace_store();
        metrics::counter!(metric_definitions::SNAPSHOTS_INSTALLED).increment(1);
        failpoint!("snapshot.installed");
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<TypeConfig, SnapshotFile>>, io::Error> {
        Ok(self.current().map(|(place, file)| SnapshotOf::<TypeConfig, SnapshotFile> {
            meta: place.snapshot_meta(),
            snapshot: file,
        }))
    }
}

#[cfg(test)]
mod tests;
