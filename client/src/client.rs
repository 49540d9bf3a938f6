//! The client: calls on objects of any kind, and questions about oneself. Retries are elsewhere.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use boss_base::clock::Clock;
use boss_proto::{
    WARNING_HEADER,
    ids::{Revision, Uid},
    key::Key,
    kind::Kind,
    limits::MESSAGE_BYTES_MAX,
    object::Resource,
    v1::{self, RequestId, auth_client::AuthClient, pods_client::PodsClient, registry_client::RegistryClient},
};
use tokio::sync::Notify;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap, transport::Channel};

use crate::{
    Api, Config, Deadlines, Error, Session, Watch,
    budget::RetryBudget,
    call::{Answer, Call, CallFailed},
    config::OnWarning,
    credentials::Shown,
    error::Detail,
    servers::Servers,
};

/// Lists whose pages expire under us start again this often before they give up.
const LIST_RESTARTS_MAX: usize = 3;
/// A client that has seen nothing yet learns from a refusal what to have seen, while the registry moves on.
const REQUEST_RENEWALS_MAX: usize = 3;

/// A connection to a cluster. Clones share it.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    deadlines: Deadlines,
}

pub(crate) struct Shared {
    pub(crate) servers: Servers,
    pub(crate) shown: Shown,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) retries: RetryBudget,
    /// A whole round of servers has failed somebody.
    pub(crate) trouble: Notify,
    /// The highest revision in any answer.
    seen: AtomicU64,
    on_warning: Option<OnWarning>,
}

impl Shared {
    /// Tells what policies say about a write that was let through.
    pub(crate) fn warn<W: AsRef<str>>(&self, warnings: impl IntoIterator<Item = W>) {
        let Some(tell) = &self.on_warning else { return };
        warnings.into_iter().for_each(|warning| tell(warning.as_ref()));
    }

    pub(crate) fn warn_of(&self, metadata: &MetadataMap) {
        let headers = metadata.get_all_bin(WARNING_HEADER).iter().filter_map(|value| value.to_bytes().ok());
        self.warn(headers.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
    }
}

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Read {
    /// Sees every write that was acknowledged before.
    #[default]
    Linearizable,
    /// What the server at hand has, at this revision or later. Costs the cluster nothing.
    Local {
        /// At least this revision.
        at_least: Revision,
    },
    /// The registry as it was after this revision, as far as its history reaches back. Rights are those of now.
    At(Revision),
}

impl Read {
    fn to_proto(self) -> (i32, u64) {
        match self {
            Self::Linearizable => (v1::Consistency::Linearizable.into(), 0),
            Self::Local { at_least } => (v1::Consistency::Local.into(), at_least.0),
            Self::At(_) => (v1::Consistency::Linearizable.into(), 0),
        }
    }

    fn at_revision(self) -> Option<u64> {
        match self {
            Self::At(revision) => Some(revision.0),
            Self::Linearizable | Self::Local { .. } => None,
        }
    }
}

/// Which objects a list or a watch is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What they are.
    pub kind: Kind,
    /// Where they are; empty means everywhere.
    pub namespace: String,
    /// Like `app=web,tier!=db`; empty selects all.
    pub labels: String,
    /// Like `spec.nodeName=n1`; empty selects all.
    pub fields: String,
    /// One object only; for watches.
    pub name: String,
}

impl Query {
    /// All objects of a kind.
    #[must_use]
    pub fn all(kind: Kind) -> Self {
        let empty = String::new;
        Self { kind, namespace: empty(), labels: empty(), fields: empty(), name: empty() }
    }

    /// Those of one namespace.
    #[must_use]
    pub fn in_namespace(self, namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), ..self }
    }

    /// Those with such labels.
    #[must_use]
    pub fn labels(self, selector: impl Into<String>) -> Self {
        Self { labels: selector.into(), ..self }
    }

    /// Those with such fields.
    #[must_use]
    pub fn fields(self, selector: impl Into<String>) -> Self {
        Self { fields: selector.into(), ..self }
    }

    /// The one of this name; for watches.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }
}

