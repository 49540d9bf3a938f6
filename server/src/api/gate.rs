//! Stands before every service: finds the door of the method that was dispatched and lets through whom it lets
//! through, in turn. What passes carries its identity with it.

mod calls;
mod cut;
mod kept;
mod sizes;
mod watches;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use boss_base::{cached, clock::Clock, tls::PeerInfo};
use boss_proto::ids::ServerId;
use boss_raft::REVOKED_HEADER;
use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::{Code, body::Body};
use tower::{Layer, Service};

pub(super) use self::kept::code_word;
use self::{
    calls::Calls,
    watches::{Place, Watches},
};
use super::{
    Error,
    doors::{self, Door, Pace},
    status,
};
use crate::{
    audit::Audit,
    auth::{self, Authenticator, Ends, Identity, Principal, Role},
    certificates::standing::Standing,
    metric_definitions as metric,
    turns::{Line, Purpose, Turn, Turns},
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

/// Whether a server may call with these headers: its certificate may still be good when it has no place any more.
pub type MayCall = Arc<dyn Fn(ServerId, &HeaderMap) -> Result<(), Error> + Send + Sync>;

/// Puts a gate before services.
#[derive(Clone)]
pub struct Gate {
    side: Side,
    authenticator: Authenticator,
    clock: Arc<dyn Clock>,
    turns: Turns,
    watches: Watches,
    calls: Calls,
    may_call: Option<MayCall>,
    ends: Ends,
    standing: Standing,
    audit: Audit,
}

/// A call that the gate knows.
struct Admitted {
    method: &'static str,
    /// What it waits for, and under whose name.
    waits: Option<(Line, Arc<Identity>, Purpose)>,
    watch: Option<Place>,
    /// What ends the answer; only where that may take long.
    until: Option<Until>,
}

/// What ends an answer that lasts.
enum Until {
    /// That this server may serve nobody any more.
    Server,
    /// That, or the end of the caller's credential.
    Credential(Arc<Identity>),
}

impl Admitted {
    fn at_once(method: &'static str) -> Self {
        Self { method, waits: None, watch: None, until: None }
    }
}

impl Gate {
    /// A gate for one listener.
    #[must_use]
    pub fn new(side: Side, authenticator: Authenticator, turns: Turns, clock: Arc<dyn Clock>) -> Self {
        let (watches, calls) = (Watches::default(), Calls::new());
        let (ends, standing, audit) = (Ends::default(), Standing::default(), Audit::default());
        Self { side, authenticator, clock, turns, watches, calls, may_call: None, ends, standing, audit }
    }

    /// The same, cutting streams when it is told there that their credentials end.
    #[must_use]
    pub fn cutting(self, ends: Ends) -> Self {
        Self { ends, ..self }
    }

    /// The same, serving nobody while this server may not speak for the cluster.
    #[must_use]
    pub(crate) fn standing(self, standing: Standing) -> Self {
        Self { standing, ..self }
    }

    /// The same, closed to servers that may not call.
    #[must_use]
    pub fn asking(self, may_call: MayCall) -> Self {
        Self { may_call: Some(may_call), ..self }
    }

    /// The same, keeping what is refused and read.
    #[must_use]
    pub fn auditing(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    /// Lets the call through, with the caller in its extensions, or says why not.
    fn admit<B>(&self, request: &mut Request<B>) -> Result<Admitted, Error> {
        sizes::check_headers(request.headers())?;
        match self.side {
            Side::Clients => self.admit_client(request),
            Side::Servers => self.admit_server(request),
        }
    }

    /// Nothing may happen that could not be kept, if that is what was configured.
    fn audit_allows(&self) -> Result<(), Error> {
        match self.audit.blocks() {
            Some(problem) if self.side == Side::Clients => Err(Error::Exhausted(problem)),
            _ => Ok(()),
        }
    }

    fn admit_client<B>(&self, request: &mut Request<B>) -> Result<Admitted, Error> {
        let found = doors::door(request.uri().path());
        if let Some((method, Door::Open)) = found {
            return Ok(Admitted::at_once(method));
        }
        self.standing.check()?;
        if let Some((method, Door::Secret)) = found {
            return Ok(Admitted::at_once(method));
        }
        let certificate = request.extensions().get::<PeerInfo>().and_then(|peer| peer.certificate.clone());
        let identity = self.authenticator.identify(request.headers(), certificate.as_deref())?;
        // Before anything is refused: the audit says who it was.
        request.extensions_mut().insert(identity.clone());
        self.authenticator.check_counts(&identity)?;
        match found {
            None | Some((_, Door::Server)) => {
                return Err(Error::Unimplemented(format!("there is no method {}", request.uri().path())));
            }
            Some((_, Door::Agent)) if identity.node().is_none() => {
                return Err(Error::Forbidden("only the agent of a node may do that".to_owned()));
            }
            Some(_) => {}
        }
        let method = found.map_or("", |(method, _)| method);
        // An agent's session outlives its certificate if the node has another one: it asks by itself.
        let until = doors::is_stream(method).then(|| match found {
            Some((_, Door::Agent)) => Until::Server,
            _ => Until::Credential(identity.clone()),
        });
        let admitted = Admitted { until, ..self.pace(method, &identity)? };
        // For streams of many calls, which take a turn for each.
        request.extensions_mut().insert(self.turns.clone());
        Ok(admitted)
    }

    fn pace(&self, method: &'static str, identity: &Arc<Identity>) -> Result<Admitted, Error> {
        let waits = |line: &Line, purpose| Some((line.clone(), identity.clone(), purpose));
        let admitted = Admitted::at_once(method);
        Ok(match doors::pace(method) {
            Pace::Write => Admitted { waits: waits(&self.turns.writes, Purpose::Other), ..admitted },
            Pace::Delete => Admitted { waits: waits(&self.turns.writes, Purpose::Delete), ..admitted },
            Pace::Read => Admitted { waits: waits(&self.turns.reads, Purpose::Other), ..admitted },
            Pace::Watch => Admitted { watch: Some(self.watches.open(&identity.uid)?), ..admitted },
            Pace::Free => admitted,
        })
    }

    /// Resolves when the answer has to end.
    fn end_of(&self, until: Until) -> cut::End {
        let (ends, authenticator, standing) = (self.ends.clone(), self.authenticator.clone(), self.standing.clone());
        Box::pin(async move {
            match until {
                Until::Server => standing.until_lost().await,
                Until::Credential(identity) => tokio::select! {
                    error = ends.wait(&authenticator, &identity) => error.into(),
                    error = standing.until_lost() => error,
                },
            }
        })
    }

    fn admit_server<B>(&self, request: &mut Request<B>) -> Result<Admitted, Error> {
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
        self.authenticator.check_server(&certificate)?;
        // The consensus service says it in a way that the removed server heeds: it ends.
        if !doors::is_consensus(method)
            && let Some(may_call) = &self.may_call
        {
            may_call(id, request.headers())?;
        }
        request.extensions_mut().insert(CallingServer(id));
        Ok(Admitted::at_once(method))
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
        let mut kept = kept::Kept::of(&self.gate.audit, self.gate.side, &mut request);
        let admitted = self.gate.audit_allows().and_then(|()| self.gate.admit(&mut request));
        if let Some(kept) = &mut kept {
            kept.caller = request.extensions().get::<Arc<Identity>>().cloned();
        }
        let mut admitted = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                count_refusal(&error);
                if let Some(kept) = kept {
                    kept.refused(&error, self.gate.clock.unix_millis());
                }
                let mut response = refuse(&error);
                if self.gate.side == Side::Servers {
                    tell_revoked(&request, &error, &mut response);
                }
                return Box::pin(std::future::ready(Ok(response)));
            }
        };
        // Polled to readiness is this one; the clone is for the next call.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let (clock, calls, method) = (self.gate.clock.clone(), self.gate.calls.clone(), admitted.method);
        let end = admitted.until.take().map(|until| self.gate.end_of(until));
        Box::pin(async move {
            let response = answer(inner, request, admitted).await?;
            if let Some(kept) = kept {
                kept.answered(&response, clock.unix_millis());
            }
            let response = match end {
                Some(end) => cut::until(end, response),
                None => response,
            };
            calls.count(method, code_of(&response), clock.monotonic().saturating_sub(began));
            Ok(response)
        })
    }
}

