//! Servers in one process, each on a runtime of its own, speaking over real TLS on loopback. Dropping a runtime is a
//! crash: nothing is flushed, nobody is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use boss_base::{
    clock::SystemClock,
    pki::{CertificateAuthority, Subject},
    tasks::Tasks,
    tls::{ClientAuth, Identity, Limits as ListenerLimits, Listener, Pem, server_acceptor},
};
use boss_proto::{
    SERVER_DNS_NAME,
    ids::{ClusterId, Revision, ServerId},
    object::Resource,
    raft::v1::{Caller, Create, Operation, operation::Action},
    v1,
};
use boss_raft::{
    Config, ElectionProfile, Handle, Leadership, Member, PeerDialer, ProposeError, ReadError, ReadMode,
    config::Limits,
    server_uri,
    state::{Outcome, View},
};
use futures_util::TryStreamExt;
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch};

use crate::cut::CutOff;

/// Far above what anything here takes on a busy machine; only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const CLUSTER: &str = "test-cluster";

pub(crate) struct Cluster {
    dir: TempDir,
    authority: CertificateAuthority,
    pub(crate) members: Vec<Member>,
    servers: BTreeMap<ServerId, Server>,
    cut_off: CutOff,
    pub(crate) limits: Limits,
    pub(crate) profile: ElectionProfile,
    pub(crate) reads: ReadMode,
}

/// One running server.
struct Server {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // A runtime cannot be dropped where one runs; this gives it up without waiting.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Cluster {
    /// Nothing runs yet.
    pub(crate) fn new(size: u64) -> Self {
        let members = (1..=size).map(|id| Member {
            id: ServerId(id),
            name: format!("server-{id}"),
            peer: free_address().to_string(),
            api: format!("127.0.0.1:{id}"),
        });
        Self {
            dir: TempDir::new().unwrap(),
            authority: CertificateAuthority::generate(CLUSTER).unwrap(),
            members: members.collect(),
            servers: BTreeMap::new(),
            cut_off: CutOff::default(),
            limits: Limits { segment_bytes: 256 * 1024, ..Limits::default() },
            // Not the fast one: a busy machine keeps a leader from its heartbeats for longer than that.
            profile: ElectionProfile::Standard,
            reads: ReadMode::default(),
        }
    }

    /// All members run and one leads.
    pub(crate) async fn formed(size: u64) -> Self {
        let mut cluster = Self::new(size);
        cluster.form().await;
        cluster
    }

    pub(crate) async fn form(&mut self) {
        self.start_all().await;
        let members = self.members.clone();
        self.on(ServerId(1), async move |handle| handle.initialize(members).await.unwrap()).await;
        self.ready_leader().await;
    }

    pub(crate) async fn start_all(&mut self) {
        for id in self.ids() {
            self.start(id).await;
        }
    }

    /// A server beside the members, under the next id; it runs and belongs to nothing yet.
    pub(crate) async fn start_another(&mut self) -> Member {
        let id = ServerId(self.members.iter().map(|member| member.id.0).max().unwrap_or_default() + 1);
        let (name, peer) = (format!("server-{id}"), free_address().to_string());
        let member = Member { id, name, peer, api: format!("127.0.0.1:{id}") };
        self.members.push(member.clone());
        self.start(id).await;
        member
    }

    pub(crate) fn ids(&self) -> Vec<ServerId> {
        self.members.iter().map(|member| member.id).collect()
    }

