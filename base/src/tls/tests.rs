//! Handshakes over loopback: trust, reload, bounds.

use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;
use crate::{
    pki::{CertificateAuthority, Subject},
    tasks::{OnExit, Tasks},
};

const NAME: &str = "service.example";
const SOON: Duration = Duration::from_secs(10);

fn subject(id: &str) -> Subject {
    Subject {
        common_name: id.to_owned(),
        uris: vec![format!("example://x/{id}")],
        dns_names: vec![NAME.to_owned()],
        server_auth: true,
        client_auth: true,
        lifetime: Duration::from_secs(3_600),
        ..Subject::default()
    }
}

fn pem(authority: &CertificateAuthority, subject: &Subject) -> Pem {
    let issued = authority.issue(subject).unwrap();
    let own = (issued.cert_pem.into_bytes(), issued.key_pem.into_bytes());
    Pem { own: Some(own), ca: authority.cert_pem().as_bytes().to_vec() }
}

fn identity(authority: &CertificateAuthority, id: &str) -> Identity {
    Identity::from_pem(pem(authority, &subject(id))).unwrap()
}

fn write(directory: &Path, pem: &Pem) -> Files {
    let files = Files { certificate: directory.join("cert"), key: directory.join("key"), ca: directory.join("ca") };
    let (certificate, key) = pem.own.as_ref().unwrap();
    for (path, bytes) in [(&files.certificate, certificate), (&files.key, key), (&files.ca, &pem.ca)] {
        fs::write(path, bytes).unwrap();
    }
    files
}

/// Serves `<common name of the caller>\n` and then an echo, to everybody who is let in.
struct Service {
    tasks: Tasks,
    address: SocketAddr,
}

async fn serve(identity: Identity, client_auth: ClientAuth, limits: Limits) -> Service {
    serve_with(server_acceptor(identity, client_auth), limits).await
}

async fn serve_with(acceptor: Acceptor, limits: Limits) -> Service {
    let tasks = Tasks::new();
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), acceptor, limits).await.unwrap();
    let address = listener.local_address();
    let mut incoming = listener.accept(&tasks);
    let connections = tasks.clone();
    tasks.spawn("service", OnExit::Log, async move {
        while let Some(Ok(stream)) = incoming.next().await {
            connections.spawn("connection", OnExit::Log, async move {
                let _ = answer(stream).await;
            });
        }
    });
    Service { tasks, address }
}

async fn answer(mut stream: TlsStream) -> io::Result<()> {
    let name = stream.peer().certificate.as_ref().map_or("nobody", |certificate| &certificate.common_name).to_owned();
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    let mut buffer = [0; 256];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

fn limits() -> Limits {
    Limits { connections_max: 64, connections_per_source_max: 64, handshake_timeout: SOON }
}

fn expected() -> Expected {
    Expected::name(NAME).unwrap()
}

type Plain = Dialled;

async fn dial(service: &Service, identity: &Identity, expected: Expected) -> Result<Plain, ConnectError> {
    let uri = format!("http://{}", service.address).parse().unwrap();
    connector(identity.clone(), expected).connect(&uri).await.map(TokioIo::into_inner)
}

/// What the service calls the caller. A refused certificate shows only at the first read: TLS 1.3 lets clients
/// finish first.
async fn greeting(stream: &mut Plain) -> io::Result<String> {
    let mut line = String::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(line),
            byte => line.push(char::from(byte)),
        }
    }
}

async fn greeted(service: &Service, identity: &Identity) -> io::Result<String> {
    let connect = async {
        let mut stream = dial(service, identity, expected()).await.map_err(io::Error::other)?;
        greeting(&mut stream).await
    };
    tokio::time::timeout(SOON, connect).await.unwrap()
}

async fn echo(stream: &mut Plain) -> io::Result<()> {
    stream.write_all(b"ping").await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"ping");
    Ok(())
}

#[tokio::test]
async fn both_sides_of_one_authority_know_each_other() {
    let authority = CertificateAuthority::generate("x").unwrap();
    let service = serve(identity(&authority, "service"), ClientAuth::Required, limits()).await;
    assert_eq!(greeted(&service, &identity(&authority, "anna")).await.unwrap(), "anna");
    service.tasks.stop(SOON).await.unwrap();
}

