//! Who we are and whom we trust, read from PEM and exchangeable while connections live. Opens no connection.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::{Resumption, WebPkiServerVerifier},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use tokio::sync::watch;

use super::{ALPN, BadCertificate, ClientAuth, PeerCertificate, provider};
use crate::{
    files,
    tasks::{OnExit, Tasks},
};

/// A chain of certificates is a few KiB; a bundle of authorities may be some hundred.
const PEM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where an identity lies on disk, all in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Own certificate, then its intermediates.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities that we trust.
    pub ca: PathBuf,
}

/// An identity in memory.
#[derive(Clone)]
pub struct Pem {
    /// Own certificate with intermediates, and its key; none for a client that identifies itself otherwise.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
    /// The authorities that we trust.
    pub ca: Vec<u8>,
}

/// An identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was read is not what it should be.
    #[error("{what} is not usable: {problem}")]
    Unusable {
        /// The file, or the kind of document when there is no file.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What a reload found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// The same bytes as before.
    Unchanged,
    /// New connections use the new identity; those that are open keep theirs.
    Changed,
}

/// Who we are and whom we trust. Clones share it: a reload reaches all of them.
#[derive(Clone)]
pub struct Identity(Arc<Shared>);

struct Shared {
    files: Option<Files>,
    loaded: ArcSwap<Loaded>,
    /// Counts the generations.
    changes: watch::Sender<u64>,
}

/// One generation: all that handshakes need, made once.
pub(super) struct Loaded {
    pem: Pem,
    own: Option<Arc<PeerCertificate>>,
    servers: Option<Servers>,
    callers: Arc<dyn ClientCertVerifier>,
    pub(super) client: Arc<ClientConfig>,
}

struct Servers {
    required: Arc<ServerConfig>,
    optional: Arc<ServerConfig>,
}

impl Identity {
    /// Reads and checks an identity. It can [`reload`](Identity::reload) later.
    pub fn load(files: &Files) -> Result<Self, Error> {
        let loaded = Loaded::new(read_files(files)?, &Labels::of(files))?;
        Ok(Self::new(Some(files.clone()), loaded))
    }

    /// An identity without files.
    pub fn from_pem(pem: Pem) -> Result<Self, Error> {
        Ok(Self::new(None, Loaded::new(pem, &Labels::default())?))
    }

    fn new(files: Option<Files>, loaded: Loaded) -> Self {
        let changes = watch::Sender::default();
        Self(Arc::new(Shared { files, loaded: ArcSwap::from_pointee(loaded), changes }))
    }

    /// Reads the files again. When they are not usable, the old identity stays.
    pub fn reload(&self) -> Result<Reloaded, Error> {
        let Some(files) = &self.0.files else { return Ok(Reloaded::Unchanged) };
        let pem = read_files(files)?;
        let before = self.0.loaded.load();
        if pem.own == before.pem.own && pem.ca == before.pem.ca {
            return Ok(Reloaded::Unchanged);
        }
        self.0.loaded.store(Arc::new(Loaded::new(pem, &Labels::of(files))?));
        self.0.changes.send_modify(|generation| *generation += 1);
        Ok(Reloaded::Changed)
    }

    /// Told whenever a reload has changed something.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Where it lies on disk, if it does.
    #[must_use]
    pub fn files(&self) -> Option<&Files> {
        self.0.files.as_ref()
    }

    /// The authorities that we trust, PEM.
    #[must_use]
    pub fn authorities_pem(&self) -> String {
        String::from_utf8_lossy(&self.0.loaded.load().pem.ca).into_owned()
    }

    /// Reloads whenever a file's time stamp has moved, looked at each `interval`. What is not usable is logged,
    /// and looked at again.
    pub fn reload_on_change(&self, tasks: &Tasks, interval: Duration) {
        let Some(files) = self.0.files.clone() else { return };
        let watcher = Watcher { identity: self.clone(), seen: stamps(&files), files };
        let token = tasks.token();
        tasks.spawn("tls-reload", OnExit::Log, async move {
            token.run_until_cancelled(watcher.run(interval)).await;
        });
    }

    /// Our own certificate, if we have one.
    #[must_use]
    pub fn certificate(&self) -> Option<Arc<PeerCertificate>> {
        self.0.loaded.load().own.clone()
    }

    /// Checks a caller's chain (DER, leaf first) as the acceptor does at a handshake, for a connection that
    /// somebody else holds. `now` is in seconds since the Unix epoch. Says nothing about who has the key.
    pub fn verify_client<B: AsRef<[u8]>>(&self, chain: &[B], now: u64) -> Result<PeerCertificate, BadCertificate> {
        let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_ref())).collect();
        let (leaf, intermediates) = chain.split_first().ok_or_else(|| BadCertificate("there is none".to_owned()))?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        self.loaded()
            .callers
            .verify_client_cert(leaf, intermediates, now)
            .map_err(|error| BadCertificate(error.to_string()))?;
        PeerCertificate::from_der(leaf)
    }

    pub(super) fn loaded(&self) -> Arc<Loaded> {
        self.0.loaded.load_full()
    }
}

/// What messages call the three documents.
struct Labels {
    certificate: String,
    key: String,
    ca: String,
}

