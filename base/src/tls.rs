//! Mutual TLS from files: identities that reload, an acceptor, a listener that survives its peers, a connector
//! that checks whom it reached. TLS 1.3 over ring alone. Knows no role and no name of anybody.

mod connector;
mod identity;
mod listener;
mod open;
mod peer;
pub mod renewal;
mod slots;
pub mod testing;

pub use connector::{ClientStream, ConnectError, Connector, Dialled, Expected, connector, refusal};
pub use identity::{Error, Files, Identity, Pem, Reloaded};
pub use listener::{Acceptor, Incoming, Limits, Listener, PeerInfo, TlsStream, server_acceptor};
pub use open::OpenConnections;
pub(crate) use peer::hex;
pub use peer::{BadCertificate, PeerCertificate};
pub use slots::{Counts, Slots};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// Whether callers must show a certificate. One that is shown must always be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate, no connection.
    Required,
    /// Callers may identify themselves otherwise, later.
    Optional,
}

/// HTTP/2 is all that we speak over TLS.
const ALPN: &[u8] = b"h2";

/// Handed to each configuration, so that no process-wide default can differ from it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests;