/// A list of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    /// In key order.
    pub objects: Vec<v1::Object>,
    /// The registry's revision at that moment: a watch after it misses nothing.
    pub revision: Revision,
}

/// How to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Only this very object.
    pub uid: Option<Uid>,
    /// Only in this version.
    pub resource_version: Option<Revision>,
    /// Instead of the pod's own grace period.
    pub grace_period_seconds: Option<u32>,
    /// For agents: the sandbox is provably gone.
    pub absence_proven: bool,
    /// What becomes of the objects that name this one as their owner.
    pub propagation: v1::Propagation,
    /// Do everything but the commit.
    pub dry_run: bool,
}

/// What a deletion led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Deleted {
    /// The object as it was, or as it stands with a deletion timestamp.
    pub object: v1::Object,
    /// Of the deletion.
    pub revision: Revision,
    /// Whether it is away; else something must still happen first.
    pub gone: bool,
}

impl Client {
    /// A client that connects when it is first used. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// When the configuration cannot work: no server, unreadable or unusable certificates or token.
    pub fn connect(config: Config) -> Result<Self, Error> {
        let shown = Shown::load(&config)?;
        let servers = Servers::new(&config, &shown)?;
        let retries = RetryBudget::default();
        let (trouble, seen) = (Notify::new(), AtomicU64::new(0));
        let shared =
            Shared { servers, shown, clock: config.clock, retries, trouble, seen, on_warning: config.on_warning };
        Ok(Self { shared: Arc::new(shared), deadlines: config.deadlines })
    }

    /// The same connection with other deadlines.
    #[must_use]
    pub fn with_deadlines(&self, deadlines: Deadlines) -> Self {
        Self { shared: Arc::clone(&self.shared), deadlines }
    }

    /// Calls with the type of one kind. `namespace` is empty for cluster-scoped kinds, and means all in lists.
    #[must_use]
    pub fn api<K: Resource>(&self, namespace: impl Into<String>) -> Api<K> {
        Api::new(self.clone(), namespace.into())
    }

    /// Creates an object; the answer has what the server filled in.
    pub async fn create(&self, object: v1::Object) -> Result<v1::Object, Error> {
        let make = |id| v1::CreateRequest { object: Some(object.clone()), request_id: Some(id), ..Default::default() };
        let answer =
            self.write(make, |channel, request| async move { registry(channel).create(request).await }).await?;
        self.written(answer)
    }

    /// Replaces an object, except for its status. A `resource_version` in it is a precondition.
    pub async fn update(&self, object: v1::Object) -> Result<v1::Object, Error> {
        let make = |id| v1::UpdateRequest { object: Some(object.clone()), request_id: Some(id), ..Default::default() };
        let answer =
            self.write(make, |channel, request| async move { registry(channel).update(request).await }).await?;
        self.written(answer)
    }

    /// Replaces an object's status alone. A `resource_version` in it is a precondition.
    pub async fn update_status(&self, object: v1::Object) -> Result<v1::Object, Error> {
        let make = |id| v1::UpdateRequest { object: Some(object.clone()), request_id: Some(id), ..Default::default() };
        let answer =
            self.write(make, |channel, request| async move { registry(channel).update_status(request).await }).await?;
        self.written(answer)
    }

    /// Deletes an object, or asks for it when something must happen first.
    pub async fn delete(&self, key: &Key, options: &DeleteOptions) -> Result<Deleted, Error> {
        let make = |id| delete_request(key, options, id);
        let answer =
            self.write(make, |channel, request| async move { registry(channel).delete(request).await }).await?;
        self.saw(answer.revision);
        let object = answer.object.ok_or_else(|| incomplete("a deletion without its object"))?;
        Ok(Deleted { object, revision: Revision(answer.revision), gone: answer.gone })
    }

    /// One object, linearizably.
    pub async fn get(&self, key: &Key) -> Result<v1::Object, Error> {
        self.get_at(key, Read::Linearizable).await
    }

