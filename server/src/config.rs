//! The server's configuration from file, flags and environment, checked once. Knows nothing of what is built from it.

mod audit;
mod compaction;
mod oidc;

use std::{
    collections::BTreeSet,
    fmt, fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use boss_base::{
    config::{Problems, Section, read_file, read_log_format, read_tls},
    telemetry::Format,
    tls,
};
use boss_proto::{
    ids::{ClusterId, ServerId},
    limits::{CERTIFICATE_LIFETIME, CERTIFICATE_LIFETIME_MIN},
};
use boss_raft::{ElectionProfile, Member, ReadMode, config::DISK_RESERVE_BYTES};
use clap::Parser;

pub use self::compaction::LogBounds;
pub use boss_base::config::Problem;

use crate::members::Lifetimes;

/// More than any log can need before a person looks.
const DISK_RESERVE_MIB_MAX: u64 = 64 << 10;

/// The control plane of Boss: one replica of three or five.
#[derive(Debug, Clone, Default, Parser)]
#[command(
    name = "boss-server",
    version,
    after_help = "Exit codes: 0 clean stop, 1 runtime failure, 2 bad configuration or arguments, \
                  3 no place in the cluster any more."
)]
pub struct Args {
    /// The configuration file (TOML).
    #[arg(long, env = "BOSS_SERVER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Id of this server; never the id of another one, also not of one that is gone.
    #[arg(long, env = "BOSS_SERVER_ID", value_name = "N")]
    pub id: Option<u64>,
    /// Where the log, the registry and the snapshots are kept.
    #[arg(long, env = "BOSS_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the API.
    #[arg(long, env = "BOSS_BIND", value_name = "ADDR:PORT")]
    pub bind: Option<String>,
    /// Address for the other servers.
    #[arg(long, env = "BOSS_BIND_PEER", value_name = "ADDR:PORT")]
    pub bind_peer: Option<String>,
    /// Address for health and metrics.
    #[arg(long, env = "BOSS_BIND_HTTP", value_name = "ADDR:PORT")]
    pub bind_http: Option<String>,
    /// How fast a lost leader is replaced: fast, standard or slow-disk.
    #[arg(long, env = "BOSS_PROFILE", value_name = "PROFILE")]
    pub profile: Option<String>,
    /// Form the cluster with the configured members, once and on one server only; nothing happens when it is formed.
    #[arg(long)]
    pub initialize: bool,
    /// json or text.
    #[arg(long, env = "BOSS_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// Everything a server is built from.
#[derive(Debug, Clone)]
pub struct Config {
    /// This server.
    pub id: ServerId,
    /// What people call it.
    pub name: String,
    /// The cluster it belongs to.
    pub cluster_id: ClusterId,
    /// Where the log, the registry and the snapshots are kept.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub listen: Listen,
    /// Its certificate, key and the cluster's CA.
    pub tls: tls::Files,
    /// Public keys of those who sign tokens.
    pub token_keys: Vec<PathBuf>,
    /// The address under which others find this cluster's public keys, as its tokens for them say it.
    pub token_issuer: Option<String>,
    /// The provider of identities whose people may log in.
    pub oidc: Option<crate::auth::oidc::Settings>,
    /// Key of the cluster's authority, if this server may sign certificates of joining servers.
    pub ca_key: Option<PathBuf>,
    /// How long certificates are good that this server signs.
    pub lifetimes: Lifetimes,
    /// The keys that seal secrets; without them this server can neither store nor show one.
    pub sealing_keys: Option<PathBuf>,
    /// How fast a lost leader is replaced.
    pub profile: ElectionProfile,
    /// How a leader makes sure that it still leads before it answers a read.
    pub reads: ReadMode,
    /// When the log is compacted, and how much of it stays.
    pub log: LogBounds,
    /// Bytes of the data folder's file system that are kept for votes; with less there are no writes.
    pub disk_reserve_bytes: u64,
    /// What is kept of who did what.
    pub audit: crate::audit::Settings,
    /// The members of the cluster when it is formed; this server is one of them.
    pub members: Vec<Member>,
    /// Whether this server forms the cluster if there is none yet.
    pub initialize: bool,
    /// How log lines look.
    pub log_format: Format,
}

/// The three ports.
#[derive(Debug, Clone, Copy)]
pub struct Listen {
    /// For clients and nodes.
    pub api: SocketAddr,
    /// For the other servers.
    pub peer: SocketAddr,
    /// For health and metrics, without TLS.
    pub http: SocketAddr,
}

impl Config {
    /// Reads the file, lays flags and environment over it, and checks everything; returns all problems at once.
    pub fn load(args: &Args) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let Some((root, folder)) = read_file(args.config.as_deref(), &mut problems) else {
            return Err(problems.into_vec());
        };
        let config = Raw::read(root, args, &folder, &mut problems);
        check_relations(&config, &mut problems);
        if problems.is_empty() { config.finish().ok_or_else(Vec::new) } else { Err(problems.into_vec()) }
    }

