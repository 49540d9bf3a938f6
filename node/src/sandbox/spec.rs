//! What a sandbox is made from, independent of who runs it. Knows no wire types and no disk.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use boss_proto::ids::Uid;

/// One execution of one pod: the pod's uid and the number of the attempt, from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SandboxId {
    /// Uid of the pod.
    pub uid: String,
    /// Which execution of it.
    pub attempt: u32,
}

impl SandboxId {
    /// The execution `attempt` of the pod `uid`.
    pub fn new(uid: &Uid, attempt: u32) -> Self {
        Self { uid: uid.as_str().to_owned(), attempt }
    }

    /// Uid of the pod, typed.
    #[must_use]
    pub fn pod_uid(&self) -> Uid {
        Uid::new(&*self.uid)
    }

    /// The folder of this sandbox below a provider's root.
    #[must_use]
    pub fn relative_dir(&self) -> PathBuf {
        PathBuf::from(&self.uid).join(self.attempt.to_string())
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.uid, self.attempt)
    }
}

/// What tells one execution from every other: carried by everything that it leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Uid of the pod.
    pub uid: String,
    /// Generation of the pod's spec that was started.
    pub generation: u32,
    /// Which execution.
    pub attempt: u32,
}

/// Everything that a provider needs to run one execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Which execution.
    pub id: SandboxId,
    /// Generation of the pod's spec.
    pub generation: u32,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Name of the container.
    pub container: String,
    /// The program, looked up in the sandbox's own PATH when it has no slash.
    pub program: String,
    /// Its arguments, without its own name.
    pub args: Vec<String>,
    /// The environment but for what is given, in order; the last of equal names counts.
    pub env: Vec<(String, String)>,
    /// Names of the variables that are given at the start: their values are written nowhere.
    #[serde(default)]
    pub given: Vec<String>,
    /// Where it starts; the provider's choice when absent.
    pub working_dir: Option<String>,
    /// Limits of getrlimit(2).
    pub rlimits: Vec<Rlimit>,
    /// Limits of the whole process tree.
    pub limits: Limits,
    /// When to start it again.
    pub restart_policy: String,
    /// Consecutive quick failures before this execution; an agent that adopts it backs off from here.
    pub failures_before: u32,
}

impl Spec {
    /// The fence of this execution.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence { uid: self.id.uid.clone(), generation: self.generation, attempt: self.id.attempt }
    }
}

/// One limit of getrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Its name without prefix, lower case: `nofile`.
    pub resource: String,
    /// The limit that applies.
    pub soft: u64,
    /// How far the sandbox may raise it.
    pub hard: u64,
}

/// Limits of a process tree; absent means none was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Thousandths of a core it may use.
    pub cpu_millis_max: Option<u64>,
    /// Thousandths of a core that it asked for; its weight when cores are short.
    pub cpu_millis_requested: Option<u64>,
    /// Bytes of memory.
    pub memory_bytes_max: Option<u64>,
    /// Processes and threads.
    pub tasks_max: Option<u64>,
}

impl Limits {
    /// Whether nothing was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
