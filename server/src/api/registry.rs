//! The generic service over all kinds.

use std::{pin::Pin, sync::Arc};

use boss_proto::{
    ids::Revision,
    key::Key,
    v1::{
        ApplyRequest, Bookmark, Consistency as WireConsistency, CreateRequest, DeleteCollectionRequest,
        DeleteCollectionResponse, DeleteRequest, DeleteResponse, GetRequest, GetResponse, ListRequest, ListResponse,
        PatchRequest, TxnRequest, TxnResponse, UpdateRequest, WatchEvent, WatchRequest, WatchResponse, WriteResponse,
        WriteStreamRequest, WriteStreamResponse, registry_server::Registry, watch_response::Body,
    },
};
use futures_util::{FutureExt, Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{Error, status::to_status};
use crate::{
    admission::{Refusal, Write},
    auth::Identity,
    reads::{self, Consistency, Delivery, ListQuery, Reads, WatchQuery},
    writes::{self, Reply, Writes},
};

/// Serves the registry.
#[derive(Clone)]
pub struct RegistryService {
    writes: Writes,
    reads: Reads,
    /// Cancelled when the server stops: open watches end then, so that their clients move on.
    stopping: CancellationToken,
}

impl RegistryService {
    /// The service over these doors.
    #[must_use]
    pub fn new(writes: Writes, reads: Reads, stopping: CancellationToken) -> Self {
        Self { writes, reads, stopping }
    }

    async fn write(&self, identity: Arc<Identity>, write: Write) -> Result<WriteResponse, Error> {
        match self.writes.submit(&identity, write).await? {
            Reply::Written(response) => Ok(response),
            _ => Err(wrong_answer()),
        }
    }

    async fn do_get(&self, identity: &Identity, request: GetRequest) -> Result<GetResponse, Error> {
        let consistency = Consistency::from_proto(request.consistency(), request.min_revision);
        let key = request.key.ok_or_else(|| Error::invalid("key", "is missing", "name the object"))?;
        let key = Key::try_from(&key).map_err(|bad| Error::invalid(format!("key.{}", bad.field), bad.problem, ""))?;
        let (record, revision) = self.reads.get(identity, &key, consistency).await?;
        Ok(GetResponse { object: Some(record.object.clone()), revision: revision.0 })
    }

    async fn do_list(&self, identity: &Arc<Identity>, request: ListRequest) -> Result<ListResponse, Error> {
        let page = self.reads.list(identity, list_query(request)?).await?;
        let items = page.items.iter().map(|record| record.object.clone()).collect();
        Ok(ListResponse { items, revision: page.revision.0, next_page_token: page.next })
    }

    async fn do_watch(&self, identity: Arc<Identity>, request: WatchRequest) -> Result<WatchStream, Error> {
        let watch = self.reads.watch(identity, watch_query(request)?).await?;
        let deliveries = watch.into_stream().map(|delivery| match delivery {
            Ok(delivery) => Ok(to_message(delivery)),
            Err(error) => Err(to_status(&error.into())),
        });
        let stopping = to_status(&reads::Error::ShuttingDown.into());
        let goodbye = futures_util::stream::once(std::future::ready(Err(stopping)));
        Ok(Box::pin(deliveries.take_until(self.stopping.clone().cancelled_owned()).chain(goodbye)))
    }
}

type WriteStream = Pin<Box<dyn Stream<Item = Result<WriteStreamResponse, Status>> + Send>>;
type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Registry for RegistryService {
    type WatchStream = WatchStream;
    type WriteStreamStream = WriteStream;

    async fn patch(&self, request: Request<PatchRequest>) -> Result<Response<WriteResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.write(identity, Write::Patch(request.into_inner())).await?))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<WriteResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.write(identity, Write::Apply(request.into_inner())).await?))
    }

    async fn delete_collection(
        &self,
        request: Request<DeleteCollectionRequest>,
    ) -> Result<Response<DeleteCollectionResponse>, Status> {
        let identity = Identity::of(&request)?;
        let write = Write::DeleteCollection(request.into_inner());
        match self.writes.submit(&identity, write).await.map_err(Error::from)? {
            Reply::Collected(response) => Ok(Response::new(response)),
            _ => Err(wrong_answer().into()),
        }
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let identity = Identity::of(&request)?;
        let write = Write::Txn(request.into_inner());
        match self.writes.submit(&identity, write).await.map_err(Error::from)? {
            Reply::Txn(response) => Ok(Response::new(response)),
            _ => Err(wrong_answer().into()),
        }
    }

    async fn write_stream(
        &self,
        request: Request<Streaming<WriteStreamRequest>>,
    ) -> Result<Response<Self::WriteStreamStream>, Status> {
        let identity = Identity::of(&request)?;
        let input = request.into_inner().map(|message| message.map_err(|status| broken_input(&status)));
        let answers = self.writes.stream(identity, input).await.map_err(Error::from)?;
        let answers = answers.map(|answer| answer.map_err(|error| to_status(&error.into())));
        let stopping = to_status(&reads::Error::ShuttingDown.into());
        // A stream that has come to its end does not hear of the stop.
        let goodbye = self.stopping.clone().cancelled_owned().map(move |()| Err(stopping)).into_stream();
        let ended = futures_util::stream::once(std::future::ready(None));
        let answers = answers.map(Some).chain(ended);
        let both = futures_util::stream::select(answers, goodbye.map(Some));
        let mut failed = false;
        let until_end = both.take_while(|item| std::future::ready(item.is_some())).filter_map(std::future::ready);
        let until_error = until_end.take_while(move |item| {
            let go_on = !failed;
            failed |= item.is_err();
            std::future::ready(go_on)
        });
        Ok(Response::new(Box::pin(until_error)))
    }

    async fn create(&self, request: Request<CreateRequest>) -> Result<Response<WriteResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.write(identity, Write::Create(request.into_inner())).await?))
    }

    async fn update(&self, request: Request<UpdateRequest>) -> Result<Response<WriteResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.write(identity, Write::Update(request.into_inner())).await?))
    }

    async fn update_status(&self, request: Request<UpdateRequest>) -> Result<Response<WriteResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.write(identity, Write::UpdateStatus(request.into_inner())).await?))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        let identity = Identity::of(&request)?;
        let write = Write::Delete(request.into_inner());
        match self.writes.submit(&identity, write).await.map_err(Error::from)? {
            Reply::Deleted(response) => Ok(Response::new(response)),
            _ => Err(wrong_answer().into()),
        }
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.do_get(&identity, request.into_inner()).await?))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.do_list(&identity, request.into_inner()).await?))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<WatchStream>, Status> {
        let identity = Identity::of(&request)?;
        Ok(Response::new(self.do_watch(identity, request.into_inner()).await?))
    }
}

