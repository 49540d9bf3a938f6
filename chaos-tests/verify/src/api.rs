//! A plain client of one server: no retries, no other server when this one fails, any credential, also a bad one.
//! Tests of promises want to see each answer; what users get is `boss-client`.
#![expect(
    clippy::disallowed_methods,
    reason = "a call that fails in this client looks like one that the server refused"
)]

mod tokens;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use boss_base::{
    net::Network,
    pki::IssuedCert,
    tls::{self, Expected, Identity, Pem},
};
use boss_proto::{
    SERVER_DNS_NAME,
    ids::Revision,
    object::Resource,
    v1::{
        self, auth_client::AuthClient, cluster_client::ClusterClient, pods_client::PodsClient,
        registry_client::RegistryClient, watch_response,
    },
};
use prost::Message;
use tonic::{
    Code, Request, Status, Streaming,
    codegen::http::uri::PathAndQuery,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

/// No call of a test may take longer; streams are bounded by their readers instead.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Where servers say why they refused.
const ERROR_HEADER: &str = "boss-error-bin";

/// What a caller shows.
#[derive(Clone)]
pub enum Credential {
    /// Nothing.
    Anonymous,
    /// A bearer token.
    Token(String),
    /// A client certificate.
    Certificate(IssuedCert),
}

/// One caller at one server.
#[derive(Clone)]
pub struct Api {
    channel: Channel,
    token: Option<String>,
    seen: Seen,
}

/// The highest revision that the callers who share it have seen: request ids carry it.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<AtomicU64>);

impl Seen {
    /// A fresh request id of someone who has seen this much.
    #[must_use]
    pub fn request_id(&self) -> v1::RequestId {
        v1::RequestId::random(Revision(self.0.load(Ordering::Relaxed)))
    }

    fn note(&self, revision: u64) {
        self.0.fetch_max(revision, Ordering::Relaxed);
    }
}

/// An object together with the revision of the answer that carried it.
#[derive(Debug, Clone)]
pub struct Written<T> {
    /// As stored.
    pub object: T,
    /// Of the write.
    pub revision: Revision,
}

/// No client can be made: a bug of the test.
#[derive(Debug, thiserror::Error)]
#[error("no client for {address}: {problem}")]
pub struct BadClient {
    address: String,
    problem: String,
}

impl Api {
    /// A client of the server at `address`, which must have a certificate of `ca_pem`. Connects at the first call.
    pub fn new(address: &str, ca_pem: &str, credential: Credential) -> Result<Self, BadClient> {
        Self::over(&Network::default(), address, ca_pem, credential)
    }

    /// As [`Api::new`], over whatever network.
    pub fn over(network: &Network, address: &str, ca_pem: &str, credential: Credential) -> Result<Self, BadClient> {
        let bad = |problem: String| BadClient { address: address.to_owned(), problem };
        let (own, token) = match credential {
            Credential::Anonymous => (None, None),
            Credential::Token(token) => (None, Some(token)),
            Credential::Certificate(cert) => (Some((cert.cert_pem.into_bytes(), cert.key_pem.into_bytes())), None),
        };
        let identity =
            Identity::from_pem(Pem { own, ca: ca_pem.as_bytes().to_vec() }).map_err(|error| bad(error.to_string()))?;
        let expected = Expected::name(SERVER_DNS_NAME).map_err(|error| bad(error.to_string()))?;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| bad(error.to_string()))?;
        let connector = tls::connector(identity, expected).over(network.clone());
        let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect_with_connector_lazy(connector);
        Ok(Self { channel, token, seen: Seen::default() })
    }

    /// The same caller, whose request ids tell what all who share `seen` have seen.
    #[must_use]
    pub fn sharing(mut self, seen: &Seen) -> Self {
        self.seen = seen.clone();
        self
    }

    /// What this caller has seen.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    fn request<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = self.stream_request(message)?;
        request.set_timeout(CALL_TIMEOUT);
        Ok(request)
    }

    fn stream_request<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let value = MetadataValue::try_from(format!("Bearer {token}"));
            let value = value.map_err(|_| Status::new(Code::InvalidArgument, "the token is no header value"))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }

    fn registry(&self) -> RegistryClient<Channel> {
        RegistryClient::new(self.channel.clone()).max_decoding_message_size(boss_proto::limits::MESSAGE_BYTES_MAX)
    }

    /// Creates an object under a fresh request id.
    pub async fn create<T: Resource>(&self, object: T) -> Result<Written<T>, Status> {
        self.create_as(object, self.seen.request_id()).await
    }

    /// Creates an object under this request id.
    pub async fn create_as<T: Resource>(&self, object: T, id: v1::RequestId) -> Result<Written<T>, Status> {
        let message =
            v1::CreateRequest { object: Some(object.into_object()), request_id: Some(id), ..Default::default() };
        self.written(within(Box::pin(self.registry().create(self.request(message)?))).await?.into_inner())
    }

    /// A create whose request never comes to its end: the server waits for the rest. Resolves when it gives up.
    pub async fn unfinished_create(&self) -> Result<(), Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        let ready = grpc.ready().await;
        ready.map_err(|error| Status::new(Code::Unavailable, error.to_string()))?;
        let request = self.stream_request(futures_util::stream::pending::<v1::CreateRequest>())?;
        let codec = tonic_prost::ProstCodec::<v1::CreateRequest, v1::WriteResponse>::default();
        let path = PathAndQuery::from_static("/boss.v1.Registry/Create");
        grpc.client_streaming(request, path, codec).await.map(drop)
    }

    /// Replaces an object.
    pub async fn update<T: Resource>(&self, object: T) -> Result<Written<T>, Status> {
        let message = self.request(self.update_request(object))?;
        self.written(within(Box::pin(self.registry().update(message))).await?.into_inner())
    }

    /// Replaces the status of an object.
    pub async fn update_status<T: Resource>(&self, object: T) -> Result<Written<T>, Status> {
        let message = self.request(self.update_request(object))?;
        self.written(within(Box::pin(self.registry().update_status(message))).await?.into_inner())
    }

    /// Deletes an object.
    pub async fn delete<T: Resource>(&self, namespace: &str, name: &str) -> Result<v1::DeleteResponse, Status> {
        self.delete_as::<T>(namespace, name, self.seen.request_id()).await
    }

    /// Deletes an object under this request id.
    pub async fn delete_as<T: Resource>(
        &self,
        namespace: &str,
        name: &str,
        id: v1::RequestId,
    ) -> Result<v1::DeleteResponse, Status> {
        let message = v1::DeleteRequest {
            key: Some(key::<T>(namespace, name)),
            request_id: Some(id),
            ..v1::DeleteRequest::default()
        };
        let response = within(Box::pin(self.registry().delete(self.request(message)?))).await?.into_inner();
        self.seen.note(response.revision);
        Ok(response)
    }

    /// All of it or nothing, if all comparisons hold; under a fresh request id.
    pub async fn txn(
        &self,
        compare: Vec<v1::Compare>,
        success: Vec<v1::TxnOperation>,
    ) -> Result<v1::TxnResponse, Status> {
        let request_id = Some(self.seen.request_id());
        let message = v1::TxnRequest { compare, success, request_id, ..v1::TxnRequest::default() };
        let response = within(Box::pin(self.registry().txn(self.request(message)?))).await?.into_inner();
        self.seen.note(response.revision);
        Ok(response)
    }

    /// Reads an object, linearizable.
    pub async fn get<T: Resource>(&self, namespace: &str, name: &str) -> Result<T, Status> {
        let message = v1::GetRequest { key: Some(key::<T>(namespace, name)), ..v1::GetRequest::default() };
        let response = within(Box::pin(self.registry().get(self.request(message)?))).await?.into_inner();
        self.seen.note(response.revision);
        unpack(response.object)
    }

    /// Reads an object, linearizable, with the registry's revision at which it was read.
    pub async fn look<T: Resource>(&self, namespace: &str, name: &str) -> Result<(T, Revision), Status> {
        let message = v1::GetRequest { key: Some(key::<T>(namespace, name)), ..v1::GetRequest::default() };
        let response = within(Box::pin(self.registry().get(self.request(message)?))).await?.into_inner();
        self.seen.note(response.revision);
        Ok((unpack(response.object)?, Revision(response.revision)))
    }

    /// Reads all objects of a kind, page by page; an empty namespace means all.
    pub async fn list<T: Resource>(&self, namespace: &str) -> Result<(Vec<T>, Revision), Status> {
        let mut items = Vec::new();
        let mut page_token = prost::bytes::Bytes::new();
        loop {
            let message = v1::ListRequest {
                kind: T::KIND.to_string(),
                namespace: namespace.to_owned(),
                page_token,
                ..v1::ListRequest::default()
            };
            let page = within(Box::pin(self.registry().list(self.request(message)?))).await?.into_inner();
            for item in page.items {
                items.push(unpack(Some(item))?);
            }
            self.seen.note(page.revision);
            if page.next_page_token.is_empty() {
                return Ok((items, Revision(page.revision)));
            }
            page_token = page.next_page_token;
        }
    }

    /// One page of a list of this many objects, and what asks for the next one.
    pub async fn list_page<T: Resource>(
        &self,
        namespace: &str,
        limit: u32,
        page_token: prost::bytes::Bytes,
    ) -> Result<(Vec<T>, prost::bytes::Bytes, Revision), Status> {
        let (kind, namespace) = (T::KIND.to_string(), namespace.to_owned());
        let message = v1::ListRequest { kind, namespace, limit, page_token, ..v1::ListRequest::default() };
        let page = within(Box::pin(self.registry().list(self.request(message)?))).await?.into_inner();
        let items: Result<_, _> = page.items.into_iter().map(|item| unpack(Some(item))).collect();
        Ok((items?, page.next_page_token, Revision(page.revision)))
    }

    /// Follows a kind from after a revision, or from a whole list if there is none.
    pub async fn watch<T: Resource>(&self, namespace: &str, from: Option<Revision>) -> Result<Watch<T>, Status> {
        let message = v1::WatchRequest {
            kind: T::KIND.to_string(),
            namespace: namespace.to_owned(),
            from_revision: from.map(|revision| revision.0),
            ..v1::WatchRequest::default()
        };
        let stream = within(Box::pin(self.registry().watch(self.stream_request(message)?))).await?.into_inner();
        Ok(Watch { stream, kind: std::marker::PhantomData })
    }

    fn update_request<T: Resource>(&self, object: T) -> v1::UpdateRequest {
        v1::UpdateRequest {
            object: Some(object.into_object()),
            request_id: Some(self.seen.request_id()),
            ..Default::default()
        }
    }

    fn written<T: Resource>(&self, response: v1::WriteResponse) -> Result<Written<T>, Status> {
        self.seen.note(response.revision);
        Ok(Written { object: unpack(response.object)?, revision: Revision(response.revision) })
    }

    /// What this server knows of the cluster.
    pub async fn status(&self) -> Result<v1::ClusterStatusResponse, Status> {
        let request = self.request(v1::ClusterStatusRequest {})?;
        Ok(within(ClusterClient::new(self.channel.clone()).status(request)).await?.into_inner())
    }

    /// The members of the Raft group.
    pub async fn members(&self) -> Result<v1::MembersResponse, Status> {
        let request = self.request(v1::MembersRequest {})?;
        Ok(within(ClusterClient::new(self.channel.clone()).members(request)).await?.into_inner())
    }

    /// Who the server thinks we are.
    pub async fn who_am_i(&self) -> Result<v1::WhoAmIResponse, Status> {
        let request = self.request(v1::WhoAmIRequest {})?;
        Ok(within(AuthClient::new(self.channel.clone()).who_am_i(request)).await?.into_inner())
    }

    /// Whether we may do something.
    pub async fn can_i(&self, verb: &str, resource: &str, namespace: &str) -> Result<v1::CanIResponse, Status> {
        let request = self.request(v1::CanIRequest {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: String::new(),
        })?;
        Ok(within(AuthClient::new(self.channel.clone()).can_i(request)).await?.into_inner())
    }

    /// The whole log of a pod's current execution, one item per line.
    pub async fn log_lines(&self, namespace: &str, name: &str) -> Result<Vec<String>, Status> {
        let request =
            v1::LogsRequest { namespace: namespace.to_owned(), name: name.to_owned(), ..v1::LogsRequest::default() };
        let request = self.stream_request(request)?;
        let mut stream = within(PodsClient::new(self.channel.clone()).logs(request)).await?.into_inner();
        let mut lines = Vec::new();
        while let Some(record) = within(stream.message()).await? {
            lines.push(String::from_utf8_lossy(&record.content).into_owned());
        }
        Ok(lines)
    }
}