impl Labels {
    fn of(files: &Files) -> Self {
        let label = |path: &Path| path.display().to_string();
        Self { certificate: label(&files.certificate), key: label(&files.key), ca: label(&files.ca) }
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self { certificate: "certificate".into(), key: "private key".into(), ca: "CA certificate".into() }
    }
}

impl Loaded {
    fn new(pem: Pem, labels: &Labels) -> Result<Self, Error> {
        let roots = Arc::new(read_roots(&pem.ca, &labels.ca)?);
        let own = match &pem.own {
            Some((chain, key)) => Some(Own::read(chain, key, labels)?),
            None => None,
        };
        let client = Arc::new(client_config(&roots, own.as_ref(), labels)?);
        let servers = match &own {
            Some(own) => Some(Servers {
                required: Arc::new(server_config(&roots, own, ClientAuth::Required, labels)?),
                optional: Arc::new(server_config(&roots, own, ClientAuth::Optional, labels)?),
            }),
            None => None,
        };
        let callers = client_verifier(&roots, ClientAuth::Required, labels)?;
        Ok(Self { pem, own: own.map(|own| own.names), servers, callers, client })
    }

    /// `None` for an identity without a certificate of its own.
    pub(super) fn server(&self, client_auth: ClientAuth) -> Option<Arc<ServerConfig>> {
        let servers = self.servers.as_ref()?;
        Some(Arc::clone(match client_auth {
            ClientAuth::Required => &servers.required,
            ClientAuth::Optional => &servers.optional,
        }))
    }
}

struct Own {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    names: Arc<PeerCertificate>,
}

impl Own {
    fn read(chain: &[u8], key: &[u8], labels: &Labels) -> Result<Self, Error> {
        let chain = read_certificates(chain, &labels.certificate)?;
        let names = PeerCertificate::from_der(&chain[0]).map_err(|error| unusable(&labels.certificate, error))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable(&labels.key, error))?;
        Ok(Self { chain, key, names: Arc::new(names) })
    }
}

fn client_config(roots: &Arc<RootCertStore>, own: Option<&Own>, labels: &Labels) -> Result<ClientConfig, Error> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider())
        .build()
        .map_err(|error| unusable(&labels.ca, error))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| unusable("TLS 1.3", error))?
        .with_webpki_verifier(verifier);
    let mut config = match own {
        Some(own) => builder
            .with_client_auth_cert(own.chain.clone(), own.key.clone_key())
            .map_err(|error| unusable(&labels.key, error))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would skip the check against what we trust now.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn server_config(
    roots: &Arc<RootCertStore>,
    own: &Own,
    client_auth: ClientAuth,
    labels: &Labels,
) -> Result<ServerConfig, Error> {
    let verifier = client_verifier(roots, client_auth, labels)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| unusable("TLS 1.3", error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(own.chain.clone(), own.key.clone_key())
        .map_err(|error| unusable(&labels.key, error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // As with clients: no session outlives the trust that it began under.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_verifier(
    roots: &Arc<RootCertStore>,
    client_auth: ClientAuth,
    labels: &Labels,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider());
    let verifier = match client_auth {
        ClientAuth::Required => verifier,
        ClientAuth::Optional => verifier.allow_unauthenticated(),
    };
    verifier.build().map_err(|error| unusable(&labels.ca, error))
}

fn read_roots(pem: &[u8], label: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(pem, label)? {
        roots.add(certificate).map_err(|error| unusable(label, error))?;
    }
    Ok(roots)
}

/// At least one certificate.
fn read_certificates(pem: &[u8], label: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| unusable(label, error))?;
    if certificates.is_empty() {
        return Err(unusable(label, "it holds no certificate in PEM"));
    }
    Ok(certificates)
}

fn unusable(what: &str, problem: impl ToString) -> Error {
    Error::Unusable { what: what.to_owned(), problem: problem.to_string() }
}

fn read_files(files: &Files) -> Result<Pem, Error> {
    let own = (read_file(&files.certificate)?, read_file(&files.key)?);
    Ok(Pem { own: Some(own), ca: read_file(&files.ca)? })
}

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    files::read_bounded(path, PEM_BYTES_MAX).map_err(|source| Error::Read { path: path.to_owned(), source })
}

type Stamps = [Option<SystemTime>; 3];

/// A file that is away for a moment, in the middle of its replacement, counts as a change.
fn stamps(files: &Files) -> Stamps {
    [&files.certificate, &files.key, &files.ca]
        .map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}

struct Watcher {
    identity: Identity,
    files: Files,
    seen: Stamps,
}

impl Watcher {
    async fn run(mut self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        loop {
            ticks.tick().await;
            self.look();
        }
    }

    fn look(&mut self) {
        let now = stamps(&self.files);
        if now == self.seen {
            return;
        }
        match self.identity.reload() {
            Ok(reloaded) => {
                self.seen = now;
                tracing::info!(?reloaded, certificate = %self.files.certificate.display(), "looked at TLS files");
            }
            // Not remembered as seen: files are often replaced one by one.
            Err(error) => tracing::warn!(%error, "TLS files changed but are not usable, the old ones stay"),
        }
    }
}