    /// The member that this server is.
    #[must_use]
    pub fn myself(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.id == self.id)
    }
}

/// The values that could be read; a missing one has its problem noted already.
struct Raw {
    id: Option<ServerId>,
    name: Option<String>,
    cluster_id: Option<ClusterId>,
    data_dir: Option<PathBuf>,
    api: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    http: Option<SocketAddr>,
    tls: Option<tls::Files>,
    token_keys: Vec<PathBuf>,
    token_issuer: Option<String>,
    oidc: Option<crate::auth::oidc::Settings>,
    ca_key: Option<PathBuf>,
    lifetimes: Option<Lifetimes>,
    sealing_keys: Option<PathBuf>,
    profile: Option<ElectionProfile>,
    reads: Option<ReadMode>,
    log: Option<LogBounds>,
    disk_reserve_bytes: Option<u64>,
    audit: crate::audit::Settings,
    members: Vec<Member>,
    initialize: bool,
    log_format: Option<Format>,
}

impl Raw {
    fn read(mut root: Section, args: &Args, folder: &Path, problems: &mut Problems) -> Self {
        let path = |text: String| folder.join(text);
        let id = read_id(&mut root, args, problems);
        let name = root.required_text("name", problems);
        let cluster_id = root.required_text("cluster_id", problems).map(ClusterId::from);
        let file_data_dir = root.text("data_dir", problems).map(path);
        let data_dir = args.data_dir.clone().or(file_data_dir);
        if data_dir.is_none() {
            problems.add("data_dir", "is missing: set it in the file or with --data-dir");
        }

        let mut listen = root.section("listen", problems);
        let api = listen.address("api", args.bind.as_deref(), "--bind", problems);
        let peer = listen.address("peer", args.bind_peer.as_deref(), "--bind-peer", problems);
        let http = listen.address("http", args.bind_http.as_deref(), "--bind-http", problems);
        listen.finish(problems);

        let mut advertise = root.section("advertise", problems);
        let advertised_api = advertise.text("api", problems);
        let advertised_peer = advertise.text("peer", problems);
        advertise.finish(problems);

        let tls = read_tls(&mut root, folder, problems);
        let mut tokens = root.section("tokens", problems);
        let token_keys: Vec<PathBuf> = tokens.texts("keys", problems).into_iter().map(path).collect();
        let token_issuer = oidc::read_own_issuer(&mut tokens, problems);
        tokens.finish(problems);
        let oidc = oidc::read(&mut root, folder, problems);
        let mut pki = root.section("pki", problems);
        let ca_key = pki.text("ca_key", problems).map(path);
        let lifetimes = read_lifetimes(&mut pki, problems);
        pki.finish(problems);
        let mut sealing = root.section("sealing", problems);
        let sealing_keys = sealing.text("keys", problems).map(path).or_else(handed_out_keys);
        sealing.finish(problems);

        let (profile, reads, log) = read_raft(&mut root, args, problems);
        let disk_reserve_bytes = read_disk_reserve(&mut root, problems);
        let audit = audit::read(&mut root, folder, data_dir.as_ref(), problems);
        let log_format = read_log_format(&mut root, args.log_format.as_deref(), problems);
        let mut members = read_members(&mut root, problems);
        root.finish(problems);
        override_advertised(&mut members, id, advertised_api, advertised_peer);
        let initialize = args.initialize;
        Self {
            id,
            name,
            cluster_id,
            data_dir,
            api,
            peer,
            http,
            tls,
            token_keys,
            token_issuer,
            oidc,
            ca_key,
            lifetimes,
            sealing_keys,
            profile,
            reads,
            log,
            disk_reserve_bytes,
            audit,
            members,
            initialize,
            log_format,
        }
    }