/// One event of a watch.
#[derive(Debug, Clone)]
pub struct Event<T> {
    /// What happened.
    pub change: v1::watch_event::Type,
    /// The object after it, or its last state.
    pub object: T,
    /// When, in revisions.
    pub revision: Revision,
}

/// What a watch delivers.
#[derive(Debug, Clone)]
pub enum Delivery<T> {
    /// A change.
    Event(Event<T>),
    /// Everything up to here was delivered.
    Bookmark(v1::Bookmark),
}

/// An open watch.
pub struct Watch<T> {
    stream: Streaming<v1::WatchResponse>,
    kind: std::marker::PhantomData<T>,
}

impl<T: Resource> Watch<T> {
    /// The next thing that the server sends; an error also when it ends the stream without one.
    pub async fn next(&mut self) -> Result<Delivery<T>, Status> {
        loop {
            let message = self.stream.message().await?;
            let message = message.ok_or_else(|| Status::new(Code::Unavailable, "the watch ended"))?;
            match message.body {
                Some(watch_response::Body::Event(event)) => {
                    return Ok(Delivery::Event(Event {
                        change: event.r#type(),
                        revision: Revision(event.revision),
                        object: unpack(event.object)?,
                    }));
                }
                Some(watch_response::Body::Bookmark(bookmark)) => return Ok(Delivery::Bookmark(bookmark)),
                None => {}
            }
        }
    }

