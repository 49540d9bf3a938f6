//! gRPC's own health service. Healthy means that a linearizable read works here and now.

use std::{pin::Pin, time::Duration};

use futures_util::Stream;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

use super::Error;
use crate::{
    certificates::standing::Standing,
    reads::{Consistency, Reads},
};

/// Whoever asks must hear something before its own patience ends.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a watch of the health looks again.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Serves the health of this server.
#[derive(Clone)]
pub struct HealthService {
    reads: Reads,
    standing: Standing,
}

impl HealthService {
    /// The service over this door.
    #[must_use]
    pub(crate) fn new(reads: Reads, standing: Standing) -> Self {
        Self { reads, standing }
    }

    async fn status(&self) -> HealthCheckResponse {
        let read = tokio::time::timeout(CHECK_TIMEOUT, self.reads.at(Consistency::Linearizable));
        let serves = self.standing.check().is_ok() && matches!(read.await, Ok(Ok(_)));
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        HealthCheckResponse { status: status.into() }
    }
}

/// The empty name is the server; its services are as healthy as it is.
fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.starts_with("boss.v1.") {
        return Ok(());
    }
    Err(Error::NotFound(format!("there is no service {name:?}")))
}

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        check_name(&request.get_ref().service)?;
        Ok(Response::new(self.status().await))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        check_name(&request.get_ref().service)?;
        let changes = futures_util::stream::unfold((self.clone(), None), |(service, last)| async move {
            if last.is_some() {
                tokio::time::sleep(WATCH_INTERVAL).await;
            }
            let mut status = service.status().await;
            while last == Some(status.status) {
                tokio::time::sleep(WATCH_INTERVAL).await;
                status = service.status().await;
            }
            let code = status.status;
            Some((Ok(status), (service, Some(code))))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