    fn finish(self) -> Option<Config> {
        Some(Config {
            id: self.id?,
            name: self.name?,
            cluster_id: self.cluster_id?,
            data_dir: self.data_dir?,
            listen: Listen { api: self.api?, peer: self.peer?, http: self.http? },
            tls: self.tls?,
            token_keys: self.token_keys,
            token_issuer: self.token_issuer,
            oidc: self.oidc,
            ca_key: self.ca_key,
            lifetimes: self.lifetimes?,
            sealing_keys: self.sealing_keys,
            profile: self.profile?,
            reads: self.reads?,
            log: self.log?,
            disk_reserve_bytes: self.disk_reserve_bytes?,
            audit: self.audit,
            members: self.members,
            initialize: self.initialize,
            log_format: self.log_format?,
        })
    }
}

/// What a service manager hands to the server alone (`LoadCredential=boss-sealing-keys:...` of systemd).
fn handed_out_keys() -> Option<PathBuf> {
    let path = Path::new(&std::env::var_os("CREDENTIALS_DIRECTORY")?).join("boss-sealing-keys");
    path.exists().then_some(path)
}

fn read_id(root: &mut Section, args: &Args, problems: &mut Problems) -> Option<ServerId> {
    let file_id = root.number("id", problems);
    match args.id.or(file_id) {
        Some(0) => problems.none("id", "must be 1 or more"),
        Some(id) => Some(ServerId(id)),
        None => problems.none("id", "is missing: set it in the file or with --id"),
    }
}

fn read_raft(
    root: &mut Section,
    args: &Args,
    problems: &mut Problems,
) -> (Option<ElectionProfile>, Option<ReadMode>, Option<LogBounds>) {
    let mut raft = root.section("raft", problems);
    let profile = raft.text("profile", problems);
    let reads = raft.text("reads", problems);
    let log = LogBounds::read(&mut raft, problems);
    raft.finish(problems);
    let profile = args.profile.clone().or(profile);
    (parse_or_default("raft.profile", profile, problems), parse_or_default("raft.reads", reads, problems), log)
}

fn parse_or_default<T>(key: &str, text: Option<String>, problems: &mut Problems) -> Option<T>
where
    T: std::str::FromStr<Err: fmt::Display> + Default,
{
    match text {
        None => Some(T::default()),
        Some(text) => text.parse().map_err(|error| problems.add(key, format!("{error}"))).ok(),
    }
}

fn read_lifetimes(pki: &mut Section, problems: &mut Problems) -> Option<Lifetimes> {
    let default = Lifetimes::default();
    let mut read = |key: &str, default: Duration| match pki.number(key, problems).map(Duration::from_secs) {
        None => Some(default),
        Some(lifetime) if (CERTIFICATE_LIFETIME_MIN..=CERTIFICATE_LIFETIME).contains(&lifetime) => Some(lifetime),
        Some(other) => {
            let (min, max) = (CERTIFICATE_LIFETIME_MIN.as_secs(), CERTIFICATE_LIFETIME.as_secs());
            problems.none(format!("pki.{key}"), format!("must be {min} to {max}, not {}", other.as_secs()))
        }
    };
    let node = read("node_lifetime_seconds", default.node);
    let server = read("server_lifetime_seconds", default.server);
    Some(Lifetimes { node: node?, server: server? })
}

fn read_disk_reserve(root: &mut Section, problems: &mut Problems) -> Option<u64> {
    let mut disk = root.section("disk", problems);
    let mebibytes = disk.number("reserve_mib", problems);
    disk.finish(problems);
    match mebibytes {
        None => Some(DISK_RESERVE_BYTES),
        Some(mebibytes @ 8..=DISK_RESERVE_MIB_MAX) => Some(mebibytes << 20),
        Some(other) => {
            let wanted = format!("must be 8 to {DISK_RESERVE_MIB_MAX}, not {other}");
            problems.none("disk.reserve_mib", wanted)
        }
    }
}

