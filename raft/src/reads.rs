//! Linearizable reads on any server. Knows no objects.

use boss_proto::ids::Revision;

/// Why no state could be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader is known, or it could not reach a majority.
    #[error("no leader could confirm the read")]
    NoLeader,
    /// This server did not catch up in time.
    #[error("this server is behind: it has revision {applied}")]
    Behind {
        /// What it has.
        applied: Revision,
    },
    /// The server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
}
