//! Brings one server up: log, state, peers, core, and the tasks around it.

use std::{sync::Arc, time::Duration};

use boss_base::{
    clock::Clock,
    tasks::{OnExit, Tasks},
};
use openraft::{Raft, SnapshotPolicy};
use tokio::sync::watch;

use super::{
    Handle, Inner,
    disk::{Door, DoorKeeper},
    errors::StartError,
    folder,
    leadership::{Seen, core_stopped, watch_leadership},
    membership::{ask_whether_member, watch_members},
    proposals::Proposals,
    ticking::Ticking,
};
use crate::{
    compaction::Compaction,
    config::{Config, ElectionProfile, ReadMode},
    disk::{self, Room},
    log::{self, Log, Owner},
    network::{Contact, PeerDialer, Peers, roster::Roster},
    reads::{Promise, Reads, Rounds},
    state,
    storage::{self, OpenError, OpenOptions, Published, StateMachine, StoreLimits, start::Started},
    types::TypeConfig,
    watch::Fanout,
};

/// An append without an answer for this many longest election timeouts means that the peer hangs; its disk may well
/// be slow for one of them.
const APPEND_TIMEOUT_ELECTIONS: u32 = 3;
/// How long the lock of a process that was just killed may stay.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Opens what the disk holds and joins the others; forms no cluster by itself.
pub async fn start(
    config: Config,
    dialer: PeerDialer,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
) -> Result<Handle, StartError> {
    let tasks = tasks.group();
    match start_in(&config, dialer, clock, tasks.clone()).await {
        Ok(handle) => Ok(handle),
        Err(error) => {
            // What was started, the log's writer for one, must not outlive the failure.
            tasks.cancel();
            Err(error)
        }
    }
}

async fn start_in(
    config: &Config,
    dialer: PeerDialer,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
) -> Result<Handle, StartError> {
    let mut settings = settings(config)?;
    let round_timeout = config.profile.election_timeout_max();
    let room = Room::new(&config.data_dir, config.limits.disk_reserve_bytes);
    let mut log = open_log(config, room.clone(), Arc::clone(&clock), &tasks).await?;
    let storage_id = folder::name_of(&config.data_dir.join("log"))
        .map_err(|error| StartError::Configuration(format!("cannot read the name of the data folder: {error}")))?;
    let roster = Roster::new(config.server_id, storage_id);
    let append_timeout = round_timeout * APPEND_TIMEOUT_ELECTIONS;
    let peers = Peers::new(dialer, &config.cluster_id, config.server_id, append_timeout, roster.clone())?;
    warn_of_slow_disk(config, Arc::clone(&clock), &tasks).await;
    // A server without a vote has promised nothing, and must be able to form a cluster.
    let forgot = config.reads == ReadMode::Lease && !log.is_pristine();
    let promise = if forgot { Promise::forgotten() } else { Promise::default() };
    settings.enable_elect = !forgot;
    let state = OpenOptions {
        dir: config.data_dir.clone(),
        cluster_id: config.cluster_id.clone(),
        server_id: config.server_id,
        durable_log: log.durable(),
        tasks: tasks.clone(),
        limits: state::Limits::default(),
        store: StoreLimits::default(),
        exporter: config.exporter.clone(),
        kept_in: config.media.store,
    };
    let Started { machine, published, notice } = open_state(state, &mut log, &room).await?;
    let peers = peers.of(published.clone());
    let raft = Raft::new(config.server_id.0, Arc::new(settings), peers.clone(), log.clone(), machine)
        .await
        .map_err(|fatal| StartError::Consensus(fatal.to_string()))?;
    let rounds = Rounds {
        raft: raft.clone(),
        peers: peers.clone(),
        mode: config.reads,
        timeout: round_timeout,
        clock: Arc::clone(&clock),
    };
    let reads = Reads::start(rounds, &tasks);
    let door = watch::Sender::new(Door::Open);
    let inner = Inner {
        server_id: config.server_id,
        cluster_id: config.cluster_id.clone(),
        handover_timeout: round_timeout,
        proposals: Proposals::new(raft.clone(), Arc::clone(&clock), tasks.clone(), door.subscribe()),
        leadership: watch::Sender::default(),
        applied: watch::Sender::default(),
        failure: watch::Sender::default(),
        alarm: watch::Sender::default(),
        aside: watch::Sender::default(),
        restart: watch::Sender::default(),
        notice,
        data_dir: config.data_dir.clone(),
        stopping: tasks.token().child_token(),
        raft,
        log,
        room,
        published,
        peers,
        roster,
        contact: Contact::new(Arc::clone(&clock)),
        reads,
        promise,
        fanout: Fanout::new(),
        tasks,
        clock: Arc::clone(&clock),
    };
    spawn_tasks(&inner, clock, config);
    watch_disk(&inner, door);
    let handle = Handle(Arc::new(inner));
    spawn(&handle.0.tasks, "compare-states", OnExit::Log, handle.clone().keep_comparing());
    spawn(&handle.0.tasks, "ask-whether-member", OnExit::Log, ask_whether_member(handle.clone()));
    Ok(handle)
}

