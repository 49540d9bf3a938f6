//! The few messages of etcd's API that a load needs, and a client that is as bare as the one used for Boss: the same
//! channel, the same TLS, the same codec. The crate `etcd-client` would want `protoc` for every build.

use std::sync::Arc;

use boss_base::tls::{self, Expected, Identity};
use bossctl::bench::{EventFeed, Failed, KeySpace, Random, Worker, value};
use prost::{Message, bytes::Bytes};
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

/// As the SDK of Boss has them.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// A list of 10,000 objects comes in one message.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// Only what tells that an answer came.
#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(int64, tag = "3")]
    revision: i64,
}

#[derive(Clone, PartialEq, Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
    #[prost(int64, tag = "3")]
    limit: i64,
    #[prost(bool, tag = "7")]
    serializable: bool,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(int64, tag = "2")]
    create_revision: i64,
    #[prost(int64, tag = "3")]
    mod_revision: i64,
    #[prost(int64, tag = "4")]
    version: i64,
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    /// Each a key with its value, not unpacked: neither generator looks into the objects of a list.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    kvs: Vec<Bytes>,
    #[prost(int64, tag = "4")]
    count: i64,
}

#[derive(Clone, PartialEq, Message)]
struct WatchCreateRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    create: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(int32, tag = "1")]
    r#type: i32,
    #[prost(message, optional, tag = "2")]
    kv: Option<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct WatchResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(bool, tag = "3")]
    created: bool,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, Message)]
struct StatusHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<StatusHeader>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// Keys of the load; Boss has them in a namespace.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) prefix: Arc<str>,
    pub(super) keys: KeySpace,
    pub(super) value_bytes: usize,
}

impl Target {
    pub(super) fn key(&self, name: &str) -> Bytes {
        format!("{}{name}", self.prefix).into()
    }

    /// All keys with the prefix.
    fn range(&self) -> (Bytes, Bytes) {
        let mut end = self.prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        (self.prefix.as_bytes().to_vec().into(), end.into())
    }
}

/// A connection to one member; opens when it is first used.
pub(super) fn connect(address: &str, identity: &Identity) -> Result<Channel, String> {
    let expected = Expected::name("localhost").map_err(|error| error.to_string())?;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
    Ok(endpoint
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .connect_with_connector_lazy(tls::connector(identity.clone(), expected)))
}

/// One client of one connection.
pub(super) struct Caller {
    grpc: Grpc<Channel>,
    random: Random,
}

impl Caller {
    pub(super) fn new(channel: Channel, seed: u64) -> Self {
        Self { grpc: Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX), random: Random::new(seed) }
    }

    async fn unary<M, R>(&mut self, path: &'static str, message: M) -> Result<R, Failed>
    where
        M: Message + 'static,
        R: Message + Default + 'static,
    {
        self.grpc.ready().await.map_err(|error| Failed(error.to_string()))?;
        let codec = ProstCodec::<M, R>::default();
        let answer = self.grpc.unary(Request::new(message), PathAndQuery::from_static(path), codec).await;
        answer.map(tonic::Response::into_inner).map_err(failed)
    }

    pub(super) async fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), Failed> {
        self.unary("/etcdserverpb.KV/Put", PutRequest { key, value }).await.map(|PutResponse { .. }| ())
    }

    async fn range(&mut self, request: RangeRequest) -> Result<RangeResponse, Failed> {
        self.unary("/etcdserverpb.KV/Range", request).await
    }

    /// Reads one key; linearizable unless `local`.
    pub(super) async fn get(&mut self, key: Bytes, local: bool) -> Result<(), Failed> {
        let request = RangeRequest { key, serializable: local, ..RangeRequest::default() };
        let answer = self.range(request).await?;
        if answer.kvs.len() == 1 { Ok(()) } else { Err(Failed("the key is not there".to_owned())) }
    }

    /// Whether the member at the other end leads.
    pub(super) async fn leads(&mut self) -> Result<bool, Failed> {
        let status: StatusResponse = self.unary("/etcdserverpb.Maintenance/Status", StatusRequest {}).await?;
        Ok(status.header.is_some_and(|header| header.member_id == status.leader))
    }

    async fn watch(&mut self, target: &Target) -> Result<Streaming<WatchResponse>, Failed> {
        let (key, range_end) = target.range();
        let create = WatchRequest { create: Some(WatchCreateRequest { key, range_end }) };
        self.grpc.ready().await.map_err(|error| Failed(error.to_string()))?;
        let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        // The end of the requests would end the watch.
        let requests = futures_util::StreamExt::chain(
            futures_util::stream::once(std::future::ready(create)),
            futures_util::stream::pending(),
        );
        let answer = self.grpc.streaming(Request::new(requests), path, codec).await;
        answer.map(tonic::Response::into_inner).map_err(failed)
    }
}

