//! Accepts TLS connections for as long as its tasks live, whatever peers send. Knows no protocol above TLS.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    task::JoinSet,
};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::{
    ClientAuth, Identity, PeerCertificate,
    open::{OpenConnections, Place},
    slots::{Slot, Slots},
};
use crate::{
    backoff::Backoff,
    clock::SystemClock,
    net::{Connection, Network, Port},
    tasks::{OnExit, Tasks},
};

/// Connections that are through their handshake and wait for the server to take them: it takes them at once.
const READY_MAX: usize = 64;

/// Bounds of one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections, with those in their handshake. More are closed at once, so that callers try elsewhere.
    pub connections_max: usize,
    /// Of those, from one address.
    pub connections_per_source_max: usize,
    /// From accepting to a finished handshake.
    pub handshake_timeout: Duration,
}

/// Makes TLS of accepted connections, each with the identity of that moment.
#[derive(Clone)]
pub struct Acceptor {
    identity: Identity,
    client_auth: ClientAuth,
    open: Option<OpenConnections>,
}

/// An acceptor that shows `identity` and demands certificates as `client_auth` says.
#[must_use]
pub fn server_acceptor(identity: Identity, client_auth: ClientAuth) -> Acceptor {
    Acceptor { identity, client_auth, open: None }
}

impl Acceptor {
    /// The same, whose connections are among the open ones, so that they can be closed. One whose certificate counts no
    /// more is taken nevertheless: whoever serves it can say why nothing is answered.
    #[must_use]
    pub fn among(self, open: OpenConnections) -> Self {
        Self { open: Some(open), ..self }
    }

    /// One handshake, without a time limit.
    pub async fn accept(&self, connection: Connection) -> io::Result<TlsStream> {
        let remote = connection.peer_address()?;
        let config = self.identity.loaded().server(self.client_auth).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "this identity has no certificate of its own")
        })?;
        let tls = tokio_rustls::TlsAcceptor::from(config).accept(connection).await?;
        let certificate = peer_certificate(&tls)?;
        let place = self.open.as_ref().zip(certificate.clone()).map(|(open, certificate)| open.enter(certificate));
        Ok(TlsStream { tls, info: PeerInfo { remote, certificate }, place, _slot: None })
    }
}

fn peer_certificate(tls: &tokio_rustls::server::TlsStream<Connection>) -> io::Result<Option<Arc<PeerCertificate>>> {
    let Some(chain) = tls.get_ref().1.peer_certificates() else { return Ok(None) };
    let Some(der) = chain.first() else { return Ok(None) };
    let certificate =
        PeerCertificate::from_der(der).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some(Arc::new(certificate)))
}

/// Who is at the other end; tonic puts it into each request's extensions.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Where it connects from.
    pub remote: SocketAddr,
    /// Its verified certificate, if it showed one.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// An accepted connection.
pub struct TlsStream {
    tls: tokio_rustls::server::TlsStream<Connection>,
    info: PeerInfo,
    /// Among the open ones, if somebody watches them.
    place: Option<Place>,
    /// Its share of the connection limit.
    _slot: Option<Slot>,
}

impl TlsStream {
    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &PeerInfo {
        &self.info
    }
}