    pub(crate) fn data_dir(&self, id: ServerId) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    pub(crate) async fn start(&mut self, id: ServerId) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let member = self.members.iter().find(|member| member.id == id).unwrap();
        let mut config = Config::new(id, CLUSTER.into(), self.data_dir(id));
        config.limits = self.limits.clone();
        config.profile = self.profile;
        config.reads = self.reads;
        let identity = self.identity(id, &server_uri(&CLUSTER.into(), id));
        let cut_off = self.cut_off.clone();
        let running = runtime.spawn(serve(config, identity, member.peer.parse().unwrap(), cut_off));
        let handle = tokio::time::timeout(PATIENCE, running).await.expect("a server does not start").unwrap();
        self.servers.insert(id, Server { handle, runtime: Some(runtime) });
    }

    pub(crate) fn identity(&self, id: ServerId, uri: &str) -> Identity {
        let subject = Subject {
            common_name: format!("server-{id}"),
            uris: vec![uri.to_owned()],
            dns_names: vec![SERVER_DNS_NAME.to_owned()],
            server_auth: true,
            client_auth: true,
            lifetime: Duration::from_secs(3_600),
            ..Subject::default()
        };
        let issued = self.authority.issue(&subject).unwrap();
        let own = Some((issued.cert_pem.into_bytes(), issued.key_pem.into_bytes()));
        Identity::from_pem(Pem { own, ca: self.authority.cert_pem().as_bytes().to_vec() }).unwrap()
    }

    pub(crate) fn handle(&self, id: ServerId) -> Handle {
        self.servers[&id].handle.clone()
    }

    pub(crate) fn is_running(&self, id: ServerId) -> bool {
        self.servers.contains_key(&id)
    }

    /// Runs something on the server's own runtime.
    pub(crate) async fn on<T, F>(&self, id: ServerId, work: impl FnOnce(Handle) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let server = &self.servers[&id];
        let work = work(server.handle.clone());
        let running = server.runtime.as_ref().unwrap().spawn(work);
        tokio::time::timeout(PATIENCE, running).await.expect("a call hangs").unwrap()
    }

    /// As a power cut: nothing is handed over or flushed.
    pub(crate) fn crash(&mut self, id: ServerId) {
        drop(self.servers.remove(&id));
    }

    /// In good order.
    pub(crate) async fn stop(&mut self, id: ServerId) {
        self.on(id, async |handle| handle.shutdown().await).await;
        self.crash(id);
    }

    pub(crate) fn cut_off(&self, id: ServerId) {
        self.cut_off.cut(id);
    }

    pub(crate) fn make_frail(&self, id: ServerId, bytes: u64) {
        self.cut_off.make_frail(id, bytes);
    }

    pub(crate) fn heal(&self) {
        self.cut_off.heal();
    }

    /// The server that leads and is ready, seen by itself.
    pub(crate) async fn ready_leader(&self) -> ServerId {
        self.ready_leader_but(None).await
    }

    pub(crate) async fn ready_leader_but(&self, except: Option<ServerId>) -> ServerId {
        let candidates = self.servers.iter().filter(|(id, _)| Some(**id) != except);
        let ready = candidates.map(|(id, server)| {
            let mut leadership = server.handle.leadership();
            Box::pin(async move {
                until(&mut leadership, |leadership: &Leadership| leadership.ready).await;
                *id
            })
        });
        futures_util::future::select_all(ready).await.0
    }

    pub(crate) async fn leader_handle(&self) -> Handle {
        let id = self.ready_leader().await;
        self.handle(id)
    }

    /// Writes on whoever leads, again and again until it is acknowledged.
    pub(crate) async fn write(&self, name: &str) -> Revision {
        self.write_but(None, name).await
    }

    pub(crate) async fn write_but(&self, except: Option<ServerId>, name: &str) -> Revision {
        loop {
            let leader = self.ready_leader_but(except).await;
            let name = name.to_owned();
            match self.on(leader, async move |handle| create(&handle, &name).await).await {
                Ok(revision) => return revision,
                Err(ProposeError::NotLeader { .. } | ProposeError::Timeout | ProposeError::ShuttingDown) => {}
                Err(error) => panic!("a write was refused: {error}"),
            }
        }
    }

    /// A linearizable read by one server. It asks again when the leader has changed under it, as clients do.
    pub(crate) async fn read(&self, id: ServerId) -> View {
        loop {
            match self.on(id, async |handle| handle.linearizable().await).await {
                Ok(view) => return view,
                Err(ReadError::NoLeader | ReadError::Behind { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("a read was refused: {error}"),
            }
        }
    }

    /// Waits until the server has applied the revision.
    pub(crate) async fn applied(&self, id: ServerId, revision: Revision) {
        until(&mut self.handle(id).applied(), |applied| *applied >= revision).await;
    }
}

async fn serve(config: Config, identity: Identity, address: SocketAddr, cut_off: CutOff) -> Handle {
    let tasks = Tasks::new();
    let this = config.server_id;
    let dialer = PeerDialer::tls(identity.clone(), config.cluster_id.clone());
    let handle = boss_raft::start(config, dialer, Arc::new(SystemClock), tasks.clone()).await.unwrap();
    let acceptor = server_acceptor(identity, ClientAuth::Required);
    let limits = ListenerLimits {
        connections_max: 64,
        connections_per_source_max: 64,
        handshake_timeout: Duration::from_secs(5),
    };
    let listener = bind(address, acceptor, limits).await;
    let identities = cut_off.clone();
    let service = handle.peer_service(Arc::new(move |extensions| identities.identify(this, extensions)));
    let incoming = listener.accept(&tasks).map_ok(move |stream| cut_off.watched(this, stream));
    let serving = tonic::transport::Server::builder().add_service(service.into_server()).serve_with_incoming(incoming);
    tasks.spawn("peer-listener", boss_base::tasks::OnExit::Log, async move { serving.await.unwrap() });
    handle
}

/// The sockets of a crashed server may take a moment to go.
async fn bind(address: SocketAddr, acceptor: boss_base::tls::Acceptor, limits: ListenerLimits) -> Listener {
    loop {
        match Listener::bind(address, acceptor.clone(), limits).await {
            Ok(listener) => return listener,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
            Err(error) => panic!("cannot listen on {address}: {error}"),
        }
    }
}

/// Each is given away once: the kernel may well name a port again that nobody listens on yet.
fn free_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    loop {
        let address = std::net::TcpListener::bind((own_address(), 0)).unwrap().local_addr().unwrap();
        if GIVEN.lock().unwrap().insert(address) {
            return address;
        }
    }
}