fn broken_input(status: &Status) -> writes::Error {
    writes::Error::BadMessage(format!("the stream of writes broke off: {}", status.message()))
}

fn wrong_answer() -> Error {
    writes::Error::BadMessage("the answer is to another question".to_owned()).into()
}

fn list_query(request: ListRequest) -> Result<ListQuery, Refusal> {
    let consistency = Consistency::from_proto(request.consistency(), request.min_revision);
    let ListRequest { kind, namespace, label_selector, field_selector, limit, page_token, .. } = request;
    let (kind, selector) = reads::parse_selection(&kind, &label_selector, &field_selector)?;
    let namespace = check_namespace(kind, namespace)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(ListQuery { kind, namespace, selector, limit, page_token, consistency })
}

fn watch_query(request: WatchRequest) -> Result<WatchQuery, Refusal> {
    let WatchRequest { kind, namespace, label_selector, field_selector, from_revision, name } = request;
    let (kind, selector) = reads::parse_selection(&kind, &label_selector, &field_selector)?;
    let namespace = check_namespace(kind, namespace)?;
    let name = (!name.is_empty()).then_some(name);
    Ok(WatchQuery { kind, namespace, name, selector, from: from_revision.map(Revision) })
}

fn check_namespace(kind: boss_proto::kind::Kind, namespace: String) -> Result<Option<String>, Refusal> {
    match (namespace.is_empty(), kind.is_namespaced()) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(namespace)),
        (false, false) => Err(Refusal::invalid("namespace", format!("is set, but {kind} objects live in none"), "")),
    }
}

fn to_message(delivery: Delivery) -> WatchResponse {
    let body = match delivery {
        Delivery::Event { kind, record, revision } => {
            Body::Event(WatchEvent { r#type: kind.into(), object: Some(record.object.clone()), revision: revision.0 })
        }
        Delivery::Bookmark { revision, initial_list_end } => {
            Body::Bookmark(Bookmark { revision: revision.0, initial_list_end })
        }
    };
    WatchResponse { body: Some(body) }
}

// Only the linearizable and local words exist; a number that is neither reads as the stricter one.
const _: () = assert!(WireConsistency::Linearizable as i32 == 0);
