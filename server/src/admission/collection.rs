//! Deleting what a selection finds: a list and a delete of each, one page at a time.

use std::cell::RefCell;

use boss_proto::{
    key::Key,
    kind::Kind,
    limits::{COMMAND_BYTES_MAX, DELETE_COLLECTION_MAX},
    raft::v1::Operation,
    selector::Selector,
    v1::{DeleteCollectionRequest, DeleteRequest, Preconditions},
};
use boss_raft::state::{View, rbac::Attributes};
use prost::Message;

use super::{Case, Refusal, Stamp, check_credential, checks};
use crate::auth::Identity;

/// Half of an entry's bound: its own fields come on top.
const BYTES_MAX: usize = COMMAND_BYTES_MAX / 2;

/// One page.
#[derive(Debug)]
pub struct Collection {
    /// What to delete, with the operation that does it.
    pub operations: Vec<(Key, Operation)>,
    /// There is more than fits into this page.
    pub more: bool,
}

/// Finds the next page of what a caller wants to have deleted. Objects whose deletion was asked for are left out: they
/// need no second call.
pub fn collect(
    view: &View,
    identity: &Identity,
    request: &DeleteCollectionRequest,
    stamp: Stamp<'_>,
) -> Result<Collection, Refusal> {
    check_credential(view, identity)?;
    let caller = identity.caller();
    let notes = RefCell::default();
    let dry_run = request.dry_run;
    let case = Case { view, identity, caller: &caller, request_id: None, stamp, dry_run, notes: &notes };
    // What of others it finds or not would tell an agent what it may not know.
    if let Some(node) = identity.node() {
        return Err(Refusal::Forbidden { reason: format!("the agent of node {node} deletes no collections") });
    }
    let (kind, selector) = check(&case, request)?;
    let namespace = (!request.namespace.is_empty()).then_some(&*request.namespace);
    let limit = match usize::try_from(request.limit).unwrap_or(usize::MAX) {
        0 => DELETE_COLLECTION_MAX,
        limit => limit.min(DELETE_COLLECTION_MAX),
    };
    let mut found =
        view.list(kind, namespace).filter(|record| !record.is_terminating() && selector.matches(&record.object));
    let (mut operations, mut bytes) = (Vec::new(), 0);
    for record in found.by_ref() {
        let delete = DeleteRequest {
            key: Some(record.key.to_proto()),
            preconditions: Some(Preconditions { uid: Some(record.uid().to_string()), resource_version: None }),
            grace_period_seconds: request.grace_period_seconds,
            propagation: request.propagation,
            ..DeleteRequest::default()
        };
        let operation = case.delete(delete)?;
        bytes += operation.encoded_len();
        if operations.len() == limit || (bytes > BYTES_MAX && !operations.is_empty()) {
            return Ok(Collection { operations, more: true });
        }
        operations.push((record.key.clone(), operation));
    }
    Ok(Collection { operations, more: false })
}

/// The right to find and to delete them all, and the sense of the request.
fn check(case: &Case<'_>, request: &DeleteCollectionRequest) -> Result<(Kind, Selector), Refusal> {
    let kind: Kind = request.kind.parse().map_err(|error| Refusal::invalid("kind", format!("{error}"), ""))?;
    if !kind.is_namespaced() && !request.namespace.is_empty() {
        return Err(Refusal::invalid("namespace", format!("is set, but {kind} objects live in none"), ""));
    }
    case.authorize(&Attributes::over("list", kind, &request.namespace))?;
    case.authorize(&Attributes::over("delete", kind, &request.namespace))?;
    checks::grace_period(request.grace_period_seconds)?;
    let selector = Selector::parse(kind, &request.label_selector, &request.field_selector)
        .map_err(|error| Refusal::invalid("selector", error.to_string(), ""))?;
    Ok((kind, selector))
}
