//! Which sandboxes each pod of this node has, for those who read its log. Written by the engine, read by log streams.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use boss_proto::ids::Uid;
use tokio::sync::watch;

use crate::sandbox::SandboxId;

/// What a reader of the log needs to know of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Its executions that are kept, oldest first, with their folders.
    pub attempts: Vec<(SandboxId, PathBuf)>,
    /// Whether no more will come.
    pub over: bool,
}

/// All pods of this node. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Board {
    pods: Arc<Mutex<BTreeMap<Uid, watch::Sender<Progress>>>>,
}

impl Board {
    /// A new execution; `kept` executions before it are still there.
    pub fn begin(&self, uid: &Uid, id: SandboxId, dir: PathBuf) {
        self.change(uid, |progress| {
            progress.attempts.retain(|(kept, _)| *kept != id);
            progress.attempts.push((id, dir));
            // The one before stays readable; older ones are removed from disk.
            let surplus = progress.attempts.len().saturating_sub(2);
            progress.attempts.drain(..surplus);
            progress.over = false;
        });
    }

    /// No further execution will come.
    pub fn end(&self, uid: &Uid) {
        self.change(uid, |progress| progress.over = true);
    }

    /// The pod is gone; whoever follows its log comes to the end.
    pub fn remove(&self, uid: &Uid) {
        self.end(uid);
        self.pods.lock().expect("no holder panics").remove(uid);
    }

    /// What is known of a pod, and all changes.
    #[must_use]
    pub fn follow(&self, uid: &Uid) -> Option<watch::Receiver<Progress>> {
        self.pods.lock().expect("no holder panics").get(uid).map(watch::Sender::subscribe)
    }

    fn change(&self, uid: &Uid, act: impl FnOnce(&mut Progress)) {
        let mut pods = self.pods.lock().expect("no holder panics");
        pods.entry(uid.clone()).or_default().send_modify(act);
    }
}