#[tokio::test]
async fn a_foreign_authority_is_refused_by_both_sides() {
    let (ours, theirs) = (CertificateAuthority::generate("x").unwrap(), CertificateAuthority::generate("x").unwrap());
    let service = serve(identity(&ours, "service"), ClientAuth::Optional, limits()).await;
    let refused = dial(&service, &identity(&theirs, "anna"), expected()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Tls { .. }), "{refused}");

    let mut trusting = pem(&theirs, &subject("anna"));
    trusting.ca = ours.cert_pem().as_bytes().to_vec();
    assert!(greeted(&service, &Identity::from_pem(trusting).unwrap()).await.is_err());
}

#[tokio::test]
async fn a_caller_without_certificate_passes_only_where_that_is_optional() {
    let authority = CertificateAuthority::generate("x").unwrap();
    let anonymous = Pem { own: None, ca: authority.cert_pem().as_bytes().to_vec() };
    let anonymous = Identity::from_pem(anonymous).unwrap();
    let optional = serve(identity(&authority, "service"), ClientAuth::Optional, limits()).await;
    assert_eq!(greeted(&optional, &anonymous).await.unwrap(), "nobody");
    let required = serve(identity(&authority, "service"), ClientAuth::Required, limits()).await;
    let error = greeted(&required, &anonymous).await.unwrap_err();
    assert!(refusal(&error).unwrap().contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn expired_certificates_and_those_for_another_use_are_refused() {
    let authority = CertificateAuthority::generate("x").unwrap();
    let service = serve(identity(&authority, "service"), ClientAuth::Optional, limits()).await;
    let expired = authority.issue_at(&subject("anna"), 1_600_000_000).unwrap();
    let expired = Pem {
        own: Some((expired.cert_pem.into_bytes(), expired.key_pem.into_bytes())),
        ca: authority.cert_pem().as_bytes().to_vec(),
    };
    assert!(greeted(&service, &Identity::from_pem(expired).unwrap()).await.is_err());
    let no_client = pem(&authority, &Subject { client_auth: false, ..subject("anna") });
    assert!(greeted(&service, &Identity::from_pem(no_client).unwrap()).await.is_err());

    let no_server = pem(&authority, &Subject { server_auth: false, ..subject("service") });
    let service = serve(Identity::from_pem(no_server).unwrap(), ClientAuth::Optional, limits()).await;
    assert!(greeted(&service, &identity(&authority, "anna")).await.is_err());
}

#[tokio::test]
async fn another_name_or_uri_is_not_the_peer_that_we_want() {
    let authority = CertificateAuthority::generate("x").unwrap();
    let service = serve(identity(&authority, "one"), ClientAuth::Required, limits()).await;
    let anna = identity(&authority, "anna");
    dial(&service, &anna, expected().with_uri("example://x/one")).await.unwrap();
    let wrong = dial(&service, &anna, expected().with_uri("example://x/two")).await.unwrap_err();
    assert!(
        matches!(&wrong, ConnectError::WrongPeer { problem, .. } if problem.contains("example://x/one")),
        "{wrong}"
    );
    let both = expected().with_uri("example://x/one").with_check(|_| Err("no".to_owned()));
    assert!(matches!(dial(&service, &anna, both).await, Err(ConnectError::WrongPeer { .. })));
    let other = Expected::name("other.example").unwrap();
    assert!(matches!(dial(&service, &anna, other).await, Err(ConnectError::Tls { .. })));
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_the_wrong_one_there() {
    let authority = CertificateAuthority::generate("x").unwrap();
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let connector = connector(identity(&authority, "anna"), expected());
    let nobody = connector.connect(&format!("http://{unused}").parse().unwrap()).await.unwrap_err();
    assert!(matches!(nobody, ConnectError::Tcp { .. }));
    let without_port = connector.connect(&"http://localhost".parse().unwrap()).await.unwrap_err();
    assert!(matches!(without_port, ConnectError::Address(_)));
}

#[tokio::test]
async fn open_connections_are_closed_at_both_ends_once_a_certificate_counts_no_more() {
    let authority = CertificateAuthority::generate("x").unwrap();
    let (anna, revoked) = (identity(&authority, "anna"), Arc::new(Mutex::new(BTreeSet::new())));
    let judged = || {
        let (open, revoked) = (OpenConnections::default(), revoked.clone());
        open.judged_by(move |certificate| match revoked.lock().unwrap().contains(&certificate.common_name) {
            true => Err("it was revoked".to_owned()),
            false => Ok(()),
        });
        open
    };
    let (accepted, dialled) = (judged(), judged());
    let acceptor = server_acceptor(identity(&authority, "service"), ClientAuth::Required).among(accepted.clone());
    let service = serve_with(acceptor, limits()).await;
    let uri: http::Uri = format!("http://{}", service.address).parse().unwrap();
    let connector = connector(anna.clone(), expected()).among(dialled.clone());
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = connector.connect(&uri).await.unwrap().into_inner();
        greeting(&mut stream).await.unwrap();
        streams.push(stream);
    }
    assert_eq!((accepted.close_refused(), dialled.close_refused()), (0, 0));
    for stream in &mut streams {
        echo(stream).await.unwrap();
    }

    // The one that accepts closes what it has, and takes another one: who serves it says why nothing is answered.
    revoked.lock().unwrap().insert("anna".to_owned());
    assert_eq!(accepted.close_refused(), 2);
    let mut byte = [0];
    let ended = tokio::time::timeout(SOON, streams[0].read(&mut byte)).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    let mut another = connector.connect(&uri).await.unwrap().into_inner();
    assert_eq!(greeting(&mut another).await.unwrap(), "anna");

    // The one that dials closes what it has, whoever waits for it hears so, and it comes to nobody anew.
    revoked.lock().unwrap().insert("service".to_owned());
    let waiting = tokio::time::timeout(SOON, another.read(&mut byte));
    let (ended, closed) = tokio::join!(waiting, async { dialled.close_refused() });
    let error = ended.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{error}");
    assert_eq!(closed, 3, "those that the other end has closed are still held here");
    let refused = connector.connect(&uri).await.err().unwrap();
    assert!(matches!(&refused, ConnectError::WrongPeer { problem, .. } if problem == "it was revoked"), "{refused}");
    drop((streams, another));
    assert_eq!(dialled.close_all(), 0, "each leaves with its connection");
    service.tasks.stop(SOON).await.unwrap();
}

#[tokio::test]
async fn junk_and_silence_do_not_stop_the_accept_loop() {
    let authority = CertificateAuthority::generate("x").unwrap();
    let limits = Limits { handshake_timeout: Duration::from_millis(200), ..limits() };
    let service = serve(identity(&authority, "service"), ClientAuth::Required, limits).await;
    let silent = TcpStream::connect(service.address).await.unwrap();
    for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 600], &[0x16, 3, 1, 0xff, 0xff, 1], b""] {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        stream.write_all(junk).await.unwrap();
        let _ = stream.shutdown().await;
    }
    assert_eq!(greeted(&service, &identity(&authority, "anna")).await.unwrap(), "anna");
    // The silent one is closed when its time is over.
    let mut silent = silent;
    let end = tokio::time::timeout(SOON, silent.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_a_free_slot_is_used_again() {
    let authority = CertificateAuthority::generate("x").unwrap();
    let limits = Limits { connections_max: 1, ..limits() };
    let service = serve(identity(&authority, "service"), ClientAuth::Required, limits).await;
    let anna = identity(&authority, "anna");
    let mut first = dial(&service, &anna, expected()).await.unwrap();
    greeting(&mut first).await.unwrap();
    assert!(greeted(&service, &anna).await.is_err());
    echo(&mut first).await.unwrap();
    first.shutdown().await.unwrap();
    let again = async {
        while greeted(&service, &anna).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, again).await.unwrap();
}

#[tokio::test]
async fn a_reload_reaches_new_connections_and_leaves_the_open_ones_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (CertificateAuthority::generate("x").unwrap(), CertificateAuthority::generate("x").unwrap());
    let files = write(directory.path(), &pem(&old, &subject("service")));
    let server = Identity::load(&files).unwrap();
    let service = serve(server.clone(), ClientAuth::Required, limits()).await;
    let mut open = dial(&service, &identity(&old, "anna"), expected()).await.unwrap();
    greeting(&mut open).await.unwrap();
    assert_eq!(server.reload().unwrap(), Reloaded::Unchanged);

    write(directory.path(), &pem(&new, &subject("service")));
    assert_eq!(server.reload().unwrap(), Reloaded::Changed);
    assert_eq!(greeted(&service, &identity(&new, "anna")).await.unwrap(), "anna");
    assert!(greeted(&service, &identity(&old, "anna")).await.is_err());
    echo(&mut open).await.unwrap();
}

#[tokio::test]
async fn files_that_are_not_usable_leave_the_old_identity_and_later_ones_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (CertificateAuthority::generate("x").unwrap(), CertificateAuthority::generate("x").unwrap());
    let files = write(directory.path(), &pem(&old, &subject("old")));
    let identity = Identity::load(&files).unwrap();
    let tasks = Tasks::new();
    identity.reload_on_change(&tasks, Duration::from_millis(5));
    fs::write(&files.key, "junk").unwrap();
    assert!(identity.reload().is_err());
    assert_eq!(identity.certificate().unwrap().common_name, "old");

    write(directory.path(), &pem(&new, &subject("new")));
    let changed = async {
        while identity.certificate().unwrap().common_name != "new" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, changed).await.unwrap();
    tasks.stop(SOON).await.unwrap();
}

