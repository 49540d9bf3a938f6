//! Servers of one cluster in this process, with real certificates on loopback ports.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use boss_base::{clock::SystemClock, jwt, pki, telemetry::Format, tls};
use boss_proto::{
    SERVER_DNS_NAME,
    ids::{ClusterId, ServerId},
};
use boss_raft::{ElectionProfile, Member};
use boss_server::{
    app::{App, Environment},
    config::{Config, Listen},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

const CLUSTER: &str = "test-cluster";

/// Who calls.
pub(crate) enum Who<'a> {
    /// The agent of this node.
    Node(&'a str),
    /// A user of the group system:admins.
    Admin,
    /// A user without any right.
    Nobody,
}

struct Server {
    listen: Listen,
    shutdown: CancellationToken,
    running: Option<JoinHandle<()>>,
}

/// All of them.
pub(crate) struct Cluster {
    ca: pki::CertificateAuthority,
    folder: tempfile::TempDir,
    servers: Vec<Server>,
}

impl Cluster {
    /// Starts and forms a cluster.
    pub(crate) async fn start(count: u64) -> Self {
        let ca = pki::CertificateAuthority::generate(CLUSTER).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.cert_pem()).unwrap();
        let keys = folder.path().join("tokens.pem");
        std::fs::write(&keys, jwt::SigningKey::generate().unwrap().public_pem()).unwrap();
        let listens: Vec<_> = free_ports(count).collect();
        let mut cluster = Self { ca, folder, servers: Vec::new() };
        for listen in &listens {
            let id = cluster.servers.len() as u64 + 1;
            let server = cluster.start_server(id, *listen, &listens).await;
            cluster.servers.push(server);
        }
        cluster
    }

    #[expect(clippy::disallowed_methods, reason = "the test owns the task")]
    async fn start_server(&self, id: u64, listen: Listen, all: &[Listen]) -> Server {
        let member = |(index, listen): (usize, &Listen)| Member {
            id: ServerId(index as u64 + 1),
            name: format!("server-{}", index + 1),
            peer: listen.peer.to_string(),
            api: listen.api.to_string(),
        };
        let config = Config {
            id: ServerId(id),
            name: format!("server-{id}"),
            cluster_id: ClusterId::new(CLUSTER),
            data_dir: self.folder.path().join(format!("data-{id}")),
            listen,
            tls: self.files(&format!("server-{id}"), &format!("server/{id}"), &[]),
            token_keys: vec![self.folder.path().join("tokens.pem")],
            token_issuer: None,
            oidc: None,
            ca_key: None,
            lifetimes: Default::default(),
            sealing_keys: None,
            profile: ElectionProfile::Standard,
            reads: boss_raft::ReadMode::default(),
            audit: boss_server::audit::Settings::in_folder(self.folder.path().join(format!("audit-{id}"))),
            log: boss_server::config::LogBounds::default(),
            disk_reserve_bytes: boss_raft::config::DISK_RESERVE_BYTES,
            members: all.iter().enumerate().map(member).collect(),
            initialize: id == 1,
            log_format: Format::Text,
        };
        let environment = Environment::new(Arc::new(SystemClock), None);
        let app = App::build(config, environment).await.unwrap();
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let running = tokio::spawn(async move { app.run(token).await.unwrap() });
        Server { listen, shutdown, running: Some(running) }
    }

    fn files(&self, name: &str, role: &str, groups: &[&str]) -> tls::Files {
        let subject = pki::Subject {
            common_name: name.to_owned(),
            organizations: groups.iter().map(|group| (*group).to_owned()).collect(),
            uris: vec![format!("boss://{CLUSTER}/{role}")],
            dns_names: vec![SERVER_DNS_NAME.to_owned()],
            server_auth: role.starts_with("server/"),
            client_auth: true,
            lifetime: Duration::from_secs(3_600),
            ..Default::default()
        };
        let issued = self.ca.issue(&subject).unwrap();
        let file = |ending: &str, text: &str| {
            let path = self.folder.path().join(format!("{name}.{ending}"));
            std::fs::write(&path, text).unwrap();
            keep_secret(&path);
            path
        };
        tls::Files {
            certificate: file("crt", &issued.cert_pem),
            key: file("key", &issued.key_pem),
            ca: self.folder.path().join("ca.pem"),
        }
    }

    /// A channel to server `number` (from 1).
    pub(crate) fn channel(&self, number: usize, who: &Who<'_>) -> Channel {
        let files = match who {
            Who::Node(name) => self.files(name, &format!("node/{name}"), &[]),
            Who::Admin => self.files("root", "user/root", &["system:admins"]),
            Who::Nobody => self.files("nobody", "user/nobody", &[]),
        };
        let identity = tls::Identity::load(&files).unwrap();
        let address = self.servers[number - 1].listen.api;
        let expected = tls::Expected::name(SERVER_DNS_NAME).unwrap();
        Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .connect_with_connector_lazy(tls::connector(identity, expected))
    }

    /// Stops server `number` in good order.
    pub(crate) async fn stop_server(&mut self, number: usize) {
        let server = &mut self.servers[number - 1];
        server.shutdown.cancel();
        server.running.take().expect("it runs").await.unwrap();
    }

    /// Stops the servers that run.
    pub(crate) async fn stop(mut self) {
        self.servers.iter().for_each(|server| server.shutdown.cancel());
        for server in &mut self.servers {
            if let Some(running) = server.running.take() {
                running.await.unwrap();
            }
        }
    }
}

fn keep_secret(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// All are held until the last one is found, so that none is given twice.
fn free_ports(servers: u64) -> impl Iterator<Item = Listen> {
    let bind = |_| std::net::TcpListener::bind((own_address(), 0)).unwrap();
    let held: Vec<_> = (0..servers * 3).map(bind).collect();
    let ports: Vec<SocketAddr> = held.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let listens: Vec<_> =
        ports.chunks(3).map(|ports| Listen { api: ports[0], peer: ports[1], http: ports[2] }).collect();
    listens.into_iter()
}

/// A loopback address that no other process uses: a port that was free on it a moment ago is not given away to somebody's
/// outgoing connection.
fn own_address() -> std::net::Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    std::net::Ipv4Addr::new(127, high + 1, middle, low)
}
