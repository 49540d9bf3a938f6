//! Cuts servers off from all others: new calls are refused and open connections die, as with a pulled cable. Knows no
//! consensus.

use std::{
    collections::BTreeSet,
    io,
    pin::Pin,
    sync::Arc,
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
pub(crate) struct CutOff(Arc<watch::Sender<BTreeSet<ServerId>>>);

impl CutOff {
    pub(crate) fn cut(&self, id: ServerId) {
        self.0.send_if_modified(|cut_off| cut_off.insert(id));
    }

    pub(crate) fn heal(&self) {
        self.0.send_modify(BTreeSet::clear);
    }

    /// Who calls `this`, unless one of both is cut off.
    pub(crate) fn identify(&self, this: ServerId, extensions: &Extensions) -> Option<PeerId> {
        let peer = PeerId::of_connection(extensions)?;
        let cut_off = self.0.borrow();
        (!cut_off.contains(&this) && !cut_off.contains(&peer.server_id)).then_some(peer)
    }

    /// The connection that `this` accepted; it dies when one of its ends is cut off.
    pub(crate) fn watched(&self, this: ServerId, stream: TlsStream) -> Cable {
        let mut extensions = Extensions::new();
        extensions.insert(stream.peer().clone());
        let peer = PeerId::of_connection(&extensions).map(|peer| peer.server_id);
        let mut cut_off = self.0.subscribe();
        let cut = Box::pin(async move {
            // An error means that the test is over.
            drop(cut_off.wait_for(|ids| ids.contains(&this) || peer.is_some_and(|peer| ids.contains(&peer))).await);
        });
        Cable { stream, cut, is_cut: false }
    }
}

/// A connection that can be cut.
pub(crate) struct Cable {
    stream: TlsStream,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_cut: bool,
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
        Pin::new(&mut self.stream).poll_read(cx, buf)
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
