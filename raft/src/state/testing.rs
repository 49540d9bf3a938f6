//! A small cluster for tests of the state and of what stores it. Compiled for tests only.

use boss_proto::{
    ids::Revision,
    key::Key,
    kind::Kind,
    object::Resource,
    raft::v1::{Bind, Caller, Command, Create, Delete, Operation, Update, UpdateStatus, operation::Action},
    v1::{self, ObjectMeta, Preconditions, RequestId},
};

use super::{Applied, Limits, Outcome, Position, Record, State, apply};

pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// A registry with an admin, namespace `default`, node `n1` and its agent.
pub(crate) struct Cluster {
    pub(crate) state: State,
    pub(crate) index: u64,
    pub(crate) now_ms: u64,
    /// Every command applied, from index 1 on.
    pub(crate) log: Vec<Command>,
}

pub(crate) fn servers() -> Caller {
    caller("system:scheduler", "system:scheduler", &["system:servers"])
}

pub(crate) fn admin() -> Caller {
    caller("user:admin", "admin", &["system:admins"])
}

pub(crate) fn agent() -> Caller {
    caller("node:n1", "system:node:n1", &["system:nodes"])
}

pub(crate) fn caller(uid: &str, username: &str, groups: &[&str]) -> Caller {
    Caller {
        uid: uid.to_owned(),
        username: username.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..Caller::default()
    }
}

pub(crate) fn meta(namespace: &str, name: &str) -> Option<ObjectMeta> {
    Some(ObjectMeta {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: format!("uid-{namespace}-{name}"),
        ..ObjectMeta::default()
    })
}

pub(crate) fn namespace(name: &str) -> v1::Object {
    v1::Namespace { metadata: meta("", name), ..v1::Namespace::default() }.into_object()
}

pub(crate) fn pod(name: &str) -> v1::Object {
    let spec = v1::PodSpec {
        sandbox_class: "process".to_owned(),
        containers: vec![v1::Container {
            name: "main".to_owned(),
            command: vec!["true".to_owned()],
            ..Default::default()
        }],
        ..Default::default()
    };
    v1::Pod { metadata: meta("default", name), spec: Some(spec), ..Default::default() }.into_object()
}

pub(crate) fn node(name: &str) -> v1::Object {
    let provider = v1::Provider {
        name: "process".to_owned(),
        classes: vec!["process".to_owned()],
        healthy: true,
        concurrency_max: 2,
        ..Default::default()
    };
    let ready = v1::Condition { r#type: "Ready".to_owned(), status: "True".to_owned(), ..Default::default() };
    let resources = v1::ResourceList { cpu: "4".to_owned(), memory: "8Gi".to_owned(), ..Default::default() };
    let status = v1::NodeStatus {
        allocatable: Some(resources),
        runtime_capabilities: Some(v1::RuntimeCapabilities { providers: vec![provider] }),
        conditions: vec![ready],
        ..Default::default()
    };
    v1::Node { metadata: meta("", name), status: Some(status), ..Default::default() }.into_object()
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(Kind::Pod, "default", name)
}

pub(crate) fn create(object: v1::Object) -> Action {
    Action::Create(Create { object: Some(object) })
}

pub(crate) fn update(object: v1::Object) -> Action {
    Action::Update(Update { object: Some(object) })
}

pub(crate) fn update_status(object: v1::Object) -> Action {
    Action::UpdateStatus(UpdateStatus { object: Some(object) })
}

pub(crate) fn delete(key: &Key) -> Action {
    Action::Delete(Delete { key: Some(key.to_proto()), ..Delete::default() })
}

pub(crate) fn proven(key: &Key) -> Action {
    Action::Delete(Delete { key: Some(key.to_proto()), absence_proven: true, ..Delete::default() })
}

pub(crate) fn bind(name: &str, node: &str) -> Action {
    Action::Bind(Bind {
        pod: Some(key(name).to_proto()),
        pod_uid: format!("uid-default-{name}"),
        node_name: node.to_owned(),
        provider: "process".to_owned(),
        reason: "only node".to_owned(),
    })
}

pub(crate) fn request(seen: u64, nonce: u8) -> Option<RequestId> {
    Some(RequestId { seen_revision: seen, nonce: vec![nonce; 16].into() })
}

pub(crate) fn pinned_uid(uid: &str) -> Option<Preconditions> {
    Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None })
}

pub(crate) fn pinned_revision(revision: Revision) -> Option<Preconditions> {
    Some(Preconditions { uid: None, resource_version: Some(revision.0) })
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        let mut cluster = Self { state: State::with_limits(limits), index: 0, now_ms: START_MS, log: Vec::new() };
        let everything = v1::PolicyRule {
            verbs: vec!["*".to_owned()],
            resources: vec!["*".to_owned(), "*/*".to_owned()],
            ..Default::default()
        };
        let role = v1::ClusterRole { metadata: meta("", "admin"), rules: vec![everything], ..Default::default() };
        cluster.must(servers(), create(namespace("default")));
        cluster.must(servers(), create(role.into_object()));
        cluster.must(servers(), create(binding("admins", "system:admins")));
        cluster.must(servers(), create(binding("nodes", "system:nodes")));
        cluster.must(servers(), create(node("n1")));
        cluster
    }

    /// The operation as admission would propose it now.
    pub(crate) fn admitted(&self, caller: Caller, action: Action) -> Operation {
        let mut operation = Operation { caller: Some(caller), action: Some(action), ..Operation::default() };
        if let Ok(key) = crate::state::decide::key_of(&operation) {
            operation.admission_epoch = self.state.admission_epoch(&key.namespace);
            operation.admitted_revision = self.state.get(&key).map_or(0, |record| record.revision.0);
        }
        operation
    }

    pub(crate) fn apply_all(&mut self, operations: Vec<Operation>) -> Applied {
        self.index += 1;
        let command = Command { format: 1, proposed_at_ms: self.now_ms, operations };
        self.log.push(command.clone());
        apply(&mut self.state, Position { term: 1, index: self.index }, &command)
    }

    pub(crate) fn apply(&mut self, operation: Operation) -> Outcome {
        self.apply_all(vec![operation]).outcomes.remove(0)
    }

    pub(crate) fn act(&mut self, caller: Caller, action: Action) -> Outcome {
        let operation = self.admitted(caller, action);
        self.apply(operation)
    }

    /// A write that has to work; the record it leaves.
    pub(crate) fn must(&mut self, caller: Caller, action: Action) -> Record {
        match self.act(caller, action) {
            Outcome::Written { record, .. } | Outcome::Deleted { record, .. } => (*record).clone(),
            other => panic!("expected a write, got {other:?}"),
        }
    }

    pub(crate) fn bound_pod(&mut self, name: &str) -> Record {
        self.must(admin(), create(pod(name)));
        self.must(servers(), bind(name, "n1"))
    }
}

pub(crate) fn binding(name: &str, group: &str) -> v1::Object {
    let subject = v1::Subject { kind: "Group".to_owned(), name: group.to_owned(), ..Default::default() };
    let role_ref = v1::RoleRef { kind: "ClusterRole".to_owned(), name: "admin".to_owned() };
    v1::ClusterRoleBinding {
        metadata: meta("", name),
        role_ref: Some(role_ref),
        subjects: vec![subject],
        ..Default::default()
    }
    .into_object()
}

/// Username of a caller whose operations panic when they are decided.
pub(crate) const PANICKING: &str = "panics";

/// Stands for a bug in a rule.
pub(crate) fn panic_if_asked(caller: &Caller) {
    assert!(caller.username != PANICKING, "a test asked for it");
}
