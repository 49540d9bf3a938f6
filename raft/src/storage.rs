//! What stands behind the state: openraft's state machine over the registry in memory, the store that is written
//! behind it, and snapshot files. Decides nothing about objects.

mod chunk;
mod home;
mod mailbox;
mod marks;
mod memory;
mod meta;
mod published;
pub(crate) mod replacement;
mod restore;
mod sled_store;
pub mod snapshot;
pub(crate) mod start;
mod state_machine;
mod store;
mod writer;

pub use home::{Home, SledHome};
pub use marks::Mark;
pub use memory::MemoryStorage;
pub(crate) use meta::Place;
pub use published::{Applied, Published};
pub use restore::{OpenError, OpenOptions};
pub use sled_store::SledStorage;
pub(crate) use snapshot::Incoming;
pub use snapshot::{SnapshotFile, SnapshotReceiver, Transfer};
pub use state_machine::{SnapshotBuilder, StateMachine};
pub use store::{ROW_BYTES_MAX, RowReader, Storage, StoreError};
pub use writer::StoreLimits;

#[cfg(test)]
mod tests;
