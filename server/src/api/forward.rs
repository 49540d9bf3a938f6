//! What servers do for each other besides consensus. Behind the gate of the listener for servers.

use std::{pin::Pin, sync::Arc};

use boss_proto::{
    ids::{NodeName, ServerId},
    peer::v1::{
        DescribeRequest, ForwardLogsRequest, ForwardedOutcome, ForwardedOutcomes, ForwardedStreamWrites,
        ForwardedWrite, ForwardedWrites, HeartbeatBatch, HeartbeatConfirmation, LocateRequest, LocateResponse,
        ProveSealingKeyRequest, ProveSealingKeyResponse, RenewServerRequest, RenewServerResponse, SignNodeRequest,
        SignNodeResponse, SignServerRequest, SignServerResponse, TakeSnapshotRequest, TakeSnapshotResponse,
        forward_server::Forward, forwarded_stream_writes::Body,
    },
    v1::{LogRecord, ServerStatus, WriteStreamResponse},
};
use boss_raft::Handle;
use futures_util::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::{Error, cluster::describe, gate::CallingServer, status::to_status};
use crate::{
    auth,
    members::Members,
    sealing::Vault,
    sessions::Sessions,
    writes::{self, Writes},
};

/// Serves the other servers.
#[derive(Clone)]
pub struct ForwardService(ForwardParts);

/// What the service stands on.
#[derive(Clone)]
pub struct ForwardParts {
    /// Writes of clients.
    pub writes: Writes,
    /// The registry.
    pub raft: Handle,
    /// Sessions of nodes.
    pub sessions: Arc<Sessions>,
    /// The cluster's own members.
    pub members: Members,
    /// Shows which sealing keys this server holds.
    pub vault: Vault,
}

impl ForwardService {
    /// The service of one server.
    #[must_use]
    pub fn new(parts: ForwardParts) -> Self {
        Self(parts)
    }
}

fn calling_server<T>(request: &Request<T>) -> Result<CallingServer, Error> {
    request.extensions().get::<CallingServer>().copied().ok_or_else(|| auth::Error::Missing.into())
}