/// On a full disk in what the reserve held: a server that cannot start could not even vote.
async fn open_state(options: OpenOptions, log: &mut Log, room: &Room) -> Result<Started, OpenError> {
    match storage::start::start(options.clone(), log).await {
        Err(OpenError::Io { source, .. }) if disk::says_full(&source) && room.give_up_reserve() => {
            storage::start::start(options, log).await
        }
        opened => opened,
    }
}

async fn open_log(config: &Config, room: Room, clock: Arc<dyn Clock>, tasks: &Tasks) -> Result<Log, StartError> {
    let options = log::Options {
        dir: config.data_dir.join("log"),
        owner: Owner { cluster_id: config.cluster_id.clone(), server_id: config.server_id },
        segment_bytes: config.limits.segment_bytes,
        cache_bytes: config.limits.cache_bytes,
        room,
    };
    let mut waited = Duration::ZERO;
    loop {
        let (options, clock, owner) = (options.clone(), Arc::clone(&clock), tasks.clone());
        let disk = config.media.log_disk.as_ref().map(|make| make());
        let open = move || match disk {
            None => Log::open(options, clock, owner),
            Some(disk) => Log::open_on(disk, options, clock, owner),
        };
        let opened = tasks.run_blocking("open-log", open).await;
        match opened.map_err(|error| StartError::Consensus(error.to_string()))? {
            Err(log::OpenError::Locked { .. }) if waited < LOCK_WAIT_MAX => {
                // Nothing tells when a lock goes.
                tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
                waited += LOCK_RETRY_INTERVAL;
            }
            opened => return Ok(opened?),
        }
    }
}

/// A vote or an entry that takes as long as an election makes elections fail.
async fn warn_of_slow_disk(config: &Config, clock: Arc<dyn Clock>, tasks: &Tasks) {
    let dir = config.data_dir.join("log");
    let probe = tasks.run_blocking("disk-probe", move || log::probe(&dir, &*clock)).await;
    let Ok(Ok(probe)) = probe else { return };
    let (profile, bound) = (config.profile, config.profile.election_timeout_min() / 4);
    if probe.median > bound {
        tracing::warn!(
            profile = profile.as_str(),
            median = ?probe.median,
            slowest = ?probe.slowest,
            "the disk is too slow for this election profile; leaders will change under load: use slow-disk"
        );
    } else {
        tracing::debug!(median = ?probe.median, slowest = ?probe.slowest, "probed the disk");
    }
}

