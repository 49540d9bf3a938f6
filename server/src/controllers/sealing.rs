//! The keys that seal secrets: the first one is used once every voter has shown that it holds it; a newer one takes its
//! place when an annotation asks for it, and what older ones sealed is sealed anew, a batch at a time. Every step can
//! be found half done by the next leader. Opens secrets only to seal them again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use boss_base::clock::Clock;
use boss_proto::{
    ids::Uid,
    kind::Kind,
    object::Resource,
    v1::{Object, ObjectMeta, Sealed, SealingKey, SealingKeySpec, Secret, SigningKey, object::Body},
};
use boss_raft::{
    Handle,
    state::{Record, View},
};
use pbjson_types::Timestamp;

use super::{
    driver::{Controller, Error, NextRun},
    leader::{Changes, Leader, Write},
    was_written,
};
use crate::{
    sealing::{self, ACTIVE, RETIRED, RETIRING, Vault, WAITING, in_phase},
    writes::Peers,
};

/// The annotation on the key in use that asks for the next one.
const ROTATE: &str = "boss.dev/rotate";
/// Sealed anew in one step: the log of a busy cluster has room beside it.
const BATCH: usize = 64;
/// Nobody announces that a file has changed or that a server is back.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// What was sealed with the old key while the keys changed is found by then.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Keeps the sealing keys.
pub(super) struct Sealing {
    leader: Leader,
    handle: Handle,
    clock: Arc<dyn Clock>,
    vault: Vault,
    peers: Peers,
    changes: Changes,
}

impl Sealing {
    /// For one term.
    #[must_use]
    pub(super) fn new(leader: Leader, handle: Handle, clock: Arc<dyn Clock>, vault: Vault, peers: Peers) -> Self {
        let changes = leader.changes(&[Kind::SealingKey]);
        Self { leader, handle, clock, vault, peers, changes }
    }

    /// Puts the newest key of this server's file into use, or says why not.
    async fn begin(&self, view: &View) -> Result<NextRun, Error> {
        let Some(newest) = self.vault.key_ids().into_iter().next() else {
            tracing::debug!("no sealing key is configured here, so secrets cannot be stored");
            return Ok(NextRun::Within(LOOK_INTERVAL));
        };
        let message = self.missing(&newest).await;
        let write = self.put(view, &newest, |spec| {
            if message.is_empty() {
                ACTIVE.clone_into(&mut spec.phase);
                spec.active_from = self.now();
            } else {
                WAITING.clone_into(&mut spec.phase);
            }
            spec.message.clone_from(&message);
        });
        self.commit(write.into_iter().collect()).await?;
        Ok(NextRun::Within(LOOK_INTERVAL))
    }

    /// Goes over to the newest key, if somebody asked for it and every voter holds it.
    async fn rotate(&self, view: &View, active: &Arc<Record>) -> Result<NextRun, Error> {
        let newest = self.vault.key_ids().into_iter().next().unwrap_or_default();
        let problem = if newest == active.key.name || newest.is_empty() {
            "the leader's file of sealing keys holds no newer key: put one on top of it, on every server".to_owned()
        } else {
            self.missing(&newest).await
        };
        if !problem.is_empty() {
            let write = self.put(view, &active.key.name, |spec| spec.message.clone_from(&problem));
            self.commit(write.into_iter().collect()).await?;
            return Ok(NextRun::Within(LOOK_INTERVAL));
        }
        let next = self.put(view, &newest, |spec| {
            *spec = SealingKeySpec { phase: ACTIVE.to_owned(), active_from: self.now(), ..SealingKeySpec::default() };
        });
        let last = self.put(view, &active.key.name, |spec| {
            RETIRING.clone_into(&mut spec.phase);
            spec.message.clear();
            (spec.resealed, spec.retiring_from) = (0, self.now());
            spec.remaining = count(sealed_with(view, &active.key.name).len());
        });
        tracing::info!(from = active.key.name, to = newest, "secrets are sealed with another key from now on");
        self.commit(next.into_iter().chain(last).collect()).await?;
        Ok(NextRun::Within(Duration::ZERO))
    }

    /// Seals a batch anew of what other keys than the active one have sealed.
    async fn reseal(&self, view: &View, active: &str) -> Result<NextRun, Error> {
        let stale = stale(view, active);
        let mut writes = Vec::new();
        let mut done: BTreeMap<String, u64> = BTreeMap::new();
        let mut problems: BTreeMap<String, String> = BTreeMap::new();
        for (record, key_id) in stale.iter().take(BATCH) {
            match self.resealed(record, active) {
                Ok(object) => {
                    writes.push((record.key.clone(), Write::update(record, object)));
                    *done.entry(key_id.clone()).or_default() += 1;
                }
                Err(error) => drop(problems.insert(key_id.clone(), format!("{}: {error}", record.key))),
            }
        }
        let sealed_anew = !writes.is_empty();
        let (keys, writes): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
        for (outcome, key) in self.leader.write(writes).await?.iter().zip(&keys) {
            was_written(outcome, key)?;
        }
        self.note_progress(&done, &problems).await?;
        Ok(match (sealed_anew, stale.is_empty()) {
            (true, _) => NextRun::Within(Duration::ZERO),
            (false, true) => NextRun::Within(SWEEP_INTERVAL),
            (false, false) => NextRun::Within(LOOK_INTERVAL),
        })
    }

