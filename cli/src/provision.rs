//! Makes everything that a new cluster needs before its first start: authority, certificates, token key, configuration
//! per machine. Starts nothing and speaks to nobody.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use boss_base::{files, jwt::SigningKey, pki};
use boss_proto::v1;
use serde::{Deserialize, Serialize};

use crate::context::{Context, Contexts};

mod config;
mod identity;
mod joining;
mod plan;
mod rotation;

pub use identity::{ADMIN, ADMIN_GROUP};
pub use joining::{Joining, Welcome, authorities_pem};
pub use plan::{BadPlan, Node, Plan, Server, random_cluster_id};

/// The layout that this program writes and reads.
pub const FORMAT: u32 = 1;
/// Tells that a folder is a cluster's, and of which.
const CLUSTER_FILE: &str = "cluster.toml";
/// Held by commands that start or stop a local cluster. The only file that may be there before a cluster is.
pub(crate) const LOCK_FILE: &str = "lock";
/// A description of some hundred nodes is a tenth of this.
const CLUSTER_FILE_BYTES_MAX: usize = 1024 * 1024;
/// Of the administrator's token. `dev up` makes a new one each time.
pub const ADMIN_TOKEN_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A cluster's folder cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan contradicts itself.
    #[error(transparent)]
    Plan(#[from] BadPlan),
    /// Something else is there already.
    #[error("{} is not empty and holds no cluster", .0.display())]
    Occupied(PathBuf),
    /// A cluster is there already.
    #[error("{} already holds a cluster", .0.display())]
    Exists(PathBuf),
    /// A server's folder is there already, or something else that one would overwrite.
    #[error("{} is in use: it has {found}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// No cluster is there.
    #[error("{} holds no cluster", .0.display())]
    Missing(PathBuf),
    /// The layout is a newer program's.
    #[error("{} has layout {found}, this program knows layouts up to {FORMAT}", path.display())]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its layout.
        found: u64,
    },
    /// The description cannot be understood.
    #[error("{}: {problem}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Reading or writing failed.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate or key could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] pki::Error),
    /// A key that seals secrets could not be made.
    #[error("cannot make a sealing key")]
    Sealing(#[from] boss_base::sealing::Error),
    /// A file of sealing keys could not be used.
    #[error("the sealing keys cannot be used")]
    SealingKeys(#[from] boss_base::sealing::BadKeys),
    /// The token key could not be used.
    #[error("cannot make a token")]
    Token(#[from] boss_base::jwt::KeyError),
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Error::Io { path: path.to_owned(), source }
    }
}

/// What `cluster.toml` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Description {
    format: u32,
    #[serde(flatten)]
    plan: Plan,
}

/// A cluster's folder on this machine.
#[derive(Debug, Clone)]
pub struct Cluster {
    directory: PathBuf,
    plan: Plan,
}

/// Makes the folder of a new cluster; `directory` must be empty or missing. The description is written last, so that
/// a folder with one is complete.
pub fn create(directory: &Path, plan: &Plan) -> Result<Cluster, Error> {
    plan.check()?;
    check_free(directory)?;
    files::create_private_directory(directory).map_err(Error::io(directory))?;
    let directory = directory.canonicalize().map_err(Error::io(directory))?;
    let cluster = Cluster { directory, plan: plan.clone() };
    let authority = identity::make_authority(&cluster)?;
    let key = identity::make_token_key(&cluster)?;
    identity::make_sealing_key(&cluster)?;
    let members: Vec<_> = plan.servers.iter().map(config::Member::from).collect();
    for server in &plan.servers {
        identity::make_server(&cluster, &authority, &key.public_pem(), server)?;
        config::write_server(&cluster, server, &members)?;
    }
    for node in &plan.nodes {
        identity::make_node(&cluster, &authority, node)?;
        config::write_node(&cluster, node)?;
    }
    identity::make_admin(&cluster, &authority)?;
    cluster.renew_admin_token()?;
    cluster.write_context()?;
    let description = Description { format: FORMAT, plan: plan.clone() };
    cluster.write(CLUSTER_FILE, config::to_toml(&description).as_bytes(), files::PUBLIC)?;
    Ok(cluster)
}

/// Whether a cluster's folder is there, complete or not of our layout.
#[must_use]
pub fn exists(directory: &Path) -> bool {
    directory.join(CLUSTER_FILE).exists()
}

/// Whether a new cluster can be made here: the folder is empty or missing.
pub fn check_free(directory: &Path) -> Result<(), Error> {
    if exists(directory) {
        return Err(Error::Exists(directory.to_owned()));
    }
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::io(directory))?,
    };
    let foreign = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name() != LOCK_FILE);
    if entries.into_iter().any(foreign) { Err(Error::Occupied(directory.to_owned())) } else { Ok(()) }
}

