//! Builds the server from its configuration, runs it and stops it. The one place that knows every part.

mod build_error;
mod formation;
mod identity;
mod services;

use std::{sync::Arc, time::Duration};

use ::http::HeaderMap;
use boss_base::{
    clock::Clock,
    net::Network,
    tasks::{OnExit, Tasks},
    telemetry::{Definition, Metrics},
    tls::{self, OpenConnections},
};
use boss_proto::ids::ServerId;
use boss_raft::{
    Handle, PeerDialer,
    config::{Limits, Media},
};
use tokio_util::sync::CancellationToken;

pub use self::build_error::BuildError;
use self::services::Services;
use crate::{
    api::{
        self,
        gate::{Gate, Side},
    },
    audit::Audit,
    auth::{Authenticator, Ends, oidc},
    certificates::{
        keeper::Keeper,
        standing::{self, Standing},
    },
    config::Config,
    controllers,
    gauges::Gauges,
    http::{self, Probes},
    listeners::{Bound, grpc_server},
    members::{self, Members},
    metric_definitions,
    reads::Reads,
    sealing::Vault,
    sessions::{self, Sessions},
    turns::Turns,
    writes::{self, Peers, Writes},
};

/// How often certificate files are looked at.
const TLS_RELOAD_INTERVAL: Duration = Duration::from_secs(10);
/// Open calls get so long to end after the server stopped accepting.
const CALLS_DEADLINE: Duration = Duration::from_secs(3);
/// Controllers finish what they are at within it.
const CONTROLLERS_DEADLINE: Duration = Duration::from_secs(2);
/// Handing over leadership and flushing.
const RAFT_DEADLINE: Duration = Duration::from_secs(8);
/// Whatever is left.
const REST_DEADLINE: Duration = Duration::from_secs(2);
/// Histograms are folded together so often, so that they stay bounded.
const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What a server takes from its surroundings.
#[derive(Clone)]
pub struct Environment {
    /// Time and randomness.
    pub clock: Arc<dyn Clock>,
    /// Shown at /metrics, if there are any.
    pub metrics: Option<Metrics>,
    /// Owner of all that the server runs.
    pub tasks: Tasks,
    /// Where it listens and dials.
    pub network: Network,
    /// What its log and its state stand on.
    pub media: Media,
}

impl Environment {
    /// The machine's own, but for time and metrics.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, metrics: Option<Metrics>) -> Self {
        Self { clock, metrics, tasks: Tasks::new(), network: Network::default(), media: Media::default() }
    }
}

/// The groups of tasks, in the order in which they stop.
struct Groups {
    /// The ports for clients and the calls behind them.
    serving: Tasks,
    /// What only the leader does.
    leading: Tasks,
    /// The port for servers: needed until leadership is handed over.
    peering: Tasks,
    /// Everything.
    all: Tasks,
}

impl Groups {
    fn new(all: Tasks) -> Self {
        Self { serving: all.group(), leading: all.group(), peering: all.group(), all }
    }
}

/// A server, built and not yet running.
pub struct App {
    config: Config,
    environment: Environment,
    groups: Groups,
    bound: Bound,
    raft: Handle,
    authenticator: Authenticator,
    services: Services,
    sessions: Arc<Sessions>,
    turns: Turns,
    audit: Audit,
    identity: tls::Identity,
    keeper: Keeper,
    standing: standing::Follower,
}

/// Why a running server ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A task that the server cannot live without ended.
    #[error("{0}")]
    Task(boss_base::tasks::Failure),
    /// Consensus is dead.
    #[error("consensus has stopped: {0}")]
    Consensus(String),
    /// The cluster knows this server no more: starting it again is of no use.
    #[error("{0}")]
    Expelled(String),
    /// Another server's state waits for the next start of this one.
    #[error("{0}")]
    Restart(String),
    /// The cluster could not be formed.
    #[error("cannot form the cluster")]
    Formation(#[source] boss_raft::InitializeError),
}