fn failed(status: Status) -> Failed {
    Failed(format!("{:?}: {}", status.code(), status.message().chars().take(80).collect::<String>()))
}

/// Replaces keys.
pub(super) struct Put {
    caller: Caller,
    target: Target,
    value: String,
}

impl Put {
    pub(super) fn new(mut caller: Caller, target: Target) -> Self {
        let value = value(target.value_bytes, &mut caller.random);
        Self { caller, target, value }
    }
}

impl Worker for Put {
    async fn once(&mut self) -> Result<(), Failed> {
        let name = self.target.keys.any(&mut self.caller.random);
        let fresh = value(self.value.len().min(16), &mut self.caller.random);
        self.value.replace_range(..fresh.len(), &fresh);
        self.caller.put(self.target.key(&name), self.value.clone().into()).await
    }
}

/// Creates keys one after the other.
pub(super) struct Fill {
    pub(super) caller: Caller,
    pub(super) target: Target,
    pub(super) next: Arc<std::sync::atomic::AtomicU64>,
}

impl Worker for Fill {
    async fn once(&mut self) -> Result<(), Failed> {
        let name = self.target.keys.name(self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let value = value(self.target.value_bytes, &mut self.caller.random);
        self.caller.put(self.target.key(&name), value.into()).await
    }
}

/// Reads single keys.
pub(super) struct Get {
    pub(super) caller: Caller,
    pub(super) target: Target,
}

impl Worker for Get {
    async fn once(&mut self) -> Result<(), Failed> {
        let name = self.target.keys.any(&mut self.caller.random);
        self.caller.get(self.target.key(&name), false).await
    }
}

/// Reads all keys, as etcd does it best: in one answer.
pub(super) struct List {
    pub(super) caller: Caller,
    pub(super) target: Target,
}

impl Worker for List {
    async fn once(&mut self) -> Result<(), Failed> {
        let (key, range_end) = self.target.range();
        let answer = self.caller.range(RangeRequest { key, range_end, ..RangeRequest::default() }).await?;
        let complete = answer.kvs.len() as u64 == self.target.keys.len;
        if complete { Ok(()) } else { Err(Failed("the list is not complete".to_owned())) }
    }
}

/// A watch of all keys.
pub(super) struct Feed(Streaming<WatchResponse>);

impl Feed {
    /// Opens it and waits until the member says that it stands.
    pub(super) async fn open(mut caller: Caller, target: &Target) -> Result<Self, Failed> {
        let mut stream = caller.watch(target).await?;
        match stream.message().await.map_err(failed)? {
            Some(answer) if answer.created => Ok(Self(stream)),
            other => Err(Failed(format!("the watch did not begin: {other:?}"))),
        }
    }
}

impl EventFeed for Feed {
    async fn next(&mut self) -> Result<u64, Failed> {
        match self.0.message().await.map_err(failed)? {
            Some(answer) => Ok(answer.events.len() as u64),
            None => Err(Failed("the watch ended".to_owned())),
        }
    }
}
