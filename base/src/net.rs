//! The network as a seam: the machine's own sockets, or those of a simulation. Knows no TLS and no protocol above it.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// A network other than the machine's.
pub trait Fabric: Send + Sync + 'static {
    /// Takes a port of the host that asks.
    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Accept>>>;
    /// Dials a port of a host.
    fn connect(&self, host: String, port: u16) -> BoxFuture<'_, io::Result<Connection>>;
}

/// A port of such a network.
pub trait Accept: Send + Sync + 'static {
    /// The next connection and where it comes from. Nothing is lost when the wait for it is given up.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Connection, SocketAddr)>>;
    /// Where it listens.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// Where connections come from and go to; usually the machine's own sockets. Cheap to clone.
#[derive(Clone, Default)]
pub struct Network(Option<Arc<dyn Fabric>>);

impl Network {
    /// Another network than the machine's.
    #[must_use]
    pub fn of(fabric: impl Fabric) -> Self {
        Self(Some(Arc::new(fabric)))
    }

    /// Takes a port; connections wait until [`Port::accept`].
    pub async fn bind(&self, address: SocketAddr) -> io::Result<Port> {
        match &self.0 {
            None => Ok(Port(Listening::Tcp(TcpListener::bind(address).await?))),
            Some(fabric) => Ok(Port(Listening::Made(fabric.bind(address).await?))),
        }
    }

    /// Dials a host. Small messages are sent at once: waiting to fill a segment would add 40 ms to some of them.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<Connection> {
        let Some(fabric) = &self.0 else {
            let tcp = TcpStream::connect((host, port)).await?;
            tcp.set_nodelay(true)?;
            return Ok(Connection(Ends::Tcp(tcp)));
        };
        fabric.connect(host.to_owned(), port).await
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Network(made)" } else { "Network(own)" })
    }
}

/// A bound port.
pub struct Port(Listening);

enum Listening {
    Tcp(TcpListener),
    Made(Box<dyn Accept>),
}

impl Port {
    /// The next connection and where it comes from. Nothing is lost when the wait for it is given up.
    pub async fn accept(&mut self) -> io::Result<(Connection, SocketAddr)> {
        match &mut self.0 {
            Listening::Tcp(tcp) => tcp.accept().await.map(|(tcp, remote)| (Connection(Ends::Tcp(tcp)), remote)),
            Listening::Made(made) => made.accept().await,
        }
    }

    /// The real address, also when port 0 was asked for.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Listening::Tcp(tcp) => tcp.local_addr(),
            Listening::Made(made) => made.local_address(),
        }
    }
}

impl From<TcpListener> for Port {
    fn from(tcp: TcpListener) -> Self {
        Self(Listening::Tcp(tcp))
    }
}

/// What a made connection must be.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Bytes in both directions.
pub struct Connection(Ends);

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer_address().ok()).finish_non_exhaustive()
    }
}

enum Ends {
    Tcp(TcpStream),
    Made { stream: Box<dyn Stream>, remote: SocketAddr },
}

impl Connection {
    /// One of a made network, from `remote`.
    pub fn of(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, remote: SocketAddr) -> Self {
        Self(Ends::Made { stream: Box::new(stream), remote })
    }

    /// The address of the other end.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Ends::Tcp(tcp) => tcp.peer_addr(),
            Ends::Made { remote, .. } => Ok(*remote),
        }
    }

    /// Has small messages sent at once.
    pub fn set_nodelay(&self) -> io::Result<()> {
        match &self.0 {
            Ends::Tcp(tcp) => tcp.set_nodelay(true),
            Ends::Made { .. } => Ok(()),
        }
    }
}

impl From<TcpStream> for Connection {
    fn from(tcp: TcpStream) -> Self {
        Self(Ends::Tcp(tcp))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Ends::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Ends::Made { stream, .. } => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Ends::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Ends::Made { stream, .. } => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Ends::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Ends::Made { stream, .. } => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Ends::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Ends::Made { stream, .. } => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Ends::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Ends::Made { stream, .. } => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Ends::Tcp(tcp) => tcp.is_write_vectored(),
            Ends::Made { stream, .. } => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests;