impl Cluster {
    /// The cluster of an existing folder.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(CLUSTER_FILE);
        let bytes = match files::read_bounded(&path, CLUSTER_FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Missing(directory.to_owned())),
            read => read.map_err(Error::io(&path))?,
        };
        let corrupt = |problem: String| Error::Corrupt { path: path.clone(), problem };
        let text = String::from_utf8(bytes).map_err(|error| corrupt(error.to_string()))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| corrupt(error.message().to_owned()))?;
        // The number alone decides first: a newer layout may look different in everything else.
        match table.get("format").and_then(toml::Value::as_integer).and_then(|found| u64::try_from(found).ok()) {
            None => return Err(corrupt("`format` is missing or no number".to_owned())),
            Some(found) if found > u64::from(FORMAT) => {
                return Err(Error::Newer { path: directory.to_owned(), found });
            }
            Some(_) => {}
        }
        let description: Description =
            toml::from_str(&text).map_err(|error: toml::de::Error| corrupt(error.message().to_owned()))?;
        description.plan.check()?;
        let directory = directory.canonicalize().map_err(Error::io(directory))?;
        Ok(Self { directory, plan: description.plan })
    }

    /// The folder, as an absolute path.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether all of its servers listen on this machine's loopback address, so that one command can run it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.plan.servers.iter().flat_map(Server::addresses).all(plan::is_loopback)
    }

    /// What it was made from.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A server's own folder.
    #[must_use]
    pub fn server_directory(&self, server: &Server) -> PathBuf {
        self.directory.join(&server.folder)
    }

    /// A node's own folder.
    #[must_use]
    pub fn node_directory(&self, node: &Node) -> PathBuf {
        self.directory.join(&node.folder)
    }

    /// The context file for `bossctl`, with the administrator's token.
    #[must_use]
    pub fn context_path(&self) -> PathBuf {
        self.directory.join("bossctl.toml")
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.directory.join(identity::CA_CERTIFICATE)
    }

    /// Whether it was made with keys that seal secrets, as all but old ones are.
    fn has_sealing_keys(&self) -> bool {
        self.directory.join(identity::SEALING_KEYS).exists()
    }

    /// The administrator's token.
    #[must_use]
    pub fn admin_token_path(&self) -> PathBuf {
        self.directory.join(identity::ADMIN_TOKEN)
    }

    /// The authority, for certificates beside those that were made at first.
    pub fn authority(&self) -> Result<pki::CertificateAuthority, Error> {
        let certificate = self.read(identity::CA_CERTIFICATE)?;
        let key = self.read(identity::CA_KEY)?;
        Ok(pki::CertificateAuthority::load(&certificate, &key)?)
    }

    /// Whether the authority's key is at hand and usable.
    pub fn check_can_sign(&self) -> Result<(), Error> {
        self.authority().map(drop)
    }

    /// A token that says it speaks for `user`, a member of `groups`, for so long from now on.
    pub fn issue_token(&self, user: &str, groups: &[&str], lifetime: Duration) -> Result<String, Error> {
        let key = SigningKey::load(&self.directory.join(identity::TOKEN_KEY))?;
        identity::sign_token(&key, &self.plan.cluster_id, user, groups, lifetime)
    }

    /// A certificate that says it is `user`, a member of `groups`.
    pub fn issue_user_certificate(
        &self,
        user: &str,
        groups: &[&str],
        lifetime: Duration,
    ) -> Result<pki::IssuedCert, Error> {
        Ok(self.authority()?.issue(&identity::user_subject(&self.plan.cluster_id, user, groups, lifetime))?)
    }

    /// Replaces the administrator's token by a fresh one.
    pub fn renew_admin_token(&self) -> Result<(), Error> {
        let token = self.issue_token(ADMIN, &[ADMIN_GROUP], ADMIN_TOKEN_LIFETIME)?;
        self.write(identity::ADMIN_TOKEN, token.as_bytes(), files::PRIVATE)
    }

    /// Makes the folder of one more server, under the id that the cluster gave it, and remembers it.
    pub fn add_server(&mut self, server: Server, members: &[v1::Member]) -> Result<(), Error> {
        let mut plan = self.plan.clone();
        plan.servers.retain(|known| members.iter().any(|member| member.id == known.id));
        plan.servers.push(server.clone());
        plan.check()?;
        let path = self.server_directory(&server);
        if path.exists() {
            return Err(Error::InUse { path, found: "the folder of an earlier server".to_owned() });
        }
        let mut members: Vec<_> = members.iter().map(config::Member::from).collect();
        members.retain(|member| member.id != server.id);
        members.push(config::Member::from(&server));
        identity::make_server(self, &self.authority()?, &self.read(identity::TOKEN_PUBLIC)?, &server)?;
        config::write_server(self, &server, &members)?;
        let description = Description { format: FORMAT, plan: plan.clone() };
        self.write(CLUSTER_FILE, config::to_toml(&description).as_bytes(), files::PUBLIC)?;
        self.plan = plan;
        Ok(())
    }

    /// Its paths are relative: the folder may be moved.
    fn write_context(&self) -> Result<(), Error> {
        let servers = self.plan.servers.iter().map(|server| server.api.clone()).collect();
        let token_file = Some(PathBuf::from(identity::ADMIN_TOKEN));
        let context = Context { servers, ca: identity::CA_CERTIFICATE.to_owned(), token_file, ..Context::default() };
        let name = self.plan.context.clone();
        let contexts = Contexts { current: Some(name.clone()), contexts: [(name, context)].into() };
        self.write("bossctl.toml", config::to_toml(&contexts).as_bytes(), files::PRIVATE)
    }

    fn read(&self, name: &str) -> Result<String, Error> {
        let path = self.directory.join(name);
        let bytes = files::read_bounded(&path, CLUSTER_FILE_BYTES_MAX).map_err(Error::io(&path))?;
        String::from_utf8(bytes).map_err(|error| Error::Corrupt { path, problem: error.to_string() })
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), Error> {
        let path = self.directory.join(name);
        if let Some(parent) = path.parent() {
            files::create_private_directory(parent).map_err(Error::io(parent))?;
        }
        files::write_atomic(&path, bytes, mode).map_err(Error::io(&path))
    }
}

#[cfg(test)]
mod tests;
