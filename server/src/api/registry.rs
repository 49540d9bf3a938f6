//! The generic service over all kinds.

mod audited;
mod reading;

use std::{pin::Pin, sync::Arc};

use boss_base::clock::Clock;
use boss_proto::{
    WARNING_HEADER,
    encoded::{DeleteResponse, GetResponse, ListResponse, WriteResponse, registry_server::Registry},
    v1::{
        ApplyRequest, CreateRequest, DeleteCollectionRequest, DeleteCollectionResponse, DeleteRequest, GetRequest,
        ListRequest, Object, ObjectKey, PatchRequest, TxnRequest, TxnResponse, UpdateRequest, WatchRequest,
        WriteStreamRequest, WriteStreamResponse,
    },
};
use futures_util::{FutureExt, Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, metadata::BinaryMetadataValue};

#[cfg(any(test, fuzzing))]
pub use self::reading::fuzz_requests;
use self::{audited::Streamed, reading::WatchStream};
use super::{Error, status::to_status};
use crate::{
    admission::{DEFAULT_NAMESPACE, Write},
    audit::{Audit, Subject},
    auth::Identity,
    reads::{self, Reads},
    writes::{self, Answer, Reply, Writes},
};

/// Serves the registry.
#[derive(Clone)]
pub struct RegistryService {
    writes: Writes,
    reads: Reads,
    /// Keeps what is refused within streams; the gate keeps the rest.
    audit: Audit,
    clock: Arc<dyn Clock>,
    /// Cancelled when the server stops: open watches end then, so that their clients move on.
    stopping: CancellationToken,
}

impl RegistryService {
    /// The service over these doors.
    #[must_use]
    pub fn new(writes: Writes, reads: Reads, audit: Audit, clock: Arc<dyn Clock>, stopping: CancellationToken) -> Self {
        Self { writes, reads, audit, clock, stopping }
    }

    async fn write(&self, identity: Arc<Identity>, write: Write) -> Result<Response<WriteResponse>, Error> {
        let Answer { reply, warnings } = self.writes.submit(&identity, write).await?;
        let response = match reply {
            Reply::Written(response) => response,
            // A write that took the last finalizer away: the object is gone with it.
            Reply::Deleted(response) => WriteResponse { object: response.object, revision: response.revision },
            Reply::Txn(_) | Reply::Collected(_) => return Err(wrong_answer()),
        };
        Ok(warning(response, &warnings))
    }
}

