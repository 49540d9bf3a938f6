//! Which addresses are asked, and whom the connection believes.

use std::io::Write;

use boss_base::{
    pki::{CertificateAuthority, Subject},
    tasks::{OnExit, Tasks},
};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

#[test]
fn only_this_machine_is_asked_without_tls() {
    for good in ["https://id.example", "https://id.example:8443/a?b=c", "http://127.0.0.1:80/x", "http://[::1]:9/"] {
        assert!(Target::of(good).is_ok(), "{good}");
    }
    for bad in ["http://id.example/", "http://127.0.0.1.example/", "ftp://id.example", "id.example", "", "/x"] {
        assert!(matches!(Target::of(bad), Err(Error::Address { .. })), "{bad}");
    }
    assert!(matches!(Target::of("https://user@id.example"), Err(Error::Address { .. })));
}

#[test]
fn an_address_is_taken_apart() {
    let target = Target::of("https://id.example/a?b=c").unwrap();
    assert_eq!((&*target.host, target.port, &*target.path), ("id.example", 443, "/a?b=c"));
    let target = Target::of("http://[::1]:81").unwrap();
    assert_eq!((&*target.host, &*target.authority, target.port, &*target.path), ("::1", "[::1]:81", 81, "/"));
}

#[test]
fn values_of_forms_mean_only_themselves() {
    assert_eq!(form_encoded("a b&c=d+é"), "a%20b%26c%3Dd%2B%C3%A9");
    assert_eq!(form_encoded("urn:x"), "urn%3Ax");
}

/// Answers every request on a connection of its own, as `localhost`; the port.
async fn serve(authority: &CertificateAuthority, answer: &'static [u8], tasks: &Tasks) -> u16 {
    let subject = Subject {
        common_name: "localhost".into(),
        dns_names: vec!["localhost".into()],
        server_auth: true,
        lifetime: Duration::from_secs(600),
        ..Subject::default()
    };
    let own = authority.issue(&subject).unwrap();
    let chain = CertificateDer::pem_slice_iter(own.cert_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn("provider", OnExit::Log, async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
            let mut request = vec![0; 4_096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

fn trusting(authority: &CertificateAuthority) -> Web {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(authority.cert_pem().as_bytes()).unwrap();
    Web::new(Some(file.path())).unwrap()
}

#[tokio::test]
async fn a_provider_that_its_authority_vouches_for_is_asked_and_no_other() {
    let tasks = Tasks::new();
    let (own, other) =
        (CertificateAuthority::generate("own").unwrap(), CertificateAuthority::generate("other").unwrap());
    let port = serve(&own, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", &tasks).await;
    let url = format!("https://localhost:{port}/x");
    let answer = trusting(&own).get(&url).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (200, &b"{}"[..]));
    assert!(matches!(trusting(&other).get(&url).await, Err(Error::Untrusted { .. })));
    // Another name than the certificate's.
    let by_address = trusting(&own).get(&format!("https://127.0.0.1:{port}/x")).await;
    assert!(matches!(by_address, Err(Error::Untrusted { .. })));
    tasks.cancel();
}

#[tokio::test]
async fn redirects_are_not_followed_and_what_is_no_http_is_no_answer() {
    let tasks = Tasks::new();
    let own = CertificateAuthority::generate("own").unwrap();
    let moved = b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n";
    let port = serve(&own, moved, &tasks).await;
    assert_eq!(trusting(&own).get(&format!("https://localhost:{port}/")).await.unwrap().status, 302);
    let port = serve(&own, b"220 mail.example ESMTP\r\n", &tasks).await;
    let answer = trusting(&own).post_form(&format!("https://localhost:{port}/"), &[("a", "b")]).await;
    assert!(matches!(answer, Err(Error::Unreachable { .. })));
    let empty = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(Web::new(Some(empty.path())), Err(Error::Authorities { .. })));
    tasks.cancel();
}
