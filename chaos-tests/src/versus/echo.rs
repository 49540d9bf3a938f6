//! The ceiling: a bare tonic server that answers every read with the same object, behind the same TLS and with the same
//! bounds as a Boss server. It runs in a process of its own, as Boss does.

use std::{
    convert::Infallible,
    future::Ready,
    io,
    path::Path,
    process::Command,
    task::{Context, Poll},
};

use boss_base::{
    tasks::Tasks,
    tls::{ClientAuth, Files, Identity, Limits, Listener, server_acceptor},
};
use boss_proto::{limits::STREAMS_PER_CONNECTION_MAX, v1};
use bossctl::bench::{Random, value};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, UnaryService},
    transport::Server,
};
use tonic_prost::ProstCodec;

use crate::{binaries, cluster::PATIENCE, ports::Port, process::Process, wait};

const HANDSHAKE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
const CONNECTIONS_MAX: usize = 4_096;

#[derive(Clone)]
struct Echo {
    answer: v1::GetResponse,
}

impl NamedService for Echo {
    const NAME: &'static str = "boss.v1.Registry";
}

impl UnaryService<v1::GetRequest> for Echo {
    type Response = v1::GetResponse;
    type Future = Ready<Result<Response<v1::GetResponse>, Status>>;

    fn call(&mut self, _request: Request<v1::GetRequest>) -> Self::Future {
        std::future::ready(Ok(Response::new(self.answer.clone())))
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<v1::GetResponse, v1::GetRequest>::default();
            Ok(Grpc::new(codec).unary(service, request).await)
        })
    }
}

/// An object as a put of so many bytes stores it.
fn answer(value_bytes: usize) -> v1::GetResponse {
    let metadata = v1::ObjectMeta {
        name: "key-00000001".to_owned(),
        namespace: "bench".to_owned(),
        uid: boss_proto::ids::Uid::random().to_string(),
        generation: 1,
        resource_version: 1_000_000,
        creation_timestamp: Some(pbjson_types::Timestamp { seconds: 1_795_000_000, nanos: 1_000_000 }),
        ..Default::default()
    };
    let data = [("value".to_owned(), value(value_bytes, &mut Random::new(1)))].into();
    let object = v1::ConfigMap { metadata: Some(metadata), data, ..Default::default() }.into();
    v1::GetResponse { object: Some(object), revision: 1_000_000 }
}

/// Serves on a port of the loopback address with the certificate of the server folder, until the process is killed.
pub async fn serve_echo(port: u16, server_folder: &Path, value_bytes: usize) -> io::Result<()> {
    let tls = |name: &str| server_folder.join("tls").join(name);
    let files = Files { certificate: tls("server.crt"), key: tls("server.key"), ca: tls("ca.crt") };
    let identity = Identity::load(&files).map_err(io::Error::other)?;
    let limits = Limits {
        connections_max: CONNECTIONS_MAX,
        // All of them are the load generator's.
        connections_per_source_max: CONNECTIONS_MAX,
        handshake_timeout: HANDSHAKE_TIMEOUT,
    };
    let acceptor = server_acceptor(identity, ClientAuth::Optional);
    let listener = Listener::bind(([127, 0, 0, 1], port).into(), acceptor, limits).await?;
    let server = Server::builder().max_concurrent_streams(STREAMS_PER_CONNECTION_MAX).tcp_nodelay(true);
    let router = { server }.add_service(Echo { answer: answer(value_bytes) });
    router.serve_with_incoming(listener.accept(&Tasks::new())).await.map_err(io::Error::other)
}

/// Starts such a process and waits until it listens.
pub(super) async fn spawn(port: &Port, server_folder: &Path, value_bytes: usize) -> Process {
    let program = binaries::find("boss-bench").unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(program);
    command.args(["echo-server", "--port", &port.number().to_string()]);
    command.args(["--value-size", &value_bytes.to_string(), "--server-folder"]).arg(server_folder);
    let process = Process::spawn(&mut command).unwrap_or_else(|error| panic!("the echo does not start: {error}"));
    let listening = wait::until("the echo listens", PATIENCE, async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port.number())).await.map(drop)
    });
    listening.await.unwrap_or_else(|error| panic!("{error}"));
    process
}
