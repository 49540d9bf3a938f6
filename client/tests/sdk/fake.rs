//! Servers that answer from a script which all servers of a cluster share: the n-th call gets the n-th step,
//! whichever server it reaches.
#![expect(clippy::disallowed_methods, reason = "the servers of a test refuse what a test wants refused")]

use std::{
    collections::VecDeque,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use boss_base::{
    pki::{CertificateAuthority, Subject},
    tasks::Tasks,
    tls::{ClientAuth, Identity, Limits, Listener, Pem, server_acceptor},
};
use boss_client::{Client, Config, Credentials, Deadlines, Endpoint, Source};
use boss_proto::{
    SERVER_DNS_NAME,
    object::Resource,
    v1::{
        self,
        registry_server::{Registry, RegistryServer},
        watch_event::Type,
        watch_response::Body,
    },
};
use prost::Message;
use tokio::runtime::Runtime;
use tokio_stream::StreamExt;
use tonic::{
    Code, Request, Response, Status,
    metadata::{MetadataMap, MetadataValue},
    transport::Server,
};

pub(crate) const CLUSTER: &str = "c1";
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What a server does with a call.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Answers with this object at this revision.
    Object(Box<v1::Object>, u64),
    /// One page of a list.
    Page(v1::ListResponse),
    /// A stream that ends after its messages.
    Stream(Vec<v1::WatchResponse>),
    /// A stream that ends with an error.
    Broken(Vec<v1::WatchResponse>, Box<Status>),
    /// A stream that stays open.
    Open(Vec<v1::WatchResponse>),
    Refuse(Box<Status>),
    Hang,
}

/// A call that arrived.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) server: usize,
    pub(crate) method: &'static str,
    pub(crate) token: String,
    pub(crate) request_id: Option<v1::RequestId>,
    pub(crate) from_revision: Option<u64>,
    pub(crate) page_token: Vec<u8>,
}

#[derive(Default)]
struct Script {
    steps: VecDeque<Step>,
    seen: Vec<Seen>,
}

/// Some servers under one authority.
pub(crate) struct Cluster {
    pub(crate) authority: CertificateAuthority,
    pub(crate) servers: Vec<FakeServer>,
    script: Arc<Mutex<Script>>,
    pub(crate) directory: tempfile::TempDir,
}

pub(crate) struct FakeServer {
    pub(crate) address: SocketAddr,
    /// Its own, so that its end ends all its connections at once, as a kill does.
    runtime: Option<Runtime>,
}

impl Cluster {
    pub(crate) fn start(servers: usize, steps: impl IntoIterator<Item = Step>) -> Self {
        let authority = CertificateAuthority::generate(CLUSTER).unwrap();
        let script = Arc::new(Mutex::new(Script { steps: steps.into_iter().collect(), seen: Vec::new() }));
        let servers = (0..servers).map(|number| FakeServer::start(number, &authority, Arc::clone(&script))).collect();
        let cluster = Self { authority, servers, script, directory: tempfile::tempdir().unwrap() };
        std::fs::write(cluster.token_path(), "token-1").unwrap();
        cluster
    }

    pub(crate) fn token_path(&self) -> std::path::PathBuf {
        self.directory.path().join("token")
    }

    /// With deadlines short enough for tests.
    pub(crate) fn config(&self) -> Config {
        let servers: Vec<Endpoint> =
            self.servers.iter().map(|server| server.address.to_string().parse().unwrap()).collect();
        let ca = Source::Inline(self.authority.cert_pem().to_owned());
        let mut config = Config::new(servers, ca, Credentials::Token(Source::File(self.token_path())));
        config.deadlines =
            Deadlines { connect: SOON, attempt: Duration::from_secs(3), overall: Duration::from_secs(30) };
        config
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.config()).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.script.lock().unwrap().seen.clone()
    }

    pub(crate) fn add(&self, step: Step) {
        self.script.lock().unwrap().steps.push_back(step);
    }

    pub(crate) fn kill(&mut self, server: usize) {
        self.servers[server].kill();
    }
}

