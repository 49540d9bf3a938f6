//! Which life of the cluster a call between servers belongs to, at both of its ends. A server of the life before a restore
//! may still run: what it passes on was decided by a state that is no more.

use boss_raft::{
    Handle,
    network::{INCARNATION_HEADER, read_incarnation},
};
use http::HeaderMap;
use tonic::{Request, Status, service::Interceptor};

use crate::api::Error;

/// Says of each call that goes out which life it belongs to.
#[derive(Clone)]
pub struct OfIncarnation(pub(super) Handle);

impl Interceptor for OfIncarnation {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        // A server without a state belongs to none yet.
        if let Some(incarnation) = self.0.incarnation() {
            let text = incarnation.to_string().parse().expect("hexadecimal digits are ASCII");
            request.metadata_mut().insert(INCARNATION_HEADER, text);
        }
        Ok(request)
    }
}

/// Refuses a call that says that it belongs to another life than this server.
pub fn check_incarnation(raft: &Handle, headers: &HeaderMap) -> Result<(), Error> {
    let Some(said) = headers.get(INCARNATION_HEADER) else { return Ok(()) };
    let found = said.to_str().ok().and_then(read_incarnation);
    let found = found.ok_or_else(|| Error::invalid(INCARNATION_HEADER, "is no incarnation", ""))?;
    match raft.incarnation() {
        Some(expected) if expected != found => Err(Error::Precondition(format!(
            "the call is of incarnation {found} of the cluster; this server belongs to {expected}, since a restore"
        ))),
        _ => Ok(()),
    }
}
