//! Cuts servers off from all others: new calls are refused and open connections die, as with a pulled cable. Knows no
//! consensus.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use boss_base::tls::{PeerInfo, TlsStream};
use boss_proto::ids::ServerId;
use boss_raft::PeerId;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};
use tonic::{Extensions, transport::server::Connected};

/// Servers that nobody hears and that hear nobody. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct CutOff {
    servers: Arc<watch::Sender<BTreeSet<ServerId>>>,
    /// How many bytes a connection to a server carries before it dies.
    frail: Arc<Mutex<BTreeMap<ServerId, u64>>>,
}

impl CutOff {
    pub(crate) fn cut(&self, id: ServerId) {
        self.servers.send_if_modified(|cut_off| cut_off.insert(id));
    }

    /// From now on every connection to the server dies once it has carried so many bytes.
    pub(crate) fn make_frail(&self, id: ServerId, bytes: u64) {
        self.frail.lock().unwrap().insert(id, bytes);
    }

    pub(crate) fn heal(&self) {
        self.servers.send_modify(BTreeSet::clear);
        self.frail.lock().unwrap().clear();
    }

    /// Who calls `this`, unless one of both is cut off.
    pub(crate) fn identify(&self, this: ServerId, extensions: &Extensions) -> Option<PeerId> {
        let peer = PeerId::of_connection(extensions)?;
        let cut_off = self.servers.borrow();
        (!cut_off.contains(&this) && !cut_off.contains(&peer.server_id)).then_some(peer)
    }

    /// The connection that `this` accepted; it dies when one of its ends is cut off.
    pub(crate) fn watched(&self, this: ServerId, stream: TlsStream) -> Cable {
        let mut extensions = Extensions::new();
        extensions.insert(stream.peer().clone());
        let peer = PeerId::of_connection(&extensions).map(|peer| peer.server_id);
        let mut cut_off = self.servers.subscribe();
        let left = self.frail.lock().unwrap().get(&this).copied().unwrap_or(u64::MAX);
        let cut = Box::pin(async move {
            // An error means that the test is over.
            drop(cut_off.wait_for(|ids| ids.contains(&this) || peer.is_some_and(|peer| ids.contains(&peer))).await);
        });
        Cable { stream, cut, is_cut: false, left }
    }
}

/// A connection that can be cut.
pub(crate) struct Cable {
    stream: TlsStream,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_cut: bool,
    left: u64,
}

impl Cable {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.is_cut = self.is_cut || self.cut.as_mut().poll(cx).is_ready();
        if self.is_cut { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl Connected for Cable {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Cable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.left = self.left.saturating_sub((buf.filled().len() - before) as u64);
        self.is_cut |= self.left == 0;
        read
    }
}

impl AsyncWrite for Cable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