impl FakeServer {
    fn start(number: usize, authority: &CertificateAuthority, script: Arc<Mutex<Script>>) -> Self {
        let subject = Subject {
            common_name: format!("server-{number}"),
            uris: vec![format!("boss://{CLUSTER}/server/{number}")],
            dns_names: vec![SERVER_DNS_NAME.to_owned()],
            server_auth: true,
            client_auth: true,
            lifetime: Duration::from_secs(3_600),
            ..Subject::default()
        };
        let issued = authority.issue(&subject).unwrap();
        let own = Some((issued.cert_pem.into_bytes(), issued.key_pem.into_bytes()));
        let identity = Identity::from_pem(Pem { own, ca: authority.cert_pem().into() }).unwrap();
        let acceptor = server_acceptor(identity, ClientAuth::Optional);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let limits = Limits { connections_max: 64, connections_per_source_max: 64, handshake_timeout: SOON };
        // The test's own runtime must not be blocked on another one, so this runs on a thread of its own.
        let bind = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), acceptor, limits);
        let listener = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(bind)).join()).unwrap().unwrap();
        let address = listener.local_address();
        runtime.spawn(async move {
            let tasks = Tasks::new();
            let service = RegistryServer::new(FakeRegistry { number, script });
            Server::builder().add_service(service).serve_with_incoming(listener.accept(&tasks)).await.unwrap();
        });
        Self { address, runtime: Some(runtime) }
    }

    fn kill(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        runtime.shutdown_background();
        // The runtime ends on threads of its own; until its socket is closed the kernel goes on accepting for it.
        let killed = Instant::now();
        while TcpStream::connect(self.address).is_ok() {
            assert!(killed.elapsed() < SOON, "{} still listens", self.address);
            std::thread::yield_now();
        }
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.kill();
    }
}

struct FakeRegistry {
    number: usize,
    script: Arc<Mutex<Script>>,
}

impl FakeRegistry {
    /// Notes the call and takes its step; without one the call hangs.
    fn take<T>(&self, request: &Request<T>, seen: Seen) -> Step {
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
        let mut script = self.script.lock().unwrap();
        script.seen.push(Seen { server: self.number, token, ..seen });
        script.steps.pop_front().unwrap_or(Step::Hang)
    }

    async fn object<T>(&self, request: &Request<T>, seen: Seen) -> Result<(Option<v1::Object>, u64), Status> {
        match self.take(request, seen) {
            Step::Object(object, revision) => Ok((Some(*object), revision)),
            Step::Refuse(status) => Err(*status),
            Step::Hang => std::future::pending().await,
            step => panic!("{step:?} is no answer here"),
        }
    }
}

fn called(method: &'static str) -> Seen {
    Seen { method, ..Seen::default() }
}