#[test]
fn an_identity_that_does_not_fit_together_is_refused_with_the_file_to_blame() {
    let authority = CertificateAuthority::generate("x").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let good = pem(&authority, &subject("one"));
    let files = write(directory.path(), &good);
    let check = |path: &Path, bytes: &[u8], expected: &str| {
        let before = fs::read(path).unwrap();
        fs::write(path, bytes).unwrap();
        let Err(error) = Identity::load(&files) else { panic!("expected {expected}") };
        assert!(error.to_string().contains(expected), "{error}");
        fs::write(path, before).unwrap();
    };
    let (_, foreign_key) = pem(&authority, &subject("two")).own.unwrap();
    check(&files.key, &foreign_key, "key");
    check(&files.key, b"", "key");
    check(&files.certificate, b"", "holds no certificate");
    check(&files.ca, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "ca");
    fs::remove_file(&files.ca).unwrap();
    assert!(matches!(Identity::load(&files), Err(Error::Read { path, .. }) if path == files.ca));
}

#[tokio::test]
async fn the_listener_ends_with_its_tasks_and_frees_the_port() {
    let authority = CertificateAuthority::generate("x").unwrap();
    let service = serve(identity(&authority, "service"), ClientAuth::Required, limits()).await;
    service.tasks.stop(SOON).await.unwrap();
    tokio::net::TcpListener::bind(service.address).await.unwrap();
}

#[test]
fn a_callers_chain_is_judged_as_at_a_handshake() {
    let (ours, theirs) = (CertificateAuthority::generate("x").unwrap(), CertificateAuthority::generate("x").unwrap());
    let judge = identity(&ours, "service");
    let now = 1_700_000_000;
    let der = |authority: &CertificateAuthority, subject: &Subject| {
        let issued = authority.issue_at(subject, now).unwrap();
        CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).unwrap().to_vec()
    };
    let good = der(&ours, &subject("anna"));
    assert_eq!(judge.verify_client(&[&good], now).unwrap().common_name, "anna");
    judge.verify_client(&[&good], now + 3_601).unwrap_err();
    judge.verify_client(&[&good], now - 301).unwrap_err();
    judge.verify_client(&[der(&theirs, &subject("anna"))], now).unwrap_err();
    judge.verify_client(&[der(&ours, &Subject { client_auth: false, ..subject("anna") })], now).unwrap_err();
    judge.verify_client(&[b"junk"], now).unwrap_err();
    judge.verify_client::<&[u8]>(&[], now).unwrap_err();
}
