//! Certificates, keys and configurations of a simulated cluster, on the file system in memory. Starts nothing.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use boss_base::{
    files,
    jwt::SigningKey,
    pki::{CertificateAuthority, Subject},
    telemetry::Format,
    tls,
};
use boss_proto::{
    SERVER_DNS_NAME,
    ids::{ClusterId, ServerId},
};
use boss_raft::{ElectionProfile, Member, ReadMode};
use boss_server::{
    audit,
    config::{Config, Listen, LogBounds},
};
use serde_json::json;

use super::clock::EPOCH_UNIX;

const CLUSTER: &str = "simulated";
const API: u16 = 7_400;
const PEER: u16 = 7_401;
const HTTP: u16 = 7_402;
/// The file system in memory is full for nobody.
const DISK_RESERVE_BYTES: u64 = 1 << 20;
/// Little, so that snapshots are taken, and sent to servers that were away.
const LOG: LogBounds = LogBounds { snapshot_every_entries: 150, keep_entries: 40 };
/// No simulation lasts so long.
const LIFETIME: Duration = Duration::from_secs(6 * 3_600);

/// What all of a simulated cluster rests on.
pub(super) struct Papers {
    folder: PathBuf,
    authority: CertificateAuthority,
    signing_key: SigningKey,
    members: Vec<Member>,
}

/// The host of a server.
pub(super) fn host(id: u64) -> String {
    format!("server-{id}")
}

impl Papers {
    /// Makes them for so many servers.
    pub(super) fn make(folder: &Path, servers: u64) -> io::Result<Self> {
        let authority = CertificateAuthority::generate(CLUSTER).map_err(io::Error::other)?;
        let signing_key = SigningKey::generate().map_err(io::Error::other)?;
        let sealing = boss_base::sealing::new_key_line().map_err(io::Error::other)?;
        std::fs::write(folder.join("ca.pem"), authority.cert_pem())?;
        std::fs::write(folder.join("token.pem"), signing_key.public_pem())?;
        files::write_atomic(&folder.join("sealing.keys"), sealing.as_bytes(), files::PRIVATE)?;
        let member = |id: u64| Member {
            id: ServerId(id),
            name: host(id),
            peer: format!("{}:{PEER}", host(id)),
            api: format!("{}:{API}", host(id)),
        };
        Ok(Self { folder: folder.to_owned(), authority, signing_key, members: (1..=servers).map(member).collect() })
    }

    /// The servers.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The certificate of the authority.
    pub(super) fn ca_pem(&self) -> &str {
        self.authority.cert_pem()
    }

    /// The configuration of one server, whose files it writes.
    pub(super) fn config(&self, own: &Member, reads: ReadMode) -> io::Result<Config> {
        let folder = self.folder.join(&own.name);
        std::fs::create_dir_all(&folder)?;
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Ok(Config {
            id: own.id,
            name: own.name.clone(),
            cluster_id: ClusterId::from(CLUSTER),
            data_dir: folder.join("data"),
            listen: Listen { api: any(API), peer: any(PEER), http: any(HTTP) },
            tls: self.tls_files(&folder, own.id)?,
            token_keys: vec![self.folder.join("token.pem")],
            token_issuer: None,
            oidc: None,
            ca_key: None,
            lifetimes: Default::default(),
            sealing_keys: Some(self.folder.join("sealing.keys")),
            profile: ElectionProfile::Standard,
            reads,
            disk_reserve_bytes: DISK_RESERVE_BYTES,
            log: LOG,
            audit: audit::Settings::in_folder(folder.join("audit")),
            members: self.members.clone(),
            initialize: own.id == ServerId(1),
            log_format: Format::Text,
        })
    }

    fn tls_files(&self, folder: &Path, id: ServerId) -> io::Result<tls::Files> {
        let subject = Subject {
            common_name: id.to_string(),
            uris: vec![format!("boss://{CLUSTER}/server/{id}")],
            dns_names: vec![SERVER_DNS_NAME.to_owned()],
            server_auth: true,
            client_auth: true,
            lifetime: LIFETIME,
            ..Subject::default()
        };
        let issued = self.authority.issue(&subject).map_err(io::Error::other)?;
        let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
        std::fs::write(&certificate, issued.cert_pem)?;
        files::write_atomic(&key, issued.key_pem.as_bytes(), files::PRIVATE)?;
        Ok(tls::Files { certificate, key, ca: self.folder.join("ca.pem") })
    }

    /// A token of somebody who may do everything.
    pub(super) fn admin_token(&self) -> io::Result<String> {
        let now = EPOCH_UNIX.as_secs();
        // Good also for a server whose clock is behind.
        let since = now - LIFETIME.as_secs();
        let claims = json!({
            "iss": "boss", "aud": CLUSTER, "sub": "user:admin", "jti": "admin", "iat": since, "nbf": since,
            "exp": now + LIFETIME.as_secs(), "name": "admin", "groups": ["system:admins"],
        });
        self.signing_key.sign(&claims).map_err(io::Error::other)
    }
}
