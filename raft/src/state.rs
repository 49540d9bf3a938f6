//! The replicated registry as a pure value: commands in, outcomes, changes and events out. Knows no storage, no
//! network, no consensus library, no clock: everything it decides depends only on what it holds and on the command.

pub mod annotations;
pub mod apply;
pub mod credentials;
mod decide;
pub mod digest;
pub mod feasible;
pub mod finalizers;
pub mod history;
mod indexes;
mod limits;
mod nodes;
mod objects;
pub mod outcome;
pub mod owners;
mod params;
pub mod past;
pub mod quota;
pub mod rbac;
pub mod record;
pub mod registry;
pub mod requests;
pub mod rows;
mod select;
mod tail;
#[cfg(test)]
pub(crate) mod testing;

pub use apply::{Applied, Position, apply, preview};
pub use digest::Digest;
pub use history::{Event, EventId, EventKind, Expired, Found, History, Interest};
pub use limits::Limits;
pub use outcome::{Outcome, Part, Rejection};
pub use past::PastError;
pub use record::Record;
pub use registry::{Change, Registry, State, View};
pub use select::Candidates;