impl App {
    /// Takes the ports, opens the data directory and joins the others. Serves nobody yet.
    pub async fn build(config: Config, environment: Environment) -> Result<Self, BuildError> {
        let groups = Groups::new(environment.tasks.clone());
        boss_raft::metric_definitions::ALL.iter().chain(metric_definitions::ALL).for_each(Definition::describe);
        let clock = environment.clock.clone();
        let identity = identity::load(&config, &*clock)?;
        let token_keys = identity::load_token_keys(&config)?;
        let (signer, welcome) = (identity::load_signer(&config)?, identity::welcome(&config)?);
        let vault = Vault::load(config.cluster_id.clone(), config.sealing_keys.clone())?;
        vault.reload_on_change(&groups.all);
        let provider = config.oidc.clone().map(oidc::Provider::load).transpose()?;
        if let Some(provider) = &provider {
            provider.reload_on_change(&groups.all);
        }
        let (accepted, dialled) = (OpenConnections::default(), OpenConnections::default());
        let bound = Bound::bind(config.listen, &identity, &environment.network, &accepted).await?;
        identity.reload_on_change(&groups.all, TLS_RELOAD_INTERVAL);
        let network = environment.network.clone();
        let dialer = PeerDialer::tls_over(network, identity.clone(), config.cluster_id.clone(), dialled.clone());
        let audit = Audit::start(config.audit.clone(), clock.clone(), &groups.all)
            .map_err(|error| BuildError::Audit { path: config.audit.directory.clone(), error })?;
        let raft = start_raft(&config, &environment, &audit, dialer.clone()).await?;
        let registry = raft.clone();
        let authenticator = Authenticator::new(config.cluster_id.clone(), token_keys, identity.clone(), clock.clone())
            .asking(move || registry.view());
        let standing = standing::Follower {
            standing: Standing::default(),
            identity: identity.clone(),
            authenticator: authenticator.clone(),
            ends: Ends::default(),
            raft: raft.clone(),
            accepted,
            dialled,
        };
        standing.judge_connections();
        let peers = Peers::new(raft.clone(), dialer, config.members.clone());
        let sessions = Sessions::new(sessions::Parts {
            handle: raft.clone(),
            clock: clock.clone(),
            tasks: groups.serving.clone(),
            peers: peers.clone(),
            cluster_id: config.cluster_id.clone(),
            server_id: config.id,
        });
        let turns = Turns::new(&clock);
        let members = Members::new(members::Parts {
            raft: raft.clone(),
            peers: peers.clone(),
            authenticator: authenticator.clone(),
            clock: clock.clone(),
            signer,
            identity: identity.clone(),
            cluster_id: config.cluster_id.clone(),
            welcome,
            audit: audit.clone(),
        });
        let keeper = Keeper {
            identity: identity.clone(),
            members: members.clone(),
            clock: clock.clone(),
            standing: standing.standing.clone(),
            tasks: groups.all.clone(),
        };
        let services = Services {
            members,
            id: config.id,
            cluster_id: config.cluster_id.clone(),
            writes: Writes::new(writes::Parts {
                id: config.id,
                raft: raft.clone(),
                authenticator: authenticator.clone(),
                peers: peers.clone(),
                turns: turns.clone(),
                vault: vault.clone(),
                clock: clock.clone(),
                tasks: groups.all.clone(),
            }),
            reads: Reads::new(raft.clone(), authenticator.clone(), vault.clone(), clock.clone(), &groups.serving),
            clock,
            vault,
            provider,
            token_issuer: config.token_issuer.clone(),
            authenticator: authenticator.clone(),
            audit: audit.clone(),
            standing: standing.standing.clone(),
            raft: raft.clone(),
            peers,
            sessions: sessions.clone(),
        };
        Ok(Self {
            config,
            environment,
            groups,
            bound,
            raft,
            authenticator,
            services,
            sessions,
            turns,
            audit,
            identity,
            keeper,
            standing,
        })
    }

    /// Serves until `shutdown` is cancelled or something that the server needs has died, then stops in order.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RunError> {
        let Self {
            config,
            environment,
            groups,
            bound,
            raft,
            authenticator,
            services,
            sessions,
            turns,
            audit,
            identity,
            keeper,
            standing: follower,
        } = self;
        keeper.start();
        let heads = services.members.clone().keep_audit_heads(groups.all.token());
        groups.all.spawn("audit-heads", OnExit::StopProcess, heads);
        let gate = |side| {
            let gate = Gate::new(side, authenticator.clone(), turns.clone(), environment.clock.clone());
            gate.auditing(audit.clone())
        };
        let gauges = Gauges::new(raft.clone(), identity, [("api", bound.api.slots()), ("peer", bound.peer.slots())]);
        let members = raft.clone();
        let may_call = move |id, headers: &HeaderMap| may_call(&members, id, headers);
        let (ends, standing) = (follower.ends.clone(), follower.standing.clone());
        groups.serving.spawn("credential-ends", OnExit::StopProcess, {
            let (ends, raft, token) = (ends.clone(), raft.clone(), groups.serving.token());
            async move {
                token.run_until_cancelled(ends.follow(raft)).await;
            }
        });
        groups.serving.spawn("standing", OnExit::StopProcess, {
            let token = groups.serving.token();
            async move {
                token.run_until_cancelled(follower.run()).await;
            }
        });
        let servers_gate = gate(Side::Servers).asking(Arc::new(may_call));
        serve_peers(&groups.peering, bound.peer, servers_gate, &services);
        let clients_gate = gate(Side::Clients).cutting(ends).standing(standing.clone());
        serve_clients(&groups.serving, bound.api, clients_gate, &services);
        let probes = Probes::new(
            raft.clone(),
            environment.metrics.clone().map(|metrics| (metrics, gauges)),
            groups.serving.token(),
        )
        .publishing(authenticator, config.token_issuer.clone())
        .standing(standing);
        groups.all.spawn("http", OnExit::StopProcess, http::serve(bound.http, probes, groups.all.token()));
        if let Some(metrics) = environment.metrics {
            groups.all.spawn("metrics-upkeep", OnExit::Log, keep_metrics(metrics, groups.all.token()));
        }
        controllers::start(&controllers::Parts {
            handle: raft.clone(),
            clock: environment.clock,
            tasks: groups.leading.clone(),
            sessions,
            vault: services.vault.clone(),
            peers: services.peers.clone(),
        });
        tracing::info!(
            id = %config.id, cluster = %config.cluster_id, api = %config.listen.api, peer = %config.listen.peer,
            http = %config.listen.http, version = env!("CARGO_PKG_VERSION"), "server started"
        );
        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            failure = groups.all.failed() => Err(RunError::Task(failure)),
            reason = raft.failed() => Err(RunError::Consensus(reason)),
            reason = raft.expelled() => Err(RunError::Expelled(reason)),
            reason = raft.wants_restart() => Err(RunError::Restart(reason)),
            error = formation::form(&config, &raft) => Err(RunError::Formation(error)),
        };
        stop(&groups, &raft).await;
        ended
    }
}