/// A loopback address that no other process uses: a port that was free on it a moment ago is not given away to somebody's
/// outgoing connection.
fn own_address() -> std::net::Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    std::net::Ipv4Addr::new(127, high + 1, middle, low)
}

/// Waits for a condition, not for a time.
pub(crate) async fn until<T>(receiver: &mut watch::Receiver<T>, condition: impl FnMut(&T) -> bool) {
    tokio::time::timeout(PATIENCE, receiver.wait_for(condition)).await.expect("a condition never holds").unwrap();
}

/// Looks again and again at what nothing announces.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let look = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Creates a namespace; its name is all that matters here.
pub(crate) async fn create(handle: &Handle, name: &str) -> Result<Revision, ProposeError> {
    create_with(handle, name, None).await
}

/// The same with a note of many bytes that cannot be packed.
pub(crate) async fn create_with(handle: &Handle, name: &str, note: Option<String>) -> Result<Revision, ProposeError> {
    let annotations = note.into_iter().map(|note| ("note".to_owned(), note)).collect();
    let metadata =
        v1::ObjectMeta { name: name.to_owned(), uid: format!("uid-{name}"), annotations, ..Default::default() };
    let object = v1::Namespace { metadata: Some(metadata), ..Default::default() }.into_object();
    loop {
        let outcome = handle.propose(vec![operation(handle, object.clone())]).await?.remove(0);
        match outcome {
            Outcome::Written { revision, .. } => return Ok(revision),
            Outcome::Readmit => {}
            // An attempt whose answer was lost.
            Outcome::Rejected(boss_raft::state::Rejection::AlreadyExists { current }) => return Ok(current),
            other => panic!("the rules refuse {name}: {other:?}"),
        }
    }
}

pub(crate) fn operation(handle: &Handle, object: v1::Object) -> Operation {
    let caller = Caller {
        uid: "system:scheduler".to_owned(),
        username: "system:scheduler".to_owned(),
        groups: vec!["system:servers".to_owned()],
        ..Caller::default()
    };
    Operation {
        caller: Some(caller),
        admission_epoch: handle.view().admission_epoch(""),
        action: Some(Action::Create(Create { object: Some(object) })),
        ..Operation::default()
    }
}

pub(crate) fn names(view: &View) -> Vec<String> {
    view.list(boss_proto::kind::Kind::Namespace, None).map(|record| record.key.name.clone()).collect()
}

pub(crate) fn cluster_id() -> ClusterId {
    CLUSTER.into()
}
