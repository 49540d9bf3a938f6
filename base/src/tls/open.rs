//! Which connections are open, and what their other ends showed, so that those that count no more can be closed. Decides
//! nothing: a judge does, who knows what counts.

use std::{
    collections::HashMap,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::PeerCertificate;

type Judge = dyn Fn(&PeerCertificate) -> Result<(), String> + Send + Sync;

/// The open connections of a port, or of a dialler, whose other ends showed a certificate. Clones share them.
#[derive(Clone, Default)]
pub struct OpenConnections(Arc<Shared>);

#[derive(Default)]
struct Shared {
    judge: OnceLock<Box<Judge>>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    by_number: HashMap<u64, (Arc<PeerCertificate>, CancellationToken)>,
}

/// A connection's place among the open ones; it leaves with it.
pub(super) struct Place {
    all: OpenConnections,
    number: u64,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl OpenConnections {
    /// Lets `judge` say from now on which certificates count; it says why not. The first one stays.
    pub fn judged_by(&self, judge: impl Fn(&PeerCertificate) -> Result<(), String> + Send + Sync + 'static) {
        // A second one would be a mistake of whoever builds the server, and the first goes on.
        let _ = self.0.judge.set(Box::new(judge));
    }

    /// Closes those whose certificates count no more. Gives how many.
    pub fn close_refused(&self) -> usize {
        self.close(|certificate| self.judge(certificate).is_err())
    }

    /// Closes all of them. Gives how many.
    pub fn close_all(&self) -> usize {
        self.close(|_| true)
    }

    /// Whether the certificate counts; without a judge all do.
    pub(super) fn judge(&self, certificate: &PeerCertificate) -> Result<(), String> {
        self.0.judge.get().map_or(Ok(()), |judge| judge(certificate))
    }

    /// A place for one more.
    pub(super) fn enter(&self, certificate: Arc<PeerCertificate>) -> Place {
        let closed = CancellationToken::new();
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.by_number.insert(number, (certificate, closed.clone()));
        Place { all: self.clone(), number, closed: Box::pin(closed.cancelled_owned()) }
    }

    fn close(&self, which: impl Fn(&PeerCertificate) -> bool) -> usize {
        let open = self.open();
        let closing =
            open.by_number.values().filter(|(certificate, closed)| !closed.is_cancelled() && which(certificate));
        closing.inspect(|(_, closed)| closed.cancel()).count()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing between lock and unlock can leave it half changed.
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The error of a connection that was closed; asked whenever it is read, so that whoever reads is woken by it.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.closed.as_mut().poll(cx).map(|()| {
            io::Error::new(io::ErrorKind::ConnectionAborted, "closed: the other end's certificate counts no more")
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.open().by_number.remove(&self.number);
    }
}
