//! Dials over TLS and checks whom it reached by name, not by address. Knows no protocol above TLS.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Identity, PeerCertificate,
    open::{OpenConnections, Place},
};
use crate::net::{Connection, Network};

/// A verified connection, as tonic's `connect_with_connector` takes it.
pub type ClientStream = TokioIo<Dialled>;

/// A connection that we opened.
pub struct Dialled {
    tls: tokio_rustls::client::TlsStream<Connection>,
    /// Among the open ones, if somebody watches them.
    place: Option<Place>,
}

impl fmt::Debug for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialled").finish_non_exhaustive()
    }
}

impl AsyncRead for Dialled {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(place) = &mut self.place
            && let Poll::Ready(closed) = place.poll_closed(cx)
        {
            return Poll::Ready(Err(closed));
        }
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }
}

type Check = dyn Fn(&PeerCertificate) -> Result<(), String> + Send + Sync;

/// What the other end's certificate must say, beside coming from an authority that we trust.
#[derive(Clone)]
pub struct Expected {
    name: ServerName<'static>,
    check: Option<Arc<Check>>,
}

impl Expected {
    /// A DNS name (or IP address) that the certificate must be for, wherever we dial.
    ///
    /// # Errors
    /// When `name` can be neither.
    pub fn name(name: &str) -> Result<Self, io::Error> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(Self { name, check: None })
    }

    /// Also demands this URI among the subject alternative names.
    #[must_use]
    pub fn with_uri(self, uri: impl Into<String>) -> Self {
        let uri = uri.into();
        self.with_check(move |certificate| {
            if certificate.uris.contains(&uri) {
                return Ok(());
            }
            Err(format!("expected {uri}, but the certificate is for [{}]", certificate.uris.join(", ")))
        })
    }

    /// Also demands that `check` agrees; it says why not.
    #[must_use]
    pub fn with_check(
        mut self,
        check: impl Fn(&PeerCertificate) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.check = Some(match self.check {
            None => Arc::new(check),
            Some(before) => Arc::new(move |certificate| {
                before(certificate)?;
                check(certificate)
            }),
        });
        self
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expected").field("name", &self.name).finish_non_exhaustive()
    }
}

/// No connection came to be.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be dialled.
    #[error("{0} is no address with host and port")]
    Address(Uri),
    /// Nobody answers there, for now.
    #[error("cannot connect to {address}: {source}")]
    Tcp {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Somebody answers, but the handshake failed: another authority, another name, or we are not welcome.
    #[error("TLS with {address} failed: {source}")]
    Tls {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Somebody trusted answers, but not the one that we want.
    #[error("{address} is somebody else: {problem}")]
    WrongPeer {
        /// Where.
        address: String,
        /// How it differs.
        problem: String,
    },
}

/// A tower service from address to connection.
#[derive(Clone)]
pub struct Connector {
    identity: Identity,
    expected: Expected,
    network: Network,
    open: Option<OpenConnections>,
}

/// A connector that shows `identity`'s certificate, if it has one, and accepts only whom `expected` describes.
/// Each dial uses the identity of that moment.
#[must_use]
pub fn connector(identity: Identity, expected: Expected) -> Connector {
    Connector { identity, expected, network: Network::default(), open: None }
}

impl Connector {
    /// The same over another network than the machine's.
    #[must_use]
    pub fn over(self, network: Network) -> Self {
        Self { network, ..self }
    }

    /// The same, whose connections are among the open ones, and end when their judge says so.
    #[must_use]
    pub fn among(self, open: OpenConnections) -> Self {
        Self { open: Some(open), ..self }
    }

    /// Dials the host and port of `uri`; its scheme does not matter.
    pub async fn connect(&self, uri: &Uri) -> Result<ClientStream, ConnectError> {
        let (host, port) = host_and_port(uri).ok_or_else(|| ConnectError::Address(uri.clone()))?;
        let address = format!("{host}:{port}");
        let tcp = match self.network.connect(host, port).await {
            Ok(tcp) => tcp,
            Err(source) => return Err(ConnectError::Tcp { address, source }),
        };
        let tls = tokio_rustls::TlsConnector::from(Arc::clone(&self.identity.loaded().client));
        let stream = match tls.connect(self.expected.name.clone(), tcp).await {
            Ok(stream) => stream,
            Err(source) => return Err(ConnectError::Tls { address, source }),
        };
        match self.check(&stream) {
            Ok(place) => Ok(TokioIo::new(Dialled { tls: stream, place })),
            Err(problem) => Err(ConnectError::WrongPeer { address, problem }),
        }
    }

    fn check(&self, stream: &tokio_rustls::client::TlsStream<Connection>) -> Result<Option<Place>, String> {
        if self.expected.check.is_none() && self.open.is_none() {
            return Ok(None);
        }
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let der = chain.first().ok_or("it showed no certificate")?;
        let certificate = PeerCertificate::from_der(der).map_err(|error| error.to_string())?;
        if let Some(check) = &self.expected.check {
            check(&certificate)?;
        }
        let Some(open) = &self.open else { return Ok(None) };
        let certificate = Arc::new(certificate);
        // Among them before it is judged: whoever closes those that count no more in between misses none.
        let place = open.enter(certificate.clone());
        open.judge(&certificate)?;
        Ok(Some(place))
    }
}

/// What the other end had against us, when that is why a connection broke. With TLS 1.3 it learns our certificate
/// only after our own handshake is done, so its refusal arrives as an error of the first read.
#[must_use]
pub fn refusal(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(format!("it refuses our certificate ({alert:?})")),
        _ => None,
    }
}

/// `[::1]` loses its brackets: the resolver wants none.
fn host_and_port(uri: &Uri) -> Option<(&str, u16)> {
    let host = uri.host()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((host, uri.port_u16()?))
}

impl tower::Service<Uri> for Connector {
    type Response = ClientStream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<ClientStream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&uri).await })
    }
}
