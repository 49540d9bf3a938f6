//! The gRPC services: from message to write or read and back. Knows no controller and no scheduler.

pub mod doors;
mod error;
pub mod gate;
pub mod status;

mod audit;
mod auth;
mod certificates;
mod cluster;
mod forward;
mod health;
mod join;
mod registry;
mod tokens;

pub use self::{
    audit::AuditService,
    auth::AuthService,
    certificates::CertificatesService,
    cluster::ClusterService,
    error::Error,
    forward::{ForwardParts, ForwardService},
    health::HealthService,
    join::JoinService,
    registry::RegistryService,
    tokens::{LoginService, TokensParts, TokensService},
};
#[cfg(any(test, fuzzing))]
pub use registry::fuzz_requests;