fn check_sender(said: u64, caller: ServerId) -> Result<(), Error> {
    if said == caller.0 {
        return Ok(());
    }
    Err(Error::invalid("fromServer", format!("is {said}, but the connection is of server {caller}"), ""))
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Forward for ForwardService {
    type HeartbeatsStream = Answers<HeartbeatConfirmation>;
    type LogsStream = Answers<LogRecord>;
    type WriteStreamStream = Answers<WriteStreamResponse>;
    type WritesStream = Answers<ForwardedOutcomes>;

    async fn writes(
        &self,
        request: Request<Streaming<ForwardedWrites>>,
    ) -> Result<Response<Self::WritesStream>, Status> {
        let CallingServer(caller) = calling_server(&request)?;
        let writes = request.into_inner().map(move |message| match message {
            Ok(writes) if writes.from_server == caller.0 => Ok(writes),
            Ok(_) => Err(writes::Error::BadMessage("the writes are of another server than the connection".to_owned())),
            Err(status) => Err(writes::Error::BadMessage(format!("the stream broke off: {}", status.message()))),
        });
        let answers = self.0.writes.handle_forwarded_many(writes);
        Ok(Response::new(Box::pin(answers.map(|answer| answer.map_err(|error| to_status(&error.into()))))))
    }

    async fn write_stream(
        &self,
        request: Request<Streaming<ForwardedStreamWrites>>,
    ) -> Result<Response<Self::WriteStreamStream>, Status> {
        let CallingServer(caller) = calling_server(&request)?;
        let mut input = request.into_inner();
        let Some(ForwardedStreamWrites { body: Some(Body::Opening(opening)) }) = input.message().await? else {
            return Err(Error::invalid("opening", "is missing", "").into());
        };
        check_sender(opening.from_server, caller)?;
        let writes = input.map(|message| match message {
            Ok(ForwardedStreamWrites { body: Some(Body::Writes(writes)) }) => Ok(writes),
            Ok(_) => Err(writes::Error::BadMessage("a stream of writes is opened once".to_owned())),
            Err(status) => Err(writes::Error::BadMessage(format!("the stream broke off: {}", status.message()))),
        });
        let answers = self.0.writes.handle_forwarded_stream(opening, writes).map_err(Error::from)?;
        Ok(Response::new(Box::pin(answers.map(|answer| answer.map_err(|error| to_status(&error.into()))))))
    }

    async fn write(&self, request: Request<ForwardedWrite>) -> Result<Response<ForwardedOutcome>, Status> {
        let CallingServer(caller) = calling_server(&request)?;
        let forwarded = request.into_inner();
        check_sender(forwarded.from_server, caller)?;
        Ok(Response::new(self.0.writes.handle_forwarded(forwarded).await))
    }

    async fn heartbeats(
        &self,
        request: Request<Streaming<HeartbeatBatch>>,
    ) -> Result<Response<Self::HeartbeatsStream>, Status> {
        let CallingServer(caller) = calling_server(&request)?;
        Ok(Response::new(Box::pin(self.0.sessions.heartbeats(caller, request.into_inner())?)))
    }

    async fn locate(&self, request: Request<LocateRequest>) -> Result<Response<LocateResponse>, Status> {
        calling_server(&request)?;
        let node = NodeName::from(request.into_inner().node_name);
        let server = self.0.sessions.locate(&node)?;
        Ok(Response::new(LocateResponse { server_id: server.unwrap_or_default().0 }))
    }

    async fn logs(&self, request: Request<ForwardLogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        calling_server(&request)?;
        Ok(Response::new(Box::pin(self.0.sessions.forwarded_logs(request.into_inner()).await?)))
    }

    async fn describe(&self, request: Request<DescribeRequest>) -> Result<Response<ServerStatus>, Status> {
        calling_server(&request)?;
        Ok(Response::new(describe(&self.0.raft, &self.0.members)))
    }

    async fn cluster(&self, request: Request<ForwardedWrite>) -> Result<Response<ForwardedOutcome>, Status> {
        let CallingServer(caller) = calling_server(&request)?;
        let forwarded = request.into_inner();
        check_sender(forwarded.from_server, caller)?;
        Ok(Response::new(self.0.members.handle_forwarded(forwarded).await))
    }

    async fn sign_server(&self, request: Request<SignServerRequest>) -> Result<Response<SignServerResponse>, Status> {
        calling_server(&request)?;
        let certificate_pem = self.0.members.sign_joined(request.get_ref()).await?;
        Ok(Response::new(SignServerResponse { certificate_pem }))
    }

    async fn sign_node(&self, request: Request<SignNodeRequest>) -> Result<Response<SignNodeResponse>, Status> {
        calling_server(&request)?;
        let certificate_pem = self.0.members.sign_node(request.get_ref()).await?;
        Ok(Response::new(SignNodeResponse { certificate_pem }))
    }

    async fn renew_server(
        &self,
        request: Request<RenewServerRequest>,
    ) -> Result<Response<RenewServerResponse>, Status> {
        let CallingServer(caller) = calling_server(&request)?;
        let certificate_pem = self.0.members.sign_renewal(caller, &request.get_ref().certificate_request).await?;
        Ok(Response::new(RenewServerResponse { certificate_pem }))
    }

    async fn prove_sealing_key(
        &self,
        request: Request<ProveSealingKeyRequest>,
    ) -> Result<Response<ProveSealingKeyResponse>, Status> {
        calling_server(&request)?;
        Ok(Response::new(self.0.vault.prove(self.0.raft.server_id(), request.get_ref())))
    }

    async fn take_snapshot(
        &self,
        request: Request<TakeSnapshotRequest>,
    ) -> Result<Response<TakeSnapshotResponse>, Status> {
        calling_server(&request)?;
        self.0.raft.take_snapshot().await.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Response::new(TakeSnapshotResponse {}))
    }
}