type WriteStream = Pin<Box<dyn Stream<Item = Result<WriteStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Registry for RegistryService {
    type WatchStream = WatchStream;
    type WriteStreamStream = WriteStream;

    async fn patch(&self, request: Request<PatchRequest>) -> Result<Response<WriteResponse>, Status> {
        Subject::tell(&request, |write| write.key.as_ref().map(about_key).unwrap_or_default());
        let identity = Identity::of(&request)?;
        Ok(self.write(identity, Write::Patch(request.into_inner())).await?)
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<WriteResponse>, Status> {
        let identity = Identity::of(&request)?;
        Ok(self.write(identity, Write::Apply(request.into_inner())).await?)
    }

    async fn delete_collection(
        &self,
        request: Request<DeleteCollectionRequest>,
    ) -> Result<Response<DeleteCollectionResponse>, Status> {
        let identity = Identity::of(&request)?;
        let write = Write::DeleteCollection(request.into_inner());
        let Answer { reply, warnings } = self.writes.submit(&identity, write).await.map_err(Error::from)?;
        match reply {
            Reply::Collected(response) => Ok(warning(response, &warnings)),
            _ => Err(wrong_answer().into()),
        }
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let identity = Identity::of(&request)?;
        let write = Write::Txn(request.into_inner());
        let Answer { reply, warnings } = self.writes.submit(&identity, write).await.map_err(Error::from)?;
        match reply {
            Reply::Txn(response) => Ok(warning(response, &warnings)),
            _ => Err(wrong_answer().into()),
        }
    }

    async fn write_stream(
        &self,
        request: Request<Streaming<WriteStreamRequest>>,
    ) -> Result<Response<Self::WriteStreamStream>, Status> {
        let identity = Identity::of(&request)?;
        let streamed = Streamed::of(&self.audit, &self.clock, &identity);
        let asked = streamed.clone();
        let input = request.into_inner().map(move |message| {
            let message = message.map_err(|status| broken_input(&status));
            message.inspect(|message| asked.iter().for_each(|streamed| streamed.asked(&message.writes)))
        });
        let answers = self.writes.stream(identity, input).await.map_err(Error::from)?;
        let answers = answers.inspect(move |answer| {
            if let (Some(streamed), Ok(answer)) = (&streamed, answer) {
                streamed.answered(&answer.results);
            }
        });
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
        Subject::tell(&request, |write| about_object(write.object.as_ref()));
        let identity = Identity::of(&request)?;
        Ok(self.write(identity, Write::Create(request.into_inner())).await?)
    }

    async fn update(&self, request: Request<UpdateRequest>) -> Result<Response<WriteResponse>, Status> {
        Subject::tell(&request, |write| about_object(write.object.as_ref()));
        let identity = Identity::of(&request)?;
        Ok(self.write(identity, Write::Update(request.into_inner())).await?)
    }

    async fn update_status(&self, request: Request<UpdateRequest>) -> Result<Response<WriteResponse>, Status> {
        Subject::tell(&request, |write| about_object(write.object.as_ref()));
        let identity = Identity::of(&request)?;
        Ok(self.write(identity, Write::UpdateStatus(request.into_inner())).await?)
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        Subject::tell(&request, |write| write.key.as_ref().map(about_key).unwrap_or_default());
        let identity = Identity::of(&request)?;
        let write = Write::Delete(request.into_inner());
        let Answer { reply, warnings } = self.writes.submit(&identity, write).await.map_err(Error::from)?;
        match reply {
            Reply::Deleted(response) => Ok(warning(response, &warnings)),
            _ => Err(wrong_answer().into()),
        }
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        Subject::tell(&request, |get| get.key.as_ref().map(about_key).unwrap_or_default());
        let identity = Identity::of(&request)?;
        Ok(Response::new(reading::get(&self.reads, &identity, request.into_inner()).await?))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Subject::tell(&request, |list| about_kind(&list.kind, &list.namespace));
        let identity = Identity::of(&request)?;
        Ok(Response::new(reading::list(&self.reads, &identity, request.into_inner()).await?))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<WatchStream>, Status> {
        Subject::tell(&request, |watch| about_kind(&watch.kind, &watch.namespace));
        let identity = Identity::of(&request)?;
        let stopping = self.stopping.clone();
        Ok(Response::new(reading::watch(&self.reads, identity, request.into_inner(), stopping).await?))
    }
}

/// As the audit says it: `Pod/default/web`.
fn about_key(key: &ObjectKey) -> String {
    format!("{}/{}/{}", key.kind, key.namespace, key.name)
}

fn about_kind(kind: &str, namespace: &str) -> String {
    format!("{kind}/{namespace}/*")
}

fn about_object(object: Option<&Object>) -> String {
    let key = object.and_then(Object::key).map(|mut key| {
        // Admission will put it there.
        if key.kind.is_namespaced() && key.namespace.is_empty() {
            DEFAULT_NAMESPACE.clone_into(&mut key.namespace);
        }
        key
    });
    key.map(|key| about_key(&key.to_proto())).unwrap_or_default()
}

fn broken_input(status: &Status) -> writes::Error {
    writes::Error::BadMessage(format!("the stream of writes broke off: {}", status.message()))
}

/// The answer with what policies want the caller to be told.
fn warning<T>(message: T, warnings: &[String]) -> Response<T> {
    let mut response = Response::new(message);
    for warning in warnings {
        response.metadata_mut().append_bin(WARNING_HEADER, BinaryMetadataValue::from_bytes(warning.as_bytes()));
    }
    response
}

fn wrong_answer() -> Error {
    writes::Error::BadMessage("the answer is to another question".to_owned()).into()
}
