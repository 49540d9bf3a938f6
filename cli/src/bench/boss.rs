//! Load on a Boss cluster: config maps of one namespace, through the generated client, so that what is measured is the
//! server and not the conveniences of the SDK.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use boss_base::{
    clock::{Clock, SystemClock},
    tasks::Tasks,
};
use boss_client::{Client, Config, Error, Session, WriteStream, WriteStreamOptions};
use boss_proto::{
    encoded,
    kind::Kind,
    limits::{LIST_PAGE_MAX, MESSAGE_BYTES_MAX},
    v1::{self, compare, registry_client::RegistryClient, streamed_result, txn_operation, watch_response},
};
use tonic::{Request, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

use super::{
    fan_out::EventFeed,
    keys::{KeySpace, Random, value},
    load::{Failed, Pace, Worker, drive},
    plan::Stop,
    summary::Summary,
};

/// Creates in flight while the key space is filled.
const FILLERS: usize = 256;

/// What is read and written.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where the objects live.
    pub namespace: Arc<str>,
    /// Their names.
    pub keys: KeySpace,
    /// Bytes of each value.
    pub value_bytes: usize,
}

/// Connections to the servers of a cluster, taken in turn.
#[derive(Clone)]
pub struct Connections {
    clients: Vec<Client>,
    sessions: Vec<Session>,
    /// The highest revision in any answer: request ids must tell what was seen.
    seen: Arc<AtomicU64>,
}

impl Connections {
    /// `count` of them, spread over the servers of `config`. They open when they are first used.
    pub fn open(config: &Config, count: usize) -> Result<Self, Error> {
        let servers = config.servers.iter().cycle().take(count);
        let client = |server: &boss_client::Endpoint| {
            Client::connect(Config { servers: vec![server.clone()], ..config.clone() })
        };
        let clients: Vec<Client> = servers.map(client).collect::<Result<_, _>>()?;
        let sessions = clients.iter().map(Client::session).collect();
        Ok(Self { clients, sessions, seen: Arc::default() })
    }

    /// Learns the registry's revision. Request ids that claim to have seen nothing are refused once the registry has
    /// begun to forget others.
    pub async fn look(&self, namespace: &str) -> Result<(), Failed> {
        for mut caller in self.callers(1) {
            let (kind, namespace) = (Kind::ConfigMap.to_string(), namespace.to_owned());
            let message = v1::ListRequest { kind, namespace, limit: 1, ..v1::ListRequest::default() };
            let answer = caller.registry.list(caller.session.request(message)).await.map_err(failed)?;
            caller.saw(answer.get_ref().revision);
        }
        Ok(())
    }

    /// Writers that share one stream of writes for each connection, which live as long as `tasks`.
    pub fn streams(&self, count: usize, target: &Target, tasks: &Tasks) -> Vec<StreamPut> {
        let stream = |client: &Client| client.write_stream(tasks, WriteStreamOptions::default());
        let streams: Vec<WriteStream> = self.clients.iter().map(stream).collect();
        let writer = |(number, caller): (usize, Caller)| StreamPut {
            stream: streams[number % streams.len()].clone(),
            put: Put::new(caller, target.clone()),
        };
        self.callers(count).enumerate().map(writer).collect()
    }

    /// The callers of a run, spread over the connections.
    pub fn callers(&self, count: usize) -> impl Iterator<Item = Caller> + '_ {
        let seed = SystemClock.random_u64();
        (0..count).map(move |number| {
            let session = self.sessions[number % self.sessions.len()].clone();
            let registry = RegistryClient::new(session.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX);
            let random = Random::new(seed ^ (number as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93));
            Caller { session, registry, random, seen: Arc::clone(&self.seen) }
        })
    }
}

/// One client of one connection.
pub struct Caller {
    session: Session,
    registry: RegistryClient<Channel>,
    random: Random,
    seen: Arc<AtomicU64>,
}

impl Caller {
    fn request_id(&mut self) -> v1::RequestId {
        let nonce = self.random.nonce().to_vec().into();
        v1::RequestId { seen_revision: self.seen.load(Ordering::Relaxed), nonce }
    }

    fn saw(&self, revision: u64) {
        self.seen.fetch_max(revision, Ordering::Relaxed);
    }

    async fn create(&mut self, object: v1::Object) -> Result<(), Failed> {
        let message = v1::CreateRequest {
            object: Some(object),
            request_id: Some(self.request_id()),
            ..v1::CreateRequest::default()
        };
        let answer = self.registry.create(self.session.request(message)).await.map_err(failed)?;
        self.saw(answer.get_ref().revision);
        Ok(())
    }

