//! A cluster in this process, and callers of every sort.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use boss_base::{
    clock::{Clock, SystemClock},
    files,
    jwt::SigningKey,
    pki::{CertificateAuthority, Subject},
    tasks::{OnExit, Tasks},
    telemetry::{self, Metrics},
    tls::{self, Expected, connector},
};
use boss_proto::{
    SERVER_DNS_NAME,
    ids::{ClusterId, Revision, ServerId},
    manifest,
    v1::{
        CreateRequest, DeleteRequest, ErrorInfo, GetRequest, Object, ObjectKey, RequestId, UpdateRequest,
        WriteResponse, registry_client::RegistryClient,
    },
};
use boss_raft::{ElectionProfile, Member};
use boss_server::{
    app::{App, BuildError, Environment, RunError},
    config::{Config, Listen},
};
use prost::Message;
use serde_json::json;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// The machine may be busy with other things: only a hang should reach it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const CLUSTER: &str = "test-cluster";

/// Servers of one cluster; they stop when it is dropped.
pub(crate) struct Cluster {
    /// Removed when the cluster is dropped.
    _folder: tempfile::TempDir,
    pub(crate) ca: CertificateAuthority,
    pub(crate) signing_key: SigningKey,
    pub(crate) configs: Vec<Config>,
    pub(crate) running: Vec<Running>,
    tasks: Tasks,
}

/// One server.
pub(crate) struct Running {
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: oneshot::Receiver<Result<(), RunError>>,
}

impl Cluster {
    /// Starts `count` servers and waits until the built-in objects are there.
    pub(crate) async fn start(count: u64) -> Self {
        Self::prepare(count).bring_up().await
    }

    /// The same of what was prepared.
    pub(crate) async fn bring_up(mut self) -> Self {
        for index in 0..self.configs.len() {
            let running = self.run(index).await.unwrap();
            self.running.push(running);
        }
        self.wait_until_usable().await;
        self
    }

