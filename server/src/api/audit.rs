//! `boss.v1.Audit`: what this server has kept of who did what. The right is asked for again with each piece, so that a
//! reader who loses it hears nothing more.

use boss_proto::{
    ids::ServerId,
    v1::{ReadAuditRequest, ReadAuditResponse, audit_server},
};
use boss_raft::{Handle, state::rbac::Attributes};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{Error, doors::AUDIT_PATH};
use crate::{
    admission::authorize,
    audit::{Audit, Query, READERS_MAX, Records},
    auth::Identity,
    reads,
};

/// Lines of one answer: far below the bound of a message, whatever they hold.
const LINES_AT_ONCE: usize = 256;

/// Serves the audit of one server.
#[derive(Clone)]
pub struct AuditService {
    id: ServerId,
    raft: Handle,
    audit: Audit,
    /// Cancelled when the server stops: who follows moves on then.
    stopping: CancellationToken,
}

impl AuditService {
    /// The service of one server.
    #[must_use]
    pub fn new(id: ServerId, raft: Handle, audit: Audit, stopping: CancellationToken) -> Self {
        Self { id, raft, audit, stopping }
    }

    fn check(&self, identity: &Identity) -> Result<(), Error> {
        Ok(authorize(&self.raft.view(), identity, &Attributes::path("get", AUDIT_PATH))?)
    }

    fn open(&self, asked: ReadAuditRequest) -> Result<Records, Error> {
        if !self.audit.is_on() {
            let problem = format!("server {} keeps no audit: its configuration says audit.level = \"none\"", self.id);
            return Err(Error::Precondition(problem));
        }
        let ReadAuditRequest { after, last, follow, filter } = asked;
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        let query = Query { after, last, follow, filter: filter.unwrap_or_default() };
        let full = || Error::Exhausted(format!("{READERS_MAX} callers read this server's audit already"));
        self.audit.records(query).ok_or_else(full)
    }

    /// The next piece, as messages.
    async fn next(&self, identity: &Identity, records: &mut Records) -> Result<Option<Vec<ReadAuditResponse>>, Error> {
        let lines = tokio::select! {
            () = self.stopping.cancelled() => return Err(reads::Error::ShuttingDown.into()),
            lines = records.next() => lines,
        };
        let unreadable = |error| Error::Unavailable(format!("the audit of server {} cannot be read: {error}", self.id));
        let Some(lines) = lines.map_err(unreadable)? else { return Ok(None) };
        self.check(identity)?;
        let chain = self.audit.state().unwrap_or_default().chain;
        let message =
            |lines: &[String]| ReadAuditResponse { server_id: self.id.0, chain: chain.clone(), lines: lines.to_vec() };
        Ok(Some(lines.chunks(LINES_AT_ONCE).map(message).collect()))
    }
}

#[tonic::async_trait]
impl audit_server::Audit for AuditService {
    type ReadStream = BoxStream<'static, Result<ReadAuditResponse, Status>>;

    async fn read(&self, request: Request<ReadAuditRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let identity = Identity::of(&request).map_err(Error::from)?;
        // Linearizable where that is possible: a right that was withdrawn must not count on a server that lags. Without
        // a leader the audit is what tells why.
        let _ = self.raft.linearizable().await;
        self.check(&identity)?;
        let records = self.open(request.into_inner())?;
        let service = self.clone();
        let pieces = stream::try_unfold((service, identity, records), |(service, identity, mut records)| async move {
            let piece = service.next(&identity, &mut records).await.map_err(Status::from)?;
            Ok::<_, Status>(piece.map(|piece| (piece, (service, identity, records))))
        });
        let messages = pieces.flat_map(|piece| match piece {
            Ok(messages) => stream::iter(messages.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(status) => stream::iter(vec![Err(status)]),
        });
        Ok(Response::new(messages.boxed()))
    }
}
