//! Which writes a policy looks at. Asked of every write, so nothing is converted for it. Knows no expression.

use std::{collections::BTreeMap, str::FromStr};

use super::compile::Problem;
use crate::{
    kind::Kind,
    selector::LabelSelector,
    v1::{Namespace, Object, PolicyMatch},
};

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is new.
    Create,
    /// It is changed, but for its status.
    Update,
    /// Its status is.
    Status,
    /// It is to go.
    Delete,
}

impl Operation {
    /// As policies write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Status => "status",
            Self::Delete => "delete",
        }
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Create, Self::Update, Self::Status, Self::Delete];
        let found = all.into_iter().find(|operation| operation.as_str() == text);
        found.ok_or_else(|| format!("is {text:?}: use create, update, status or delete"))
    }
}

/// Who writes.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// His name.
    pub username: &'a str,
    /// What he belongs to.
    pub groups: &'a [String],
    /// Whether it is a node or a server.
    pub is_system: bool,
}

/// A write, as policies are asked about it.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// What is done.
    pub operation: Operation,
    /// The object's kind.
    pub kind: Kind,
    /// Its namespace; empty when it has none.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The object as it is to be; `None` when it is to go.
    pub object: Option<&'a Object>,
    /// The object as it stands.
    pub old: Option<&'a Object>,
    /// Its namespace as it stands.
    pub namespace_object: Option<&'a Namespace>,
    /// Who writes.
    pub caller: Caller<'a>,
    /// Whether nothing will come of it.
    pub dry_run: bool,
}

/// Kinds that no policy sees: what takes a policy away must always be possible, and what servers write for themselves
/// must not depend on what users say.
const EXEMPT: [Kind; 4] = [Kind::AdmissionPolicy, Kind::AuditHead, Kind::CertificateSigningRequest, Kind::ControlPlane];

pub(super) struct Matching {
    /// Empty: all.
    kinds: Vec<Kind>,
    operations: Vec<Operation>,
    namespaces: LabelSelector,
    objects: LabelSelector,
    excluded_users: Vec<String>,
    excluded_groups: Vec<String>,
    include_system: bool,
}

impl Matching {
    /// What cannot be read matches more, not less.
    pub(super) fn read(said: &PolicyMatch, problems: &mut Vec<Problem>) -> Self {
        let mut note = |field: String, problem: String| problems.push(Problem { field, problem });
        let mut kinds = Vec::new();
        for (index, text) in said.kinds.iter().enumerate() {
            let field = format!("spec.match.kinds[{index}]");
            match text.parse::<Kind>() {
                Ok(kind) if EXEMPT.contains(&kind) => {
                    note(field, format!("{kind} is seen by no policy, so that no policy can lock everybody out"));
                }
                Ok(kind) => kinds.push(kind),
                Err(error) => note(field, error.to_string()),
            }
        }
        if kinds.len() < said.kinds.len() {
            kinds.clear();
        }
        let mut operations = Vec::new();
        for (index, text) in said.operations.iter().enumerate() {
            match text.parse() {
                Ok(operation) => operations.push(operation),
                Err(problem) => note(format!("spec.match.operations[{index}]"), problem),
            }
        }
        if operations.is_empty() {
            operations = vec![Operation::Create, Operation::Update];
        }
        let mut selector = |field: &str, text: &str| {
            text.parse::<LabelSelector>().unwrap_or_else(|error| {
                note(format!("spec.match.{field}"), error.to_string());
                LabelSelector::default()
            })
        };
        Self {
            kinds,
            operations,
            namespaces: selector("namespaceSelector", &said.namespace_selector),
            objects: selector("objectSelector", &said.object_selector),
            excluded_users: said.excluded_users.clone(),
            excluded_groups: said.excluded_groups.clone(),
            include_system: said.include_system,
        }
    }

    pub(super) fn matches(&self, write: &Write<'_>) -> bool {
        !EXEMPT.contains(&write.kind)
            && (self.kinds.is_empty() || self.kinds.contains(&write.kind))
            && self.operations.contains(&write.operation)
            && self.matches_caller(&write.caller)
            && self.matches_labels(write)
    }

    fn matches_caller(&self, caller: &Caller<'_>) -> bool {
        (self.include_system || !caller.is_system)
            && !self.excluded_users.iter().any(|user| user == caller.username)
            && !self.excluded_groups.iter().any(|group| caller.groups.contains(group))
    }

    fn matches_labels(&self, write: &Write<'_>) -> bool {
        const NONE: &BTreeMap<String, String> = &BTreeMap::new();
        let namespace = write.namespace_object.and_then(|namespace| namespace.metadata.as_ref());
        // Who takes a label off must not get around what asks for it: either form of the object counts.
        let forms = [write.object, write.old].into_iter().flatten();
        let mut labels = forms.map(|object| object.metadata().map_or(NONE, |metadata| &metadata.labels));
        self.namespaces.matches(namespace.map_or(NONE, |metadata| &metadata.labels))
            && (self.objects.requirements.is_empty() || labels.any(|labels| self.objects.matches(labels)))
    }
}
