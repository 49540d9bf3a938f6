//! Pods that wait for a node: those to be looked at next, and those parked until something changes that can help
//! them. Equal pods are parked together, so that a full cluster costs one look per shape of pod, not one per pod.
//! Knows no node and no registry.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use boss_proto::{key::Key, v1::PodSpec};
use boss_raft::state::Record;
use prost::Message;

/// The part of a spec that decides where a pod fits; equal for pods of one template.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signature(Vec<u8>);

impl Signature {
    /// What is run does not matter, what it needs does.
    #[must_use]
    pub fn of(spec: &PodSpec) -> Self {
        let mut shape = spec.clone();
        shape.restart_policy.clear();
        shape.termination_grace_period_seconds = None;
        for container in &mut shape.containers {
            let resources = container.resources.take();
            *container = boss_proto::v1::Container { resources, ..Default::default() };
        }
        Self(shape.encode_to_vec())
    }
}

/// Pods of one shape that fit nowhere.
#[derive(Debug)]
struct Parked {
    message: Arc<str>,
    pods: BTreeMap<Key, Arc<Record>>,
}

/// Every unbound pod is in exactly one place: ready or parked.
#[derive(Debug, Default)]
pub struct Queue {
    ready: VecDeque<Key>,
    waiting: HashMap<Key, Arc<Record>>,
    parked: BTreeMap<Signature, Parked>,
    parked_as: HashMap<Key, Signature>,
}

/// A pod that is to be placed now.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The pod as last heard of.
    pub record: Arc<Record>,
    /// Its shape.
    pub signature: Signature,
}

impl Queue {
    /// An unbound pod is new or has changed: it is looked at (again), after those that wait already.
    pub fn push(&mut self, record: Arc<Record>) {
        let key = record.key.clone();
        let signature = record.pod().and_then(|pod| pod.spec.as_ref()).map(Signature::of);
        if let (Some(signature), Some(parked_as)) = (&signature, self.parked_as.get(&key)) {
            // Its status was written, or its labels: that helps it nowhere.
            if signature == parked_as {
                self.refresh(record);
                return;
            }
        }
        self.remove(&key);
        self.ready.push_back(key.clone());
        self.waiting.insert(key, record);
    }

    fn refresh(&mut self, record: Arc<Record>) {
        let parked = self.parked_as.get(&record.key).and_then(|signature| self.parked.get_mut(signature));
        if let Some(parked) = parked {
            parked.pods.insert(record.key.clone(), record);
        }
    }

    /// The pod is bound, has ended or is gone.
    pub fn remove(&mut self, key: &Key) {
        // Its place in `ready` stays until it is reached: `waiting` is the truth.
        self.waiting.remove(key);
        if let Some(signature) = self.parked_as.remove(key)
            && let Some(parked) = self.parked.get_mut(&signature)
        {
            parked.pods.remove(key);
            if parked.pods.is_empty() {
                self.parked.remove(&signature);
            }
        }
    }

    /// The next pod to place; it has left the queue.
    pub fn pop(&mut self) -> Option<Waiting> {
        while let Some(key) = self.ready.pop_front() {
            let spec = |record: &Arc<Record>| record.pod().and_then(|pod| pod.spec.as_ref()).map(Signature::of);
            if let Some(record) = self.waiting.remove(&key)
                && let Some(signature) = spec(&record)
            {
                return Some(Waiting { record, signature });
            }
        }
        None
    }

    /// Why pods of this shape fit nowhere, when that is known and still holds.
    #[must_use]
    pub fn verdict(&self, signature: &Signature) -> Option<Arc<str>> {
        self.parked.get(signature).map(|parked| parked.message.clone())
    }

    /// The pod fits nowhere, for the reason that `message` gives.
    pub fn park(&mut self, pod: Waiting, message: Arc<str>) {
        let Waiting { record, signature } = pod;
        let parked = self
            .parked
            .entry(signature.clone())
            .or_insert_with(|| Parked { message: message.clone(), pods: BTreeMap::new() });
        parked.message = message;
        self.parked_as.insert(record.key.clone(), signature);
        parked.pods.insert(record.key.clone(), record);
    }

    /// Makes the parked shapes ready for which `helped` is true.
    pub fn wake(&mut self, helped: impl Fn(&PodSpec) -> bool) {
        let fits = |parked: &Parked| {
            parked.pods.values().next().and_then(|record| record.pod()?.spec.as_ref()).is_some_and(&helped)
        };
        let woken: Vec<_> =
            self.parked.iter().filter(|(_, parked)| fits(parked)).map(|(shape, _)| shape.clone()).collect();
        for signature in woken {
            let Some(parked) = self.parked.remove(&signature) else { continue };
            for (key, record) in parked.pods {
                self.parked_as.remove(&key);
                self.ready.push_back(key.clone());
                self.waiting.insert(key, record);
            }
        }
    }

    /// How many pods wait to be looked at and how many are parked.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.waiting.len(), self.parked_as.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{pod, spec};
    use super::*;

    fn key(name: &str) -> Key {
        Key::new(boss_proto::kind::Kind::Pod, "default", name)
    }

    fn park_next(queue: &mut Queue) {
        let waiting = queue.pop().expect("one waits");
        queue.park(waiting, Arc::from("full"));
    }

    #[test]
    fn pods_of_one_shape_share_a_verdict() {
        let mut queue = Queue::default();
        queue.push(pod("a", spec("cpu=4"), "", ""));
        queue.push(pod("b", spec("cpu=4"), "", ""));
        queue.push(pod("c", spec("cpu=1"), "", ""));
        park_next(&mut queue);
        let second = queue.pop().expect("b waits");
        assert!(queue.verdict(&second.signature).is_some());
        let third = queue.pop().expect("c waits");
        assert!(queue.verdict(&third.signature).is_none());
    }

    #[test]
    fn parked_pods_wake_only_for_what_helps_them() {
        let mut queue = Queue::default();
        queue.push(pod("a", spec("cpu=4"), "", ""));
        queue.push(pod("b", spec("cpu=1"), "", ""));
        park_next(&mut queue);
        park_next(&mut queue);
        queue.wake(|woken| *woken == spec("cpu=1"));
        assert_eq!(queue.pop().expect("b woke").record.key, key("b"));
        assert!(queue.pop().is_none());
        assert_eq!(queue.len(), (0, 1));
    }

    #[test]
    fn a_status_written_to_a_parked_pod_does_not_wake_it() {
        let mut queue = Queue::default();
        queue.push(pod("a", spec("cpu=4"), "", ""));
        park_next(&mut queue);
        queue.push(pod("a", spec("cpu=4"), "", "Pending"));
        assert!(queue.pop().is_none());
        queue.push(pod("a", spec("cpu=2"), "", "Pending"));
        assert!(queue.pop().is_some(), "another shape is looked at");
    }

    #[test]
    fn a_removed_pod_leaves_nothing_behind() {
        let mut queue = Queue::default();
        queue.push(pod("a", spec("cpu=4"), "", ""));
        park_next(&mut queue);
        queue.remove(&key("a"));
        queue.push(pod("b", spec("cpu=4"), "", ""));
        queue.remove(&key("b"));
        assert!(queue.pop().is_none());
        assert_eq!(queue.len(), (0, 0));
    }
}
