//! The Rust SDK: one client for a whole cluster, whichever of its servers live. Knows no workload and no terminal.

mod api;
mod budget;
mod call;
mod certificates;
mod client;
mod cluster;
mod config;
mod credentials;
mod error;
mod informer;
mod members;
mod servers;
mod session;
mod tokens;
pub mod watch;
mod write_stream;
mod writes;

pub use api::{Api, List};
pub use client::{Client, DeleteOptions, Deleted, Objects, Query, Read};
pub use config::{Config, Credentials, Deadlines, Endpoint, OnWarning, Source};
pub use error::{Detail, Error};
pub use informer::Informer;
pub use session::Session;
pub use watch::Watch;
pub use write_stream::{PendingWrite, WriteStream, WriteStreamOptions};
pub use writes::{CollectionOptions, PatchOptions, WriteOptions};