    async fn update(&mut self, object: v1::Object) -> Result<(), Failed> {
        let message = v1::UpdateRequest {
            object: Some(object),
            request_id: Some(self.request_id()),
            ..v1::UpdateRequest::default()
        };
        let answer = self.registry.update(self.session.request(message)).await.map_err(failed)?;
        self.saw(answer.get_ref().revision);
        Ok(())
    }

    async fn get(&mut self, namespace: &str, name: String, consistency: v1::Consistency) -> Result<(), Failed> {
        let key = v1::ObjectKey { kind: Kind::ConfigMap.to_string(), namespace: namespace.to_owned(), name };
        let message = v1::GetRequest { key: Some(key), consistency: consistency.into(), ..v1::GetRequest::default() };
        self.registry.get(self.session.request(message)).await.map_err(failed)?;
        Ok(())
    }

    /// A page whose objects are left as they came: unpacking ten thousand costs the caller more than sending them costs
    /// a server, and a caller who wants one of them need not.
    async fn list(&mut self, request: Request<v1::ListRequest>) -> Result<encoded::ListResponse, Failed> {
        let mut client = Grpc::new(self.session.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        client.ready().await.map_err(|error| Failed(error.to_string()))?;
        let codec = ProstCodec::<v1::ListRequest, encoded::ListResponse>::default();
        let path = PathAndQuery::from_static("/boss.v1.Registry/List");
        Ok(client.unary(request, path, codec).await.map_err(failed)?.into_inner())
    }
}

fn failed(status: Status) -> Failed {
    Failed(format!("{:?}: {}", status.code(), status.message().chars().take(80).collect::<String>()))
}

fn config_map(namespace: &str, name: String, value: &str) -> v1::Object {
    let metadata = v1::ObjectMeta { name, namespace: namespace.to_owned(), ..Default::default() };
    let data = [("value".to_owned(), value.to_owned())].into();
    v1::ConfigMap { metadata: Some(metadata), data, ..Default::default() }.into()
}

/// Creates every object of the target that is not there yet.
pub async fn fill(connections: &Connections, target: &Target) -> Summary {
    fill_from(connections, target, 0).await
}

/// Creates the objects of the target from number `first` on.
pub async fn fill_from(connections: &Connections, target: &Target, first: u64) -> Summary {
    // What fails here fails again in the first create, and is counted there.
    drop(connections.look(&target.namespace).await);
    let next = Arc::new(AtomicU64::new(first));
    let callers = connections.callers(FILLERS);
    let fillers = callers.map(|caller| Fill { caller, target: target.clone(), next: Arc::clone(&next) }).collect();
    let total = target.keys.len.saturating_sub(first);
    drive::<Fill>(fillers, Pace { stop: Stop::Total(total), rate: None }).await
}

struct Fill {
    caller: Caller,
    target: Target,
    next: Arc<AtomicU64>,
}

impl Worker for Fill {
    async fn once(&mut self) -> Result<(), Failed> {
        let name = self.target.keys.name(self.next.fetch_add(1, Ordering::Relaxed));
        let value = value(self.target.value_bytes, &mut self.caller.random);
        self.caller.create(config_map(&self.target.namespace, name, &value)).await
    }
}

/// Replaces objects of the target.
pub struct Put {
    caller: Caller,
    target: Target,
    value: String,
}

impl Put {
    /// A caller that writes.
    #[must_use]
    pub fn new(mut caller: Caller, target: Target) -> Self {
        let value = value(target.value_bytes, &mut caller.random);
        Self { caller, target, value }
    }