/// Whether another server may ask something of this one.
fn may_call(raft: &Handle, id: ServerId, headers: &HeaderMap) -> Result<(), api::Error> {
    // Who comes from another life is told so: that it is no member of this one only follows from it.
    writes::check_incarnation(raft, headers)?;
    if raft.is_removed(id) {
        return Err(api::Error::Forbidden(format!("server {id} has been removed from the cluster")));
    }
    let members = raft.members();
    // A server that has just begun knows no members yet; who calls it had to be dialled by it, or leads.
    if !members.is_empty() && !members.iter().any(|member| member.id == id) {
        return Err(api::Error::Forbidden(format!("server {id} is no member of the cluster")));
    }
    Ok(())
}

async fn start_raft(
    config: &Config,
    environment: &Environment,
    audit: &Audit,
    dialer: PeerDialer,
) -> Result<Handle, BuildError> {
    let settings = boss_raft::Config {
        profile: config.profile,
        reads: config.reads,
        exporter: audit.exporter(),
        media: environment.media.clone(),
        limits: Limits {
            disk_reserve_bytes: config.disk_reserve_bytes,
            snapshot_every_entries: config.log.snapshot_every_entries,
            keep_entries: config.log.keep_entries,
            ..Limits::default()
        },
        ..boss_raft::Config::new(config.id, config.cluster_id.clone(), config.data_dir.clone())
    };
    let (clock, tasks) = (environment.clock.clone(), environment.tasks.clone());
    boss_raft::start(settings, dialer, clock, tasks).await.map_err(BuildError::Raft)
}

fn serve_clients(tasks: &Tasks, listener: tls::Listener, gate: Gate, services: &Services) {
    let token = tasks.token();
    let router = services.for_clients(grpc_server().layer(gate), token.clone());
    let incoming = listener.accept(tasks);
    tasks.spawn("api", OnExit::StopProcess, async move {
        if let Err(error) = router.serve_with_incoming_shutdown(incoming, token.cancelled_owned()).await {
            tracing::error!(%error, "serving the API failed");
        }
    });
}

fn serve_peers(tasks: &Tasks, listener: tls::Listener, gate: Gate, services: &Services) {
    let token = tasks.token();
    let router = services.for_servers(grpc_server().layer(gate));
    let incoming = listener.accept(tasks);
    tasks.spawn("peers", OnExit::StopProcess, async move {
        if let Err(error) = router.serve_with_incoming_shutdown(incoming, token.cancelled_owned()).await {
            tracing::error!(%error, "serving the other servers failed");
        }
    });
}

async fn keep_metrics(metrics: Metrics, end: CancellationToken) {
    let mut ticks = tokio::time::interval(METRICS_UPKEEP_INTERVAL);
    let upkeep = async {
        loop {
            ticks.tick().await;
            metrics.run_upkeep();
        }
    };
    end.run_until_cancelled(upkeep).await;
}

/// Reverse order of the start: nobody new, nobody leads, leadership to another, the rest.
async fn stop(groups: &Groups, raft: &Handle) {
    tracing::info!("stopping");
    groups.serving.cancel();
    log_leftovers("controllers", groups.leading.stop(CONTROLLERS_DEADLINE).await);
    log_leftovers("calls", groups.serving.stop(CALLS_DEADLINE).await);
    if tokio::time::timeout(RAFT_DEADLINE, raft.shutdown()).await.is_err() {
        tracing::warn!("consensus did not stop in time; what was acknowledged is on disk");
    }
    log_leftovers("peers", groups.peering.stop(REST_DEADLINE).await);
    log_leftovers("rest", groups.all.stop(REST_DEADLINE).await);
    tracing::info!("stopped");
}

fn log_leftovers(what: &str, stopped: Result<(), Vec<String>>) {
    if let Err(running) = stopped {
        tracing::warn!(what, ?running, "did not end in time");
    }
}