impl Connected for TlsStream {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.info.clone()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(place) = &mut self.place
            && let Poll::Ready(closed) = place.poll_closed(cx)
        {
            return Poll::Ready(Err(closed));
        }
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsStream {
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

/// A bound port that does not accept yet.
pub struct Listener {
    port: Port,
    address: SocketAddr,
    acceptor: Acceptor,
    limits: Limits,
    slots: Slots,
}

impl Listener {
    /// Takes a port of this machine. Connections wait in the kernel until [`Listener::accept`].
    pub async fn bind(address: SocketAddr, acceptor: Acceptor, limits: Limits) -> io::Result<Self> {
        Self::bind_on(&Network::default(), address, acceptor, limits).await
    }

    /// As [`Listener::bind`], on whatever network.
    pub async fn bind_on(
        network: &Network,
        address: SocketAddr,
        acceptor: Acceptor,
        limits: Limits,
    ) -> io::Result<Self> {
        let port = network.bind(address).await?;
        let address = port.local_address()?;
        let slots = Slots::new(limits.connections_max, limits.connections_per_source_max);
        Ok(Self { port, address, acceptor, limits, slots })
    }

    /// The real address, also when port 0 was asked for.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// What it is bounded by.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Counts its connections, also while it accepts.
    #[must_use]
    pub fn slots(&self) -> Slots {
        self.slots.clone()
    }

    /// Accepts under `tasks` until they stop or the stream is dropped. The stream ends then, never before.
    #[must_use]
    pub fn accept(self, tasks: &Tasks) -> Incoming {
        let (ready, accepted) = mpsc::channel(READY_MAX);
        let accepting = Accepting {
            backoff: Backoff::new(Duration::from_millis(5), Duration::from_secs(1)),
            listener: self,
            handshakes: JoinSet::new(),
            ready,
        };
        let name = format!("accept {}", accepting.listener.address);
        let token = tasks.token();
        tasks.spawn(name, OnExit::Log, accepting.run(token));
        Incoming { accepted }
    }
}

/// Connections through their handshake, for `serve_with_incoming`.
pub struct Incoming {
    accepted: mpsc::Receiver<TlsStream>,
}

impl Stream for Incoming {
    type Item = io::Result<TlsStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.accepted.poll_recv(cx)).map(Ok))
    }
}

struct Accepting {
    listener: Listener,
    backoff: Backoff,
    handshakes: JoinSet<()>,
    ready: mpsc::Sender<TlsStream>,
}

impl Accepting {
    async fn run(mut self, token: CancellationToken) {
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = self.ready.closed() => return,
                // Reaps finished handshakes; their panics must not end the loop.
                Some(_) = self.handshakes.join_next() => {}
                accepted = self.listener.port.accept() => self.handle_accepted(accepted).await,
            }
        }
    }

    async fn handle_accepted(&mut self, accepted: io::Result<(Connection, SocketAddr)>) {
        match accepted {
            Ok((connection, remote)) => {
                self.backoff.reset();
                self.begin_handshake(connection, remote);
            }
            // Out of descriptors, most likely. It passes when connections end; the port must survive it.
            Err(error) => {
                let delay = self.backoff.next_delay(&SystemClock);
                tracing::warn!(%error, ?delay, address = %self.listener.address, "cannot accept, trying again");
                tokio::time::sleep(delay).await;
            }
        }
    }

    fn begin_handshake(&mut self, connection: Connection, remote: SocketAddr) {
        let slot = match self.listener.slots.take(remote.ip()) {
            Ok(slot) => slot,
            Err(bound) => {
                tracing::debug!(%remote, address = %self.listener.address, ?bound, "connection limit reached, closing");
                return;
            }
        };
        let (acceptor, ready) = (self.listener.acceptor.clone(), self.ready.clone());
        let timeout = self.listener.limits.handshake_timeout;
        self.handshakes.spawn(async move {
            match tokio::time::timeout(timeout, handshake(&acceptor, connection)).await {
                Ok(Ok(stream)) => {
                    // A closed channel means that the listener is stopping.
                    let _ = ready.send(TlsStream { _slot: Some(slot), ..stream }).await;
                }
                Ok(Err(error)) => tracing::debug!(%remote, %error, "TLS handshake failed"),
                Err(_elapsed) => tracing::debug!(%remote, ?timeout, "TLS handshake took too long"),
            }
        });
    }
}

async fn handshake(acceptor: &Acceptor, connection: Connection) -> io::Result<TlsStream> {
    // Calls are small messages; waiting to fill a segment would add 40 ms to some of them.
    connection.set_nodelay()?;
    acceptor.accept(connection).await
}
