//! Stands before every service: finds the door of the method that was dispatched and lets through whom it lets
//! through. What passes carries its identity with it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use boss_base::{clock::Clock, tls::PeerInfo};
use boss_proto::ids::ServerId;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::{
    Error,
    doors::{self, Door},
    status,
};
use crate::{
    auth::{self, Authenticator, Principal, Role},
    metric_definitions as metric,
};

/// Which listener the gate stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// For clients and nodes.
    Clients,
    /// For the other servers.
    Servers,
}

/// The server that calls, on the listener for servers: what its certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallingServer(pub ServerId);

/// Puts a gate before services.
#[derive(Clone)]
pub struct Gate {
    side: Side,
    authenticator: Authenticator,
    clock: Arc<dyn Clock>,
}

impl Gate {
    /// A gate for one listener.
    #[must_use]
    pub fn new(side: Side, authenticator: Authenticator, clock: Arc<dyn Clock>) -> Self {
        Self { side, authenticator, clock }
    }

    /// Lets the call through, with the caller in its extensions, or says why not.
    fn admit<B>(&self, request: &mut Request<B>) -> Result<&'static str, Error> {
        match self.side {
            Side::Clients => self.admit_client(request),
            Side::Servers => self.admit_server(request),
        }
    }

    fn admit_client<B>(&self, request: &mut Request<B>) -> Result<&'static str, Error> {
        let found = doors::door(request.uri().path());
        if let Some((method, Door::Open | Door::Secret)) = found {
            return Ok(method);
        }
        let certificate = request.extensions().get::<PeerInfo>().and_then(|peer| peer.certificate.clone());
        let identity = self.authenticator.authenticate(request.headers(), certificate.as_deref())?;
        match found {
            None | Some((_, Door::Server)) => {
                return Err(Error::Unimplemented(format!("there is no method {}", request.uri().path())));
            }
            Some((_, Door::Agent)) if identity.node().is_none() => {
                return Err(Error::Forbidden("only the agent of a node may hold a session".to_owned()));
            }
            Some(_) => {}
        }
        request.extensions_mut().insert(identity);
        Ok(found.map_or("", |(method, _)| method))
    }

    fn admit_server<B>(&self, request: &mut Request<B>) -> Result<&'static str, Error> {
        let certificate = request.extensions().get::<PeerInfo>().and_then(|peer| peer.certificate.clone());
        let certificate = certificate.ok_or(auth::Error::Missing)?;
        let principal =
            Principal::of(&certificate, self.authenticator.cluster_id()).map_err(auth::Error::Certificate)?;
        let Role::Server(id) = principal.role else {
            return Err(Error::Forbidden("only servers of the cluster may speak here".to_owned()));
        };
        let Some((method, Door::Server)) = doors::door(request.uri().path()) else {
            return Err(Error::Unimplemented(format!("there is no method {}", request.uri().path())));
        };
        request.extensions_mut().insert(CallingServer(id));
        Ok(method)
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { inner, gate: self.clone() }
    }
}

/// A service behind its gate.
#[derive(Clone)]
pub struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let began = self.gate.clock.monotonic();
        match self.gate.admit(&mut request) {
            Ok(method) => {
                let (clock, answer) = (self.gate.clock.clone(), self.inner.call(request));
                Box::pin(async move {
                    let response = answer.await?;
                    record(method, code_of(&response), clock.monotonic().saturating_sub(began));
                    Ok(response)
                })
            }
            Err(error) => {
                count_refusal(&error);
                let response = status::to_status(&error).into_http();
                Box::pin(std::future::ready(Ok(response)))
            }
        }
    }
}

/// The code of an answer that is an error from its start; others end well, or fail in their trailers.
fn code_of(response: &Response<Body>) -> String {
    let code = response.headers().get("grpc-status").and_then(|code| code.to_str().ok());
    code.unwrap_or("0").to_owned()
}

fn record(method: &'static str, code: String, took: Duration) {
    metrics::counter!(metric::CALLS, "method" => method, "code" => code).increment(1);
    metrics::histogram!(metric::CALL_SECONDS, "method" => method).record(took.as_secs_f64());
}

fn count_refusal(error: &Error) {
    if matches!(error, Error::Unauthenticated(_)) {
        metrics::counter!(metric::CALLS_UNAUTHENTICATED).increment(1);
    }
}
