//! Just enough HTTP to ask a provider of identities: one request per connection, over TLS, with bounds on time and size.
//! Follows no redirect, uses no proxy and keeps nothing. Knows no protocol above HTTP.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{
    Method, Request, Uri,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// For the whole exchange with somebody who works.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Documents of providers are some KiB.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Where systems keep the authorities that they trust; the first that is there counts.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none that we ask.
    #[error("{url:?} is not asked: {problem}")]
    Address {
        /// Which.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no authority that could vouch for anybody.
    #[error("{}: {problem}", path.display())]
    Authorities {
        /// Where they were looked for.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Nobody answers there, or not in time, or not with HTTP.
    #[error("{host} does not answer: {problem}")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// What went wrong.
        problem: String,
    },
    /// Somebody answers who cannot prove to be it.
    #[error("{host} is not who it should be: {problem}")]
    Untrusted {
        /// Who was asked.
        host: String,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// Whether the same question may be answered later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Address { .. } | Self::Authorities { .. } | Self::Untrusted { .. } => false,
        }
    }
}

/// An answer, whatever it says.
#[derive(Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// At most some KiB. May hold tokens.
    pub body: Vec<u8>,
}

/// Asks over HTTPS; over plain HTTP only this machine itself.
pub struct Web {
    tls: Arc<ClientConfig>,
}

impl Web {
    /// With the authorities of a file, or those that this machine trusts.
    pub fn new(authority: Option<&Path>) -> Result<Self, Error> {
        let path = authority.map_or_else(bundle, Path::to_owned);
        let bad = |problem: String| Error::Authorities { path: path.clone(), problem };
        let mut roots = RootCertStore::empty();
        // A machine without authorities can still ask itself.
        if authority.is_some() || path.exists() {
            let pem = fs::read(&path).map_err(|error| bad(error.to_string()))?;
            let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).flatten().collect();
            let (taken, _) = roots.add_parsable_certificates(certificates);
            if taken == 0 {
                return Err(bad("holds no certificate".to_owned()));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| bad(error.to_string()))?;
        Ok(Self { tls: Arc::new(config.with_root_certificates(roots).with_no_client_auth()) })
    }

    /// Asks for a document.
    pub async fn get(&self, url: &str) -> Result<Answer, Error> {
        self.ask(Method::GET, url, None).await
    }

    /// Sends a form and waits for the answer.
    pub async fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> Result<Answer, Error> {
        let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", form_encoded(value))).collect();
        self.ask(Method::POST, url, Some(pairs.join("&"))).await
    }

    async fn ask(&self, method: Method, url: &str, form: Option<String>) -> Result<Answer, Error> {
        let target = Target::of(url)?;
        let unreachable = |problem: String| Error::Unreachable { host: target.host.clone(), problem };
        let exchange = async {
            let tcp = TcpStream::connect((&*target.host, target.port)).await;
            let tcp = tcp.map_err(|error| unreachable(error.to_string()))?;
            if !target.tls {
                // The name of this machine may lead elsewhere.
                let here = tcp.peer_addr().is_ok_and(|address| address.ip().is_loopback());
                return if here { self.exchange(&target, method, form, tcp).await } else { Err(target.insecure(url)) };
            }
            let name = ServerName::try_from(target.host.clone()).map_err(|error| unreachable(error.to_string()))?;
            let stream = tokio_rustls::TlsConnector::from(self.tls.clone()).connect(name, tcp).await;
            let stream =
                stream.map_err(|error| Error::Untrusted { host: target.host.clone(), problem: error.to_string() })?;
            self.exchange(&target, method, form, stream).await
        };
        let answered = tokio::time::timeout(TIMEOUT, exchange).await;
        answered.unwrap_or_else(|_| Err(unreachable(format!("no answer within {TIMEOUT:?}"))))
    }

    async fn exchange(
        &self,
        target: &Target,
        method: Method,
        form: Option<String>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Answer, Error> {
        let unreachable = |problem: String| Error::Unreachable { host: target.host.clone(), problem };
        let mut request = Request::builder()
            .method(method)
            .uri(&target.path)
            .header(HOST, &target.authority)
            .header(ACCEPT, "application/json");
        if form.is_some() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let body = Full::new(Bytes::from(form.unwrap_or_default()));
        let request = request.body(body).map_err(|error| unreachable(error.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let answering = async {
            let response = sender.send_request(request).await.map_err(|error| unreachable(error.to_string()))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| unreachable(error.to_string()))?.to_bytes().to_vec();
            Ok(Answer { status, body })
        };
        tokio::pin!(connection, answering);
        tokio::select! {
            answer = &mut answering => answer,
            // It may end with the last byte of the answer, which is then still to be read.
            _ = &mut connection => answering.await,
        }
    }
}

/// Whether this address would be asked; the host that it names.
pub fn is_asked(url: &str) -> Result<String, Error> {
    Target::of(url).map(|target| target.host)
}

/// What an address says.
struct Target {
    tls: bool,
    host: String,
    authority: String,
    port: u16,
    path: String,
}

impl Target {
    fn of(url: &str) -> Result<Self, Error> {
        let bad = |problem| Error::Address { url: url.to_owned(), problem };
        let uri: Uri = url.parse().map_err(|_| bad("it is no address"))?;
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it names a user"));
        }
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_here(&host) => false,
            Some("http") => return Err(bad(INSECURE)),
            _ => return Err(bad("it begins with neither https:// nor http://")),
        };
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { tls, host, authority: authority.to_string(), port, path })
    }

    fn insecure(&self, url: &str) -> Error {
        Error::Address { url: url.to_owned(), problem: INSECURE }
    }
}

const INSECURE: &str = "plain http is for this machine itself only: anybody on the way could log in";

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn bundle() -> PathBuf {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let found = || BUNDLES.into_iter().map(PathBuf::from).find(|path| path.exists());
    named.or_else(found).unwrap_or_else(|| PathBuf::from(BUNDLES[0]))
}

/// As forms are sent (application/x-www-form-urlencoded); whatever could mean something is written as its bytes.
fn form_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
