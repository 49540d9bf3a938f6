//! The simulated network as Boss' programs see a network. Knows no fault.

use std::{io, net::SocketAddr};

use boss_base::net::{Accept, Connection, Fabric};
use futures_util::future::BoxFuture;
use turmoil::net::{TcpListener, TcpStream};

/// The network of the simulation; only a simulated host can use it.
pub(super) struct Simulated;

impl Fabric for Simulated {
    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Accept>>> {
        Box::pin(async move {
            let port = TcpListener::bind(address).await?;
            Ok(Box::new(Listening(port)) as Box<dyn Accept>)
        })
    }

    fn connect(&self, host: String, port: u16) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            let remote = stream.peer_addr()?;
            Ok(Connection::of(stream, remote))
        })
    }
}

struct Listening(TcpListener);

impl Accept for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Connection, SocketAddr)>> {
        Box::pin(async move {
            let (stream, remote) = self.0.accept().await?;
            Ok((Connection::of(stream, remote), remote))
        })
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