    /// The next change.
    pub async fn next_event(&mut self) -> Result<Event<T>, Status> {
        loop {
            if let Delivery::Event(event) = self.next().await? {
                return Ok(event);
            }
        }
    }
}

/// What the server added to a refusal; empty when it added nothing.
#[must_use]
pub fn error_info(status: &Status) -> v1::ErrorInfo {
    let bytes = status.metadata().get_bin(ERROR_HEADER).and_then(|value| value.to_bytes().ok());
    bytes.and_then(|bytes| v1::ErrorInfo::decode(bytes).ok()).unwrap_or_default()
}

fn key<T: Resource>(namespace: &str, name: &str) -> v1::ObjectKey {
    v1::ObjectKey { kind: T::KIND.to_string(), namespace: namespace.to_owned(), name: name.to_owned() }
}

fn unpack<T: Resource>(object: Option<v1::Object>) -> Result<T, Status> {
    let unpacked = object.and_then(|object| T::try_from_object(object).ok());
    unpacked.ok_or_else(|| Status::new(Code::Internal, format!("the answer holds no {}", T::KIND)))
}

// The deadline that travels with a call binds the server; a server that is stopped answers nothing at all.
async fn within<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => answer,
        Err(_) => Err(Status::new(Code::DeadlineExceeded, "no answer within the test's own deadline")),
    }
}