type WriteStream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::WriteStreamResponse, Status>> + Send>>;
type WatchStream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Registry for FakeRegistry {
    async fn create(&self, request: Request<v1::CreateRequest>) -> Result<Response<v1::WriteResponse>, Status> {
        let seen = Seen { request_id: request.get_ref().request_id.clone(), ..called("create") };
        let (object, revision) = self.object(&request, seen).await?;
        Ok(Response::new(v1::WriteResponse { object, revision }))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        let (object, revision) = self.object(&request, called("get")).await?;
        Ok(Response::new(v1::GetResponse { object, revision }))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        let seen = Seen { page_token: request.get_ref().page_token.to_vec(), ..called("list") };
        match self.take(&request, seen) {
            Step::Page(page) => Ok(Response::new(page)),
            Step::Refuse(status) => Err(*status),
            step => panic!("{step:?} is no answer here"),
        }
    }

    async fn update(&self, request: Request<v1::UpdateRequest>) -> Result<Response<v1::WriteResponse>, Status> {
        let seen = Seen { request_id: request.get_ref().request_id.clone(), ..called("update") };
        let (object, revision) = self.object(&request, seen).await?;
        Ok(Response::new(v1::WriteResponse { object, revision }))
    }

    async fn update_status(&self, request: Request<v1::UpdateRequest>) -> Result<Response<v1::WriteResponse>, Status> {
        let seen = Seen { request_id: request.get_ref().request_id.clone(), ..called("update_status") };
        let (object, revision) = self.object(&request, seen).await?;
        Ok(Response::new(v1::WriteResponse { object, revision }))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Result<Response<v1::DeleteResponse>, Status> {
        let seen = Seen { request_id: request.get_ref().request_id.clone(), ..called("delete") };
        let (object, revision) = self.object(&request, seen).await?;
        Ok(Response::new(v1::DeleteResponse { object, revision, gone: true }))
    }

    async fn patch(&self, request: Request<v1::PatchRequest>) -> Result<Response<v1::WriteResponse>, Status> {
        let seen = Seen { request_id: request.get_ref().request_id.clone(), ..called("patch") };
        let (object, revision) = self.object(&request, seen).await?;
        Ok(Response::new(v1::WriteResponse { object, revision }))
    }

    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Result<Response<v1::WriteResponse>, Status> {
        let seen = Seen { request_id: request.get_ref().request_id.clone(), ..called("apply") };
        let (object, revision) = self.object(&request, seen).await?;
        Ok(Response::new(v1::WriteResponse { object, revision }))
    }

    async fn delete_collection(
        &self,
        _: Request<v1::DeleteCollectionRequest>,
    ) -> Result<Response<v1::DeleteCollectionResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn txn(&self, _: Request<v1::TxnRequest>) -> Result<Response<v1::TxnResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    type WriteStreamStream = WriteStream;

    async fn write_stream(
        &self,
        _: Request<tonic::Streaming<v1::WriteStreamRequest>>,
    ) -> Result<Response<WriteStream>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    type WatchStream = WatchStream;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<WatchStream>, Status> {
        let seen = Seen { from_revision: request.get_ref().from_revision, ..called("watch") };
        let messages = |messages: Vec<v1::WatchResponse>| tokio_stream::iter(messages.into_iter().map(Ok));
        let stream: WatchStream = match self.take(&request, seen) {
            Step::Stream(list) => Box::pin(messages(list)),
            Step::Broken(list, status) => Box::pin(messages(list).chain(tokio_stream::once(Err(*status)))),
            Step::Open(list) => Box::pin(messages(list).chain(tokio_stream::pending())),
            Step::Refuse(status) => return Err(*status),
            Step::Hang => std::future::pending().await,
            step => panic!("{step:?} is no answer here"),
        };
        Ok(Response::new(stream))
    }
}

/// A refusal as our servers make them.
pub(crate) fn refusal(code: Code, reason: &str, current_revision: u64, retryable: bool) -> Box<Status> {
    let info = v1::ErrorInfo { reason: reason.into(), current_revision, retryable, ..v1::ErrorInfo::default() };
    let mut metadata = MetadataMap::new();
    metadata.insert_bin("boss-error-bin", MetadataValue::from_bytes(&info.encode_to_vec()));
    Box::new(Status::with_metadata(code, format!("refused: {reason}"), metadata))
}

/// The refusal of a server that has too much to do, and when it should have room.
pub(crate) fn busy(retry_after_ms: u32) -> Box<Status> {
    let info = v1::ErrorInfo { reason: "BUSY".into(), retryable: true, retry_after_ms, ..v1::ErrorInfo::default() };
    let mut metadata = MetadataMap::new();
    metadata.insert_bin("boss-error-bin", MetadataValue::from_bytes(&info.encode_to_vec()));
    Box::new(Status::with_metadata(Code::ResourceExhausted, "too many writes wait", metadata))
}

pub(crate) fn no_leader() -> Step {
    Step::Refuse(refusal(Code::Unavailable, "NO_LEADER", 0, true))
}

pub(crate) fn pod(name: &str) -> v1::Pod {
    let metadata = v1::ObjectMeta { name: name.into(), namespace: "default".into(), ..v1::ObjectMeta::default() };
    v1::Pod { metadata: Some(metadata), ..v1::Pod::default() }
}

pub(crate) fn object(name: &str) -> v1::Object {
    pod(name).into_object()
}

pub(crate) fn answer(name: &str, revision: u64) -> Step {
    Step::Object(Box::new(object(name)), revision)
}

pub(crate) fn event(kind: Type, revision: u64, name: &str) -> v1::WatchResponse {
    let event = v1::WatchEvent { r#type: kind.into(), object: Some(object(name)), revision };
    v1::WatchResponse { body: Some(Body::Event(event)) }
}

pub(crate) fn bookmark(revision: u64) -> v1::WatchResponse {
    v1::WatchResponse { body: Some(Body::Bookmark(v1::Bookmark { revision, initial_list_end: false })) }
}

/// A whole first list.
pub(crate) fn listed(revision: u64, names: &[&str]) -> Vec<v1::WatchResponse> {
    let end = v1::Bookmark { revision, initial_list_end: true };
    let mut messages: Vec<_> = names.iter().map(|name| event(Type::Added, revision, name)).collect();
    messages.push(v1::WatchResponse { body: Some(Body::Bookmark(end)) });
    messages
}