    fn next_object(&mut self) -> v1::Object {
        let name = self.target.keys.any(&mut self.caller.random);
        // Another value each time: an update that changes nothing is no write.
        let fresh = value(self.value.len().min(16), &mut self.caller.random);
        self.value.replace_range(..fresh.len(), &fresh);
        config_map(&self.target.namespace, name, &self.value)
    }
}

impl Worker for Put {
    async fn once(&mut self) -> Result<(), Failed> {
        let object = self.next_object();
        self.caller.update(object).await
    }
}

/// Replaces objects of the target by writes of a shared stream.
pub struct StreamPut {
    stream: WriteStream,
    put: Put,
}

impl Worker for StreamPut {
    async fn once(&mut self) -> Result<(), Failed> {
        let told = |error: Error| Failed(error.to_string().chars().take(80).collect());
        let pending = self.stream.update(self.put.next_object()).await.map_err(told)?;
        match pending.answer().await.map_err(told)?.outcome {
            Some(streamed_result::Outcome::Refused(refusal)) => Err(Failed(refusal.message.chars().take(80).collect())),
            _ => Ok(()),
        }
    }
}

/// Replaces objects of the target in transactions that demand that they are there.
pub struct Txn(Put);

impl Txn {
    /// A caller that writes.
    #[must_use]
    pub fn new(caller: Caller, target: Target) -> Self {
        Self(Put::new(caller, target))
    }
}

impl Worker for Txn {
    async fn once(&mut self) -> Result<(), Failed> {
        let object = self.0.next_object();
        let key = object.key().map(|key| key.to_proto());
        let update = v1::UpdateRequest { object: Some(object), ..v1::UpdateRequest::default() };
        let message = v1::TxnRequest {
            compare: vec![v1::Compare { key, condition: Some(compare::Condition::Exists(true)) }],
            success: vec![v1::TxnOperation { operation: Some(txn_operation::Operation::Update(update)) }],
            request_id: Some(self.0.caller.request_id()),
            ..v1::TxnRequest::default()
        };
        let caller = &mut self.0.caller;
        let answer = caller.registry.txn(caller.session.request(message)).await.map_err(failed)?.into_inner();
        caller.saw(answer.revision);
        if answer.succeeded { Ok(()) } else { Err(Failed("the comparison did not hold".to_owned())) }
    }
}

/// Reads single objects of the target.
pub struct Get {
    caller: Caller,
    target: Target,
    consistency: v1::Consistency,
}

impl Get {
    /// A caller that reads.
    #[must_use]
    pub fn new(caller: Caller, target: Target, consistency: v1::Consistency) -> Self {
        Self { caller, target, consistency }
    }
}

impl Worker for Get {
    async fn once(&mut self) -> Result<(), Failed> {
        let name = self.target.keys.any(&mut self.caller.random);
        self.caller.get(&self.target.namespace, name, self.consistency).await
    }
}

/// Reads or replaces single objects of the target.
pub struct Mixed {
    put: Put,
    reads_percent: u64,
}

impl Mixed {
    /// A caller that reads in so many of 100 operations.
    #[must_use]
    pub fn new(caller: Caller, target: Target, reads_percent: u8) -> Self {
        Self { put: Put::new(caller, target), reads_percent: reads_percent.into() }
    }
}

impl Worker for Mixed {
    async fn once(&mut self) -> Result<(), Failed> {
        let Put { caller, target, .. } = &mut self.put;
        if caller.random.below(100) < self.reads_percent {
            let name = target.keys.any(&mut caller.random);
            return caller.get(&target.namespace, name, v1::Consistency::Linearizable).await;
        }
        self.put.once().await
    }
}

/// Reads all objects of the target, page by page.
pub struct List {
    caller: Caller,
    target: Target,
}

impl List {
    /// A caller that lists.
    #[must_use]
    pub fn new(caller: Caller, target: Target) -> Self {
        Self { caller, target }
    }
}

impl Worker for List {
    async fn once(&mut self) -> Result<(), Failed> {
        let (mut found, mut page_token) = (0, Default::default());
        loop {
            let message = v1::ListRequest {
                kind: Kind::ConfigMap.to_string(),
                namespace: self.target.namespace.to_string(),
                limit: u32::try_from(LIST_PAGE_MAX).unwrap_or(u32::MAX),
                page_token,
                ..v1::ListRequest::default()
            };
            let request = self.caller.session.request(message);
            let page = self.caller.list(request).await?;
            found += page.items.len() as u64;
            if page.next_page_token.is_empty() {
                break;
            }
            page_token = page.next_page_token;
        }
        // A fast answer that is not the whole list would look like a good one.
        if found == self.target.keys.len { Ok(()) } else { Err(Failed("the list is not complete".to_owned())) }
    }
}

/// A watch of all objects of the target.
pub struct Feed(Streaming<v1::WatchResponse>);

impl Feed {
    /// Opens it from now on.
    pub async fn open(mut caller: Caller, target: &Target) -> Result<Self, Failed> {
        let message = v1::WatchRequest {
            kind: Kind::ConfigMap.to_string(),
            namespace: target.namespace.to_string(),
            from_revision: Some(caller.seen.load(Ordering::Relaxed)),
            ..v1::WatchRequest::default()
        };
        let request = caller.session.request(message);
        Ok(Self(caller.registry.watch(request).await.map_err(failed)?.into_inner()))
    }
}

impl EventFeed for Feed {
    async fn next(&mut self) -> Result<u64, Failed> {
        match self.0.message().await.map_err(failed)? {
            Some(v1::WatchResponse { body: Some(watch_response::Body::Event(_)) }) => Ok(1),
            Some(_) => Ok(0),
            None => Err(Failed("the watch ended".to_owned())),
        }
    }
}