    /// Everything on disk, nothing running.
    pub(crate) fn prepare(count: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = CertificateAuthority::generate(CLUSTER).unwrap();
        let signing_key = SigningKey::generate().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.cert_pem()).unwrap();
        std::fs::write(folder.path().join("token.pem"), signing_key.public_pem()).unwrap();
        let sealing_key = boss_base::sealing::new_key_line().unwrap();
        files::write_atomic(&folder.path().join("sealing.keys"), sealing_key.as_bytes(), files::PRIVATE).unwrap();
        let listens = free_ports(count);
        let members: Vec<Member> = listens.iter().zip(1..).map(|(listen, id)| member(listen, id)).collect();
        let configs =
            listens.iter().zip(&members).map(|(listen, own)| config(folder.path(), &ca, *listen, own, &members));
        let configs = configs.collect();
        Self { ca, signing_key, configs, running: Vec::new(), tasks: Tasks::new(), _folder: folder }
    }

    /// Builds and runs one of the servers.
    pub(crate) async fn run(&self, index: usize) -> Result<Running, BuildError> {
        // Once for each process; further clusters in it count there too.
        static METRICS: OnceLock<Option<Metrics>> = OnceLock::new();
        let metrics = METRICS.get_or_init(|| telemetry::init_metrics().ok()).clone();
        let environment = Environment::new(Arc::new(SystemClock), metrics);
        let app = App::build(self.configs[index].clone(), environment).await?;
        let shutdown = self.tasks.token().child_token();
        let (told, ended) = oneshot::channel();
        let token = shutdown.clone();
        self.tasks.spawn(format!("server {}", index + 1), OnExit::Log, async move {
            let _ = told.send(Box::pin(app.run(token)).await);
        });
        Ok(Running { shutdown, ended })
    }

    async fn wait_until_usable(&self) {
        let mut registry = self.admin(0);
        let namespace = key("Namespace", "", "default");
        eventually("the built-in objects", || {
            let mut registry = registry.clone();
            let request = GetRequest { key: Some(namespace.clone()), ..Default::default() };
            async move { registry.get(request).await.is_ok() }
        })
        .await;
        // The namespace is the first built-in object, not the last.
        let binding = key("ClusterRoleBinding", "", "system:nodes");
        eventually("the built-in bindings", || {
            let mut registry = registry.clone();
            let request = GetRequest { key: Some(binding.clone()), ..Default::default() };
            async move { registry.get(request).await.is_ok() }
        })
        .await;
        let _ = &mut registry;
    }

    /// The file of sealing keys that all servers share.
    pub(crate) fn sealing_keys(&self) -> PathBuf {
        self.configs[0].sealing_keys.clone().unwrap()
    }

    pub(crate) fn api(&self, index: usize) -> SocketAddr {
        self.configs[index].listen.api
    }

    /// The caller with all rights, by token.
    pub(crate) fn admin(&self, index: usize) -> Registry {
        let token = self.token("admin", &["system:admins"]);
        self.registry(index, Some(token))
    }

    /// A caller by token; without one, by nothing.
    pub(crate) fn registry(&self, index: usize, token: Option<String>) -> Registry {
        RegistryClient::with_interceptor(self.channel(index, None), Bearer::new(token))
            .max_decoding_message_size(16 << 20)
    }

    /// A caller by certificate.
    pub(crate) fn registry_by_certificate(&self, index: usize, role: &str, name: &str, groups: &[&str]) -> Registry {
        let channel = self.channel(index, Some((&self.ca, role, name, groups)));
        RegistryClient::with_interceptor(channel, Bearer::new(None))
    }

    /// A connection to the API of a server.
    pub(crate) fn channel(
        &self,
        index: usize,
        certificate: Option<(&CertificateAuthority, &str, &str, &[&str])>,
    ) -> Channel {
        self.dial(self.api(index), certificate)
    }

    pub(crate) fn dial(
        &self,
        address: SocketAddr,
        certificate: Option<(&CertificateAuthority, &str, &str, &[&str])>,
    ) -> Channel {
        self.dial_as(address, certificate.map(|(ca, role, name, groups)| issue(ca, role, name, groups)))
    }

    /// A connection that shows this certificate and its key.
    pub(crate) fn dial_as(&self, address: SocketAddr, own: Option<(Vec<u8>, Vec<u8>)>) -> Channel {
        let identity = tls::Identity::from_pem(tls::Pem { own, ca: self.ca.cert_pem().as_bytes().to_vec() }).unwrap();
        let expected = Expected::name(SERVER_DNS_NAME).unwrap();
        Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .timeout(PATIENCE)
            .connect_with_connector_lazy(connector(identity, expected))
    }

    /// A token of this cluster, good for an hour.
    pub(crate) fn token(&self, name: &str, groups: &[&str]) -> String {
        self.token_for(name, groups, Duration::from_secs(3_600))
    }

    pub(crate) fn token_for(&self, name: &str, groups: &[&str], lifetime: Duration) -> String {
        let now = SystemClock.unix_seconds();
        let claims = json!({
            "iss": "boss", "aud": CLUSTER, "sub": format!("user:{name}"), "jti": format!("{name}-{now}"),
            "iat": now, "nbf": now, "exp": now + lifetime.as_secs(), "name": name, "groups": groups,
        });
        self.signing_key.sign(&claims).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

pub(crate) type Registry = RegistryClient<InterceptedService<Channel, Bearer>>;

/// Adds a token to each call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    pub(crate) fn new(token: Option<String>) -> Self {
        Self(token.map(|token| format!("Bearer {token}").parse().unwrap()))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// The certificate and key of a server, node or user.
pub(crate) fn issue(ca: &CertificateAuthority, role: &str, name: &str, groups: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let is_server = role == "server";
    let subject = Subject {
        common_name: name.to_owned(),
        organizations: groups.iter().map(ToString::to_string).collect(),
        uris: vec![format!("boss://{CLUSTER}/{role}/{name}")],
        dns_names: if is_server { vec![SERVER_DNS_NAME.to_owned()] } else { vec![] },
        server_auth: is_server,
        client_auth: true,
        lifetime: Duration::from_secs(3_600),
        ..Subject::default()
    };
    let issued = ca.issue(&subject).unwrap();
    (issued.cert_pem.into_bytes(), issued.key_pem.into_bytes())
}

/// All are held until the last one is found, so that none is given twice.
fn free_ports(servers: u64) -> Vec<Listen> {
    let held: Vec<_> = (0..servers * 3).map(|_| TcpListener::bind((own_address(), 0)).unwrap()).collect();
    let ports: Vec<SocketAddr> = held.iter().map(|listener| listener.local_addr().unwrap()).collect();
    ports.chunks(3).map(|ports| Listen { api: ports[0], peer: ports[1], http: ports[2] }).collect()
}

/// A loopback address that no other process uses: a port that was free on it a moment ago is not given away to somebody's
/// outgoing connection.
fn own_address() -> std::net::Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    std::net::Ipv4Addr::new(127, high + 1, middle, low)
}

