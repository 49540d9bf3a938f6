//! The gRPC services: from message to write or read and back. Knows no controller and no scheduler.

mod error;
pub mod status;

pub use error::Error;