fn read_members(root: &mut Section, problems: &mut Problems) -> Vec<Member> {
    let mut members = Vec::new();
    for mut section in root.sections("members", problems) {
        let id = section.number("id", problems);
        if id.is_none_or(|id| id == 0) {
            problems.add(section.path("id"), "is missing or 0: each member has an id from 1");
        }
        let name = section.required_text("name", problems);
        let peer = section.required_text("peer", problems);
        let api = section.required_text("api", problems);
        for (key, address) in [("peer", &peer), ("api", &api)] {
            if address.as_deref().is_some_and(|address| !is_host_and_port(address)) {
                problems.add(section.path(key), "must be HOST:PORT");
            }
        }
        section.finish(problems);
        if let (Some(id), Some(name), Some(peer), Some(api)) = (id, name, peer, api) {
            members.push(Member { id: ServerId(id), name, peer, api });
        }
    }
    members
}

fn override_advertised(members: &mut [Member], id: Option<ServerId>, api: Option<String>, peer: Option<String>) {
    let Some(myself) = members.iter_mut().find(|member| Some(member.id) == id) else { return };
    if let Some(api) = api {
        myself.api = api;
    }
    if let Some(peer) = peer {
        myself.peer = peer;
    }
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn check_relations(config: &Raw, problems: &mut Problems) {
    check_ports_differ(config, problems);
    check_members(config, problems);
    if let Some(tls) = &config.tls {
        check_readable("tls.certificate", &tls.certificate, problems);
        check_readable("tls.ca", &tls.ca, problems);
        if check_readable("tls.key", &tls.key, problems) {
            check_private("tls.key", &tls.key, problems);
        }
    }
    if let Some(key) = &config.ca_key
        && check_readable("pki.ca_key", key, problems)
    {
        check_private("pki.ca_key", key, problems);
    }
    if let Some(keys) = &config.sealing_keys {
        if check_readable("sealing.keys", keys, problems) {
            check_private("sealing.keys", keys, problems);
        }
        if config.data_dir.as_ref().is_some_and(|data| is_inside(keys, data)) {
            problems.add("sealing.keys", "lies in the data folder: whoever copies that must not get the keys with it");
        }
    }
    if let Some(oidc) = &config.oidc {
        check_readable("auth.oidc.keys", &oidc.keys, problems);
    }
    for (index, key) in config.token_keys.iter().enumerate() {
        check_readable(&format!("tokens.keys[{index}]"), key, problems);
    }
}

fn check_ports_differ(config: &Raw, problems: &mut Problems) {
    let listeners = [("listen.api", config.api), ("listen.peer", config.peer), ("listen.http", config.http)];
    for (index, (later, address)) in listeners.iter().enumerate() {
        for (earlier, other) in &listeners[..index] {
            // Port 0 lets the system choose, so two of them do not clash.
            if address.is_some_and(|address| address.port() != 0) && address == other {
                problems.add(*later, format!("is the same address as {earlier}"));
            }
        }
    }
}

fn check_members(config: &Raw, problems: &mut Problems) {
    if config.members.is_empty() {
        problems.add("members", "is empty: list every server of the cluster, this one too");
        return;
    }
    let ids: BTreeSet<_> = config.members.iter().map(|member| member.id).collect();
    if ids.len() < config.members.len() {
        problems.add("members", "two members have the same id");
    }
    if let Some(id) = config.id.filter(|id| !ids.contains(id)) {
        problems.add("id", format!("{id} is not among the members"));
    }
    let addresses: BTreeSet<_> = config.members.iter().flat_map(|member| [&member.peer, &member.api]).collect();
    if addresses.len() < config.members.len() * 2 {
        problems.add("members", "two members, or the API and the peer port of one, have the same address");
    }
}

fn check_readable(at: &str, path: &Path, problems: &mut Problems) -> bool {
    match fs::File::open(path) {
        Ok(_) => true,
        Err(error) => {
            problems.add(at, format!("{} cannot be read: {error}", path.display()));
            false
        }
    }
}

fn is_inside(path: &Path, folder: &Path) -> bool {
    let absolute = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    absolute(path).starts_with(absolute(folder))
}

fn check_private(at: &str, path: &Path, problems: &mut Problems) {
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777).unwrap_or_default();
    if mode & 0o077 != 0 {
        problems.add(at, format!("{} has mode {mode:o}, others could read the key: chmod 600 it", path.display()));
    }
}

#[cfg(test)]
mod tests;