fn settings(config: &Config) -> Result<openraft::Config, StartError> {
    let profile: ElectionProfile = config.profile;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let settings = openraft::Config {
        cluster_name: config.cluster_id.to_string(),
        heartbeat_interval: millis(profile.heartbeat_interval()),
        election_timeout_min: millis(profile.election_timeout_min()),
        election_timeout_max: millis(profile.election_timeout_max()),
        enable_pre_vote: Some(true),
        // A restored leader may serve a state that is older than what it has acknowledged.
        enable_leader_restore: Some(false),
        // Finds a leader that only hears itself in a partial partition.
        quorum_loss_probe_interval: Some(2 * millis(profile.election_timeout_max())),
        // A log that went back has lost acknowledged entries: that must never pass silently.
        allow_log_reversion: None,
        // It counts entries only; `Compaction` counts bytes and time as well.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: config.limits.keep_entries,
        backoff: "100ms".to_owned(),
        ..openraft::Config::default()
    };
    settings.validate().map_err(|error| StartError::Configuration(error.to_string()))
}

fn spawn_tasks(inner: &Inner, clock: Arc<dyn Clock>, config: &Config) {
    let (raft, published): (Raft<TypeConfig, StateMachine>, Published) = (inner.raft.clone(), inner.published.clone());
    let seen = Seen { leadership: inner.leadership.clone(), applied: inner.applied.clone() };
    let (promise, voter, lease) = (inner.promise.clone(), raft.clone(), inner.handover_timeout);
    spawn(&inner.tasks, "promise", OnExit::Log, async move {
        promise.run_out(lease).await;
        voter.runtime_config().elect(true);
    });

    spawn(&inner.tasks, "leadership", OnExit::Log, watch_leadership(raft.clone(), published.clone(), seen));

    spawn(&inner.tasks, "members", OnExit::Log, watch_members(raft.clone(), inner.roster.clone()));
    let (fanout, watched, stopping) = (inner.fanout.clone(), published.clone(), inner.stopping.clone());
    let told = watched.view().revision();
    inner.tasks.spawn("watch-fanout", OnExit::Log, async move {
        stopping.run_until_cancelled(fanout.run(&watched, told)).await;
        fanout.close();
    });

    let patience = config.profile.election_timeout_min();
    let ticking = Ticking { raft: raft.clone(), contact: inner.contact.clone(), patience };
    spawn(&inner.tasks, "ticking", OnExit::Log, ticking.run());

    let limits = config.limits.clone();
    let compaction = Compaction { raft: raft.clone(), log: inner.log.clone(), published, clock, limits };
    spawn(&inner.tasks, "compaction", OnExit::Log, compaction.run());

    let failure = inner.failure.clone();
    let log_failure = inner.log.failure();
    // Its end is the end of the process: a live process with a dead core serves nobody.
    let stopping = inner.stopping.clone();
    let token = inner.tasks.token();
    spawn(&inner.tasks, "consensus", OnExit::StopProcess, async move {
        let mut failed = failure.subscribe();
        let unfit = async { failed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone()) };
        let ended = async {
            tokio::select! {
                reason = core_stopped(&raft) => reason,
                Some(reason) = unfit => reason,
            }
        };
        let stopped = stopping.run_until_cancelled(ended).await;
        // Both may have happened by the time that this task looks: the end of the core is what a stop asks for.
        let Some(stopped) = stopped.filter(|_| !stopping.is_cancelled()) else {
            return token.cancelled().await;
        };
        let reason = log_failure.borrow().clone().unwrap_or(stopped);
        tracing::error!(reason, "this server cannot go on");
        failure.send_replace(Some(reason));
    });
}

/// Begins only now: the file of the reserve belongs to whoever holds the log.
fn watch_disk(inner: &Inner, door: watch::Sender<Door>) {
    spawn(&inner.tasks, "disk-room", OnExit::Log, inner.room.clone().keep_looking(inner.tasks.clone()));
    let keeper = DoorKeeper { raft: inner.raft.clone(), peers: inner.peers.clone(), room: inner.room.clone(), door };
    spawn(&inner.tasks, "disk-door", OnExit::Log, keeper.run());
}

pub(super) fn spawn(
    tasks: &Tasks,
    name: &'static str,
    on_exit: OnExit,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let token = tasks.token();
    tasks.spawn(name, on_exit, async move {
        token.run_until_cancelled(work).await;
    });
}