fn member(listen: &Listen, id: u64) -> Member {
    Member {
        id: ServerId(id),
        name: format!("server-{id}"),
        peer: listen.peer.to_string(),
        api: listen.api.to_string(),
    }
}

fn config(folder: &Path, ca: &CertificateAuthority, listen: Listen, own: &Member, members: &[Member]) -> Config {
    let own_folder = folder.join(&own.name);
    std::fs::create_dir_all(&own_folder).unwrap();
    let (certificate, key) = issue(ca, "server", &own.id.to_string(), &[]);
    let files = tls::Files {
        certificate: own_folder.join("server.crt"),
        key: own_folder.join("server.key"),
        ca: folder.join("ca.pem"),
    };
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, key).unwrap();
    Config {
        id: own.id,
        name: own.name.clone(),
        cluster_id: ClusterId::from(CLUSTER),
        data_dir: own_folder.join("data"),
        listen,
        tls: files,
        token_keys: vec![folder.join("token.pem")],
        token_issuer: None,
        oidc: None,
        ca_key: None,
        lifetimes: Default::default(),
        sealing_keys: Some(folder.join("sealing.keys")),
        profile: ElectionProfile::Standard,
        reads: boss_raft::ReadMode::default(),
        audit: boss_server::audit::Settings::in_folder(own_folder.join("audit")),
        log: boss_server::config::LogBounds::default(),
        disk_reserve_bytes: boss_raft::config::DISK_RESERVE_BYTES,
        members: members.to_vec(),
        initialize: own.id == ServerId(1),
        log_format: boss_base::telemetry::Format::Text,
    }
}

/// Waits until `holds` does.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

pub(crate) fn key(kind: &str, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
}

pub(crate) fn object(yaml: &str) -> Object {
    manifest::from_yaml(&format!("apiVersion: boss.dev/v1\n{yaml}")).unwrap().remove(0)
}

/// A small pod that no node can run, so that nothing happens to it.
pub(crate) fn pod(name: &str, labels: &str) -> Object {
    object(&format!(
        "kind: Pod\nmetadata: {{name: {name}, labels: {{{labels}}}}}\nspec: {{containers: [{{command: [sleep]}}]}}"
    ))
}

pub(crate) async fn create(registry: &mut Registry, object: Object) -> Result<WriteResponse, Status> {
    let request =
        CreateRequest { object: Some(object), request_id: Some(RequestId::random(Revision(0))), ..Default::default() };
    registry.create(request).await.map(tonic::Response::into_inner)
}

pub(crate) async fn update(registry: &mut Registry, object: Object) -> Result<WriteResponse, Status> {
    let request =
        UpdateRequest { object: Some(object), request_id: Some(RequestId::random(Revision(0))), ..Default::default() };
    registry.update(request).await.map(tonic::Response::into_inner)
}

pub(crate) async fn get(registry: &mut Registry, key: ObjectKey) -> Result<Object, Status> {
    let response = registry.get(GetRequest { key: Some(key), ..Default::default() }).await?;
    Ok(response.into_inner().object.unwrap())
}

pub(crate) async fn delete(registry: &mut Registry, key: ObjectKey) -> Result<bool, Status> {
    let request =
        DeleteRequest { key: Some(key), request_id: Some(RequestId::random(Revision(0))), ..Default::default() };
    Ok(registry.delete(request).await?.into_inner().gone)
}

/// What the server says beside the code.
pub(crate) fn info(status: &Status) -> ErrorInfo {
    let value = status.metadata().get_bin("boss-error-bin").unwrap_or_else(|| panic!("no error info in {status:?}"));
    ErrorInfo::decode(value.to_bytes().unwrap()).unwrap()
}

#[track_caller]
pub(crate) fn check_reason<T: std::fmt::Debug>(result: Result<T, Status>, reason: &str) -> ErrorInfo {
    let status = result.expect_err("it must be refused");
    let info = info(&status);
    assert_eq!(info.reason, reason, "{status:?}");
    info
}

/// A file beside the data of a server.
pub(crate) fn data_dir(cluster: &Cluster, index: usize) -> PathBuf {
    cluster.configs[index].data_dir.clone()
}