    /// One object, as fresh as `read` demands.
    pub async fn get_at(&self, key: &Key, read: Read) -> Result<v1::Object, Error> {
        let (consistency, min_revision) = read.to_proto();
        let request =
            v1::GetRequest { key: Some(key.to_proto()), consistency, min_revision, at_revision: read.at_revision() };
        let answer = self.ask(request, |channel, request| async move { registry(channel).get(request).await }).await?;
        self.saw(answer.revision);
        answer.object.ok_or_else(|| incomplete("an answer without its object"))
    }

    /// All objects of a query at one moment, however many pages that takes.
    pub async fn list(&self, query: &Query) -> Result<Objects, Error> {
        self.list_at(query, Read::Linearizable).await
    }

    /// Like [`Client::list`], as fresh as `read` demands.
    pub async fn list_at(&self, query: &Query, read: Read) -> Result<Objects, Error> {
        let mut restarts = 0;
        loop {
            match self.list_pages(query, read).await {
                // The moment of the first page is no longer kept: begin with a new one.
                Err(Error::Expired { .. }) if restarts < LIST_RESTARTS_MAX && read.at_revision().is_none() => {
                    restarts += 1
                }
                result => return result,
            }
        }
    }

    async fn list_pages(&self, query: &Query, read: Read) -> Result<Objects, Error> {
        let mut request = list_request(query, read);
        let mut objects = Vec::new();
        loop {
            let send = |channel, request| async move { registry(channel).list(request).await };
            let page = self.ask(request.clone(), send).await?;
            self.saw(page.revision);
            objects.extend(page.items);
            if page.next_page_token.is_empty() {
                return Ok(Objects { objects, revision: Revision(page.revision) });
            }
            request.page_token = page.next_page_token;
        }
    }

    /// A watch that begins with the whole list and then goes on for as long as it is asked.
    #[must_use]
    pub fn watch(&self, query: Query) -> Watch {
        Watch::new(Arc::clone(&self.shared), self.deadlines, query, None)
    }

    /// A watch of everything after `revision`.
    #[must_use]
    pub fn watch_after(&self, query: Query, revision: Revision) -> Watch {
        Watch::new(Arc::clone(&self.shared), self.deadlines, query, Some(revision))
    }