/// Waits for the call's turn, and has it until the answer is there.
async fn answer<S>(mut inner: S, request: Request<Body>, admitted: Admitted) -> Result<S::Response, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let _turn: Option<Turn> = match admitted.waits {
        None => None,
        Some((line, caller, purpose)) => match line.enter(&caller, purpose).await {
            Ok(turn) => Some(turn),
            Err(full) => return Ok(refuse(&full.into())),
        },
    };
    let response = sizes::explain(inner.call(request).await?);
    Ok(match admitted.watch {
        Some(place) => place.hold(response),
        None => response,
    })
}

fn refuse(error: &Error) -> Response<Body> {
    status::to_status(error).into_http()
}

/// Tells another server which certificate is no good: it may have no other way to learn that.
fn tell_revoked(request: &Request<Body>, error: &Error, response: &mut Response<Body>) {
    let Error::Unauthenticated(auth::Error::Withdrawn(_)) = error else { return };
    let certificate = request.extensions().get::<PeerInfo>().and_then(|peer| peer.certificate.as_ref());
    if let Some(serial) = certificate.and_then(|certificate| HeaderValue::from_str(&certificate.serial).ok()) {
        response.headers_mut().insert(REVOKED_HEADER, serial);
    }
}

/// The code of an answer that is an error from its start; others end well, or fail in their trailers.
fn code_of(response: &Response<Body>) -> Code {
    let code = response.headers().get("grpc-status").and_then(|code| code.to_str().ok());
    code.and_then(|code| code.parse().ok()).map_or(Code::Ok, Code::from_i32)
}

fn count_refusal(error: &Error) {
    if matches!(error, Error::Unauthenticated(_)) {
        cached!(counter metric::CALLS_UNAUTHENTICATED).increment(1);
    }
}
