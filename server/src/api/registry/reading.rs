//! Gets, lists and watches: from message to query, and from stored bytes to answer.

use std::{pin::Pin, sync::Arc};

use boss_proto::{
    encoded::{GetResponse, ListResponse, WatchBody, WatchEvent, WatchResponse},
    ids::Revision,
    key::Key,
    kind::Kind,
    v1::{Bookmark, Consistency as WireConsistency, GetRequest, ListRequest, WatchRequest},
};
use futures_util::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::super::{Error, status::to_status};
use crate::{
    admission::Refusal,
    auth::Identity,
    reads::{self, Consistency, Delivery, GetQuery, ListQuery, Reads, WatchQuery},
};

/// What an open watch sends.
pub(super) type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

pub(super) async fn get(reads: &Reads, identity: &Identity, request: GetRequest) -> Result<GetResponse, Error> {
    let consistency = Consistency::from_proto(request.consistency(), request.min_revision);
    let key = request.key.ok_or_else(|| Error::invalid("key", "is missing", "name the object"))?;
    let key = Key::try_from(&key).map_err(|bad| Error::invalid(format!("key.{}", bad.field), bad.problem, ""))?;
    let query = GetQuery { key, consistency, at: request.at_revision.map(Revision) };
    let (record, revision) = reads.get(identity, query).await?;
    Ok(GetResponse { object: reads.shown(&record)?, revision: revision.0 })
}

pub(super) async fn list(reads: &Reads, identity: &Arc<Identity>, request: ListRequest) -> Result<ListResponse, Error> {
    let page = reads.list(identity, list_query(request)?).await?;
    let items = page.items.iter().map(|record| reads.shown(record)).collect::<Result<_, _>>()?;
    Ok(ListResponse { items, revision: page.revision.0, next_page_token: page.next })
}

/// Ends with an error when `stopping` is cancelled, so that the client moves on.
pub(super) async fn watch(
    reads: &Reads,
    identity: Arc<Identity>,
    request: WatchRequest,
    stopping: CancellationToken,
) -> Result<WatchStream, Error> {
    let watch = reads.watch(identity, watch_query(request)?).await?;
    let shows = reads.clone();
    let deliveries = watch.map(move |delivery| {
        delivery.and_then(|delivery| to_message(&shows, delivery)).map_err(|error| to_status(&error.into()))
    });
    let stopped = to_status(&reads::Error::ShuttingDown.into());
    let goodbye = futures_util::stream::once(std::future::ready(Err(stopped)));
    Ok(Box::pin(deliveries.take_until(stopping.cancelled_owned()).chain(goodbye)))
}

fn list_query(request: ListRequest) -> Result<ListQuery, Refusal> {
    let consistency = Consistency::from_proto(request.consistency(), request.min_revision);
    let at = request.at_revision.map(Revision);
    let ListRequest { kind, namespace, label_selector, field_selector, limit, page_token, .. } = request;
    let (kind, selector) = reads::parse_selection(&kind, &label_selector, &field_selector)?;
    let namespace = check_namespace(kind, namespace)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(ListQuery { kind, namespace, selector, limit, page_token, consistency, at })
}

fn watch_query(request: WatchRequest) -> Result<WatchQuery, Refusal> {
    let WatchRequest { kind, namespace, label_selector, field_selector, from_revision, name } = request;
    let (kind, selector) = reads::parse_selection(&kind, &label_selector, &field_selector)?;
    let namespace = check_namespace(kind, namespace)?;
    let name = (!name.is_empty()).then_some(name);
    Ok(WatchQuery { kind, namespace, name, selector, from: from_revision.map(Revision) })
}

fn check_namespace(kind: Kind, namespace: String) -> Result<Option<String>, Refusal> {
    match (namespace.is_empty(), kind.is_namespaced()) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(namespace)),
        (false, false) => Err(Refusal::invalid("namespace", format!("is set, but {kind} objects live in none"), "")),
    }
}

fn to_message(reads: &Reads, delivery: Delivery) -> Result<WatchResponse, reads::Error> {
    let body = match delivery {
        Delivery::Event { kind, record, revision } => {
            let object = reads.shown(&record)?;
            WatchBody::Event(WatchEvent { r#type: kind.into(), object, revision: revision.0 })
        }
        Delivery::Bookmark { revision, initial_list_end } => {
            WatchBody::Bookmark(Bookmark { revision: revision.0, initial_list_end })
        }
    };
    Ok(WatchResponse { body: Some(body) })
}

/// Lists and watches as they travel, with their selectors, page tokens and revisions to go on from. For fuzzers.
#[cfg(any(test, fuzzing))]
pub fn fuzz_requests(input: &[u8]) {
    use prost::Message;
    if let Ok(request) = ListRequest::decode(input) {
        drop(list_query(request));
    }
    if let Ok(request) = WatchRequest::decode(input) {
        drop(watch_query(request));
    }
}

// Only the linearizable and local words exist; a number that is neither reads as the stricter one.
const _: () = assert!(WireConsistency::Linearizable as i32 == 0);