    async fn note_progress(
        &self,
        done: &BTreeMap<String, u64>,
        problems: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let view = self.leader.view();
        let writes = in_phase(&view, RETIRING).filter_map(|(record, _)| {
            let id = &record.key.name;
            let remaining = count(sealed_with(&view, id).len());
            self.put(&view, id, |spec| {
                spec.resealed += done.get(id).copied().unwrap_or_default();
                spec.remaining = remaining;
                spec.message = problems.get(id).cloned().unwrap_or_default();
                if remaining == 0 {
                    RETIRED.clone_into(&mut spec.phase);
                    spec.retired_from = self.now();
                }
            })
        });
        self.commit(writes.collect()).await
    }

    fn resealed(&self, record: &Record, active: &str) -> Result<Object, sealing::Error> {
        let mut object = record.object.clone();
        match &mut object.body {
            Some(Body::Secret(secret)) => {
                **secret = self.vault.open(secret)?;
                self.vault.seal_with(active, secret)?;
            }
            Some(Body::SigningKey(key)) => {
                let SigningKey { metadata, spec, .. } = &mut **key;
                if let Some(spec) = spec
                    && let Some(sealed) = &spec.sealed_private_key
                {
                    let text = self.vault.open_bytes(sealed, Kind::SigningKey, metadata.as_ref())?;
                    let sealed = self.vault.seal_bytes(active, Kind::SigningKey, metadata.as_ref(), &text)?;
                    spec.sealed_private_key = Some(sealed);
                }
            }
            _ => {}
        }
        Ok(object)
    }

    /// Which voters have not shown that they hold a key; empty when all have.
    async fn missing(&self, key_id: &str) -> String {
        let voters = self.handle.status().voters.iter().copied().collect();
        let missing = self.vault.missing_at(key_id, self.handle.server_id(), &voters, &self.peers).await;
        let words: Vec<_> = missing.iter().map(|(server, problem)| format!("server {server} {problem}")).collect();
        if words.is_empty() { String::new() } else { format!("key {key_id}: {}", words.join("; ")) }
    }

    /// The write that changes a key, or makes it; `None` when it is so already. What asked for it goes.
    fn put(&self, view: &View, id: &str, change: impl FnOnce(&mut SealingKeySpec)) -> Option<Write> {
        let stored = view.get(&sealing::key_of(id));
        let mut key = stored.and_then(|it| SealingKey::from_object(&it.object)).cloned().unwrap_or_else(|| new_key(id));
        let before = key.clone();
        let spec = key.spec.get_or_insert_default();
        change(spec);
        if spec.phase != ACTIVE
            && let Some(metadata) = &mut key.metadata
        {
            metadata.annotations.remove(ROTATE);
        }
        match stored {
            None => Some(Write::create(key)),
            Some(_) if key == before => None,
            Some(record) => Some(Write::update(record, key)),
        }
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        for outcome in self.leader.write(writes).await? {
            was_written(&outcome, &sealing::key_of("any"))?;
        }
        Ok(())
    }

    fn now(&self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.clock.unix_seconds()).unwrap_or(i64::MAX);
        Some(Timestamp { seconds, nanos: 0 })
    }
}

impl Controller for Sealing {
    const NAME: &'static str = "sealing";

    async fn reconcile(&mut self) -> Result<NextRun, Error> {
        let view = self.leader.view();
        let Some((active, _)) = in_phase(&view, ACTIVE).next() else { return self.begin(&view).await };
        if active.metadata().annotations.contains_key(ROTATE) {
            return self.rotate(&view, active).await;
        }
        self.reseal(&view, &active.key.name).await
    }

    async fn changed(&mut self) {
        self.changes.next().await;
    }
}

fn new_key(id: &str) -> SealingKey {
    let metadata = ObjectMeta { name: id.to_owned(), uid: Uid::random().to_string(), ..ObjectMeta::default() };
    SealingKey { metadata: Some(metadata), spec: Some(SealingKeySpec::default()), ..SealingKey::default() }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Everything that is sealed, with the key's name.
fn sealed(view: &View) -> impl Iterator<Item = (&Arc<Record>, &Sealed)> {
    let secrets = view.list(Kind::Secret, None);
    let secrets = secrets.filter_map(|it| Some((it, Secret::from_object(&it.object)?.sealed.as_ref()?)));
    let keys = view.list(Kind::SigningKey, None);
    let keys = keys
        .filter_map(|it| Some((it, SigningKey::from_object(&it.object)?.spec.as_ref()?.sealed_private_key.as_ref()?)));
    secrets.chain(keys)
}

fn sealed_with<'a>(view: &'a View, id: &str) -> Vec<&'a Arc<Record>> {
    sealed(view).filter(|(_, sealed)| sealed.key_id == id).map(|(record, _)| record).collect()
}

fn stale(view: &View, active: &str) -> Vec<(Arc<Record>, String)> {
    let stale = sealed(view).filter(|(_, sealed)| sealed.key_id != active);
    stale.map(|(record, sealed)| (record.clone(), sealed.key_id.clone())).collect()
}
