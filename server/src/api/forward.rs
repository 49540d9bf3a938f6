//! What servers do for each other besides consensus. Behind the gate of the listener for servers.

use std::{pin::Pin, sync::Arc};

use boss_proto::{
    ids::NodeName,
    peer::v1::{
        DescribeRequest, ForwardLogsRequest, ForwardedOutcome, ForwardedStreamWrites, ForwardedWrite, HeartbeatBatch,
        HeartbeatConfirmation, LocateRequest, LocateResponse, SignServerRequest, SignServerResponse,
        TakeSnapshotRequest, TakeSnapshotResponse, forward_server::Forward, forwarded_stream_writes::Body,
    },
    v1::{LogRecord, ServerStatus, WriteStreamResponse},
};
use boss_raft::Handle;
use futures_util::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::{Error, cluster::describe, gate::CallingServer, status::to_status};
use crate::{
    auth,
    sessions::Sessions,
    writes::{self, Writes},
};

/// Serves the other servers.
#[derive(Clone)]
pub struct ForwardService {
    writes: Writes,
    raft: Handle,
    sessions: Arc<Sessions>,
}

impl ForwardService {
    /// The service of one server.
    #[must_use]
    pub fn new(writes: Writes, raft: Handle, sessions: Arc<Sessions>) -> Self {
        Self { writes, raft, sessions }
    }
}

fn calling_server<T>(request: &Request<T>) -> Result<CallingServer, Error> {
    request.extensions().get::<CallingServer>().copied().ok_or_else(|| auth::Error::Missing.into())
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Forward for ForwardService {
    type HeartbeatsStream = Answers<HeartbeatConfirmation>;
    type LogsStream = Answers<LogRecord>;
    type WriteStreamStream = Answers<WriteStreamResponse>;

    async fn write_stream(
        &self,
        request: Request<Streaming<ForwardedStreamWrites>>,
    ) -> Result<Response<Self::WriteStreamStream>, Status> {
        let CallingServer(caller) = calling_server(&request)?;
        let mut input = request.into_inner();
        let Some(ForwardedStreamWrites { body: Some(Body::Opening(opening)) }) = input.message().await? else {
            return Err(Error::invalid("opening", "is missing", "").into());
        };
        if opening.from_server != caller.0 {
            let problem = format!("is {}, but the connection is of server {caller}", opening.from_server);
            return Err(Error::invalid("fromServer", problem, "").into());
        }
        let writes = input.map(|message| match message {
            Ok(ForwardedStreamWrites { body: Some(Body::Writes(writes)) }) => Ok(writes),
            Ok(_) => Err(writes::Error::BadMessage("a stream of writes is opened once".to_owned())),
            Err(status) => Err(writes::Error::BadMessage(format!("the stream broke off: {}", status.message()))),
        });
        let answers = self.writes.handle_forwarded_stream(opening, writes).map_err(Error::from)?;
        Ok(Response::new(Box::pin(answers.map(|answer| answer.map_err(|error| to_status(&error.into()))))))
    }

    async fn write(&self, request: Request<ForwardedWrite>) -> Result<Response<ForwardedOutcome>, Status> {
        let CallingServer(caller) = calling_server(&request)?;
        let forwarded = request.into_inner();
        if forwarded.from_server != caller.0 {
            let problem = format!("is {}, but the connection is of server {caller}", forwarded.from_server);
            return Err(Error::invalid("fromServer", problem, "").into());
        }
        Ok(Response::new(self.writes.handle_forwarded(forwarded).await))
    }

    async fn heartbeats(
        &self,
        request: Request<Streaming<HeartbeatBatch>>,
    ) -> Result<Response<Self::HeartbeatsStream>, Status> {
        let CallingServer(caller) = calling_server(&request)?;
        Ok(Response::new(Box::pin(self.sessions.heartbeats(caller, request.into_inner())?)))
    }

    async fn locate(&self, request: Request<LocateRequest>) -> Result<Response<LocateResponse>, Status> {
        calling_server(&request)?;
        let node = NodeName::from(request.into_inner().node_name);
        let server = self.sessions.locate(&node)?;
        Ok(Response::new(LocateResponse { server_id: server.unwrap_or_default().0 }))
    }

    async fn logs(&self, request: Request<ForwardLogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        calling_server(&request)?;
        Ok(Response::new(Box::pin(self.sessions.forwarded_logs(request.into_inner()).await?)))
    }

    async fn describe(&self, request: Request<DescribeRequest>) -> Result<Response<ServerStatus>, Status> {
        calling_server(&request)?;
        Ok(Response::new(describe(&self.raft)))
    }

    async fn cluster(&self, _request: Request<ForwardedWrite>) -> Result<Response<ForwardedOutcome>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }

    async fn sign_server(&self, _request: Request<SignServerRequest>) -> Result<Response<SignServerResponse>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }

    async fn take_snapshot(
        &self,
        _request: Request<TakeSnapshotRequest>,
    ) -> Result<Response<TakeSnapshotResponse>, Status> {
        Err(Error::Unimplemented("not in this build yet".to_owned()).into())
    }
}