    /// The log of a pod. The stream ends with an error when its server goes away.
    pub async fn logs(&self, request: v1::LogsRequest) -> Result<Streaming<v1::LogRecord>, Error> {
        let send = |channel, request| async move {
            PodsClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX).logs(request).await
        };
        self.open(request, send).await
    }

    /// Who the cluster takes us for.
    pub async fn who_am_i(&self) -> Result<v1::WhoAmIResponse, Error> {
        let send = |channel, request| async move { AuthClient::new(channel).who_am_i(request).await };
        self.ask(v1::WhoAmIRequest {}, send).await
    }

    /// Whether we may do something.
    pub async fn can_i(&self, request: v1::CanIRequest) -> Result<v1::CanIResponse, Error> {
        self.ask(request, |channel, request| async move { AuthClient::new(channel).can_i(request).await }).await
    }

    /// Everything that we may do in a namespace; in an empty one, what we may do everywhere.
    pub async fn list_rights(&self, namespace: &str) -> Result<v1::ListRightsResponse, Error> {
        let request = v1::ListRightsRequest { namespace: namespace.to_owned() };
        self.ask(request, |channel, request| async move { AuthClient::new(channel).list_rights(request).await }).await
    }

    /// Why we, or somebody for whom we may speak, may or may not do something.
    pub async fn explain(&self, request: v1::ExplainRequest) -> Result<v1::ExplainResponse, Error> {
        self.ask(request, |channel, request| async move { AuthClient::new(channel).explain(request).await }).await
    }

    /// A channel to one good server, for streams that the caller opens itself.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::new(Arc::clone(&self.shared))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn shared_owned(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    pub(crate) fn seen(&self) -> u64 {
        self.shared.seen.load(Ordering::Relaxed)
    }

    pub(crate) fn attempt_deadline(&self) -> Duration {
        self.deadlines.attempt
    }

    pub(crate) fn overall_deadline(&self) -> Duration {
        self.deadlines.overall
    }

    pub(crate) fn saw(&self, revision: u64) {
        self.shared.seen.fetch_max(revision, Ordering::Relaxed);
    }

    pub(crate) fn warn(&self, warnings: &[String]) {
        self.shared.warn(warnings);
    }

    pub(crate) fn written(&self, answer: v1::WriteResponse) -> Result<v1::Object, Error> {
        self.saw(answer.revision);
        answer.object.ok_or_else(|| incomplete("a write's answer without its object"))
    }

    pub(crate) async fn ask<M, R, F, Fut>(&self, message: M, send: F) -> Result<R, Error>
    where
        M: Clone,
        F: Fn(Channel, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        let call = Call::new(&self.shared, self.deadlines, Answer::Message);
        Box::pin(call.run(message, send)).await.map_err(|failed| failed.error)
    }

    /// A call that is answered by a stream.
    pub(crate) async fn open<M, R, F, Fut>(&self, message: M, send: F) -> Result<R, Error>
    where
        M: Clone,
        F: Fn(Channel, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        let call = Call::new(&self.shared, self.deadlines, Answer::Stream);
        Box::pin(call.run(message, send)).await.map_err(|failed| failed.error)
    }

    /// A write under one request id, however often it is sent.
    pub(crate) async fn write<M, R, F, Fut>(&self, make: impl Fn(RequestId) -> M, send: F) -> Result<R, Error>
    where
        M: Clone,
        F: Fn(Channel, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        let mut renewals = 0;
        loop {
            let seen = Revision(self.shared.seen.load(Ordering::Relaxed));
            let call = Call::new(&self.shared, self.deadlines, Answer::Message);
            match Box::pin(call.run(make(self.request_id(seen)), &send)).await {
                Ok(answer) => return Ok(answer),
                // We had seen too little, and nothing can have been done under that id: a new one is safe.
                Err(CallFailed { error: Error::RequestExpired { current, .. }, lost: false })
                    if renewals < REQUEST_RENEWALS_MAX && current > seen =>
                {
                    renewals += 1;
                    self.saw(current.0);
                }
                Err(failed) => return Err(failed.error),
            }
        }
    }

    /// Random from the client's clock, so that a simulation repeats.
    pub(crate) fn request_id(&self, seen: Revision) -> RequestId {
        let random = [self.shared.clock.random_u64(), self.shared.clock.random_u64()];
        let nonce: Vec<u8> = random.iter().flat_map(|number| number.to_be_bytes()).collect();
        RequestId { seen_revision: seen.0, nonce: nonce.into() }
    }
}

pub(crate) fn registry(channel: Channel) -> RegistryClient<Channel> {
    RegistryClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

fn list_request(query: &Query, read: Read) -> v1::ListRequest {
    let (consistency, min_revision) = read.to_proto();
    v1::ListRequest {
        kind: query.kind.to_string(),
        namespace: query.namespace.clone(),
        label_selector: query.labels.clone(),
        field_selector: query.fields.clone(),
        consistency,
        min_revision,
        at_revision: read.at_revision(),
        ..v1::ListRequest::default()
    }
}

fn delete_request(key: &Key, options: &DeleteOptions, request_id: RequestId) -> v1::DeleteRequest {
    let preconditions = v1::Preconditions {
        resource_version: options.resource_version.map(|revision| revision.0),
        uid: options.uid.as_ref().map(|uid| uid.as_str().to_owned()),
    };
    v1::DeleteRequest {
        key: Some(key.to_proto()),
        request_id: Some(request_id),
        preconditions: Some(preconditions),
        grace_period_seconds: options.grace_period_seconds,
        absence_proven: options.absence_proven,
        propagation: options.propagation.into(),
        dry_run: options.dry_run,
    }
}

pub(crate) fn incomplete(what: &str) -> Error {
    Error::Internal(Detail::new(format!("the server sent {what}")))
}
