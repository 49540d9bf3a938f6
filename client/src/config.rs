//! What a client needs to know before its first call. Reads files, dials nobody.

use std::{fmt, fs, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use boss_base::{
    clock::{Clock, SystemClock},
    net::Network,
};
use boss_proto::ids::ClusterId;
use http::uri::Authority;

use crate::Error;

/// Everything about a connection to a cluster.
#[derive(Clone)]
pub struct Config {
    /// Any of the cluster's servers; one is enough, more survive its death.
    pub servers: Vec<Endpoint>,
    /// The cluster's authority.
    pub ca: Source,
    /// How we prove who we are.
    pub credentials: Credentials,
    /// When set, servers of another cluster are refused even if the same authority vouches for them.
    pub cluster_id: Option<ClusterId>,
    /// How long calls may take.
    pub deadlines: Deadlines,
    /// Randomness for ids and delays.
    pub clock: Arc<dyn Clock>,
    /// Where servers are dialled.
    pub network: Network,
    /// What to do with what policies say about a write that was let through; nothing when it is unset.
    pub on_warning: Option<OnWarning>,
}

/// Takes one line of warning.
pub type OnWarning = Arc<dyn Fn(&str) + Send + Sync>;

impl Config {
    /// With the default deadlines and the machine's own clock.
    #[must_use]
    pub fn new(servers: Vec<Endpoint>, ca: Source, credentials: Credentials) -> Self {
        Self {
            servers,
            ca,
            credentials,
            cluster_id: None,
            deadlines: Deadlines::default(),
            clock: Arc::new(SystemClock),
            network: Network::default(),
            on_warning: None,
        }
    }
}

/// Where the API of a server is: `host:port`. Which host it is does not matter to TLS: servers are known by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(String);

impl Endpoint {
    /// `host:port`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::config(format!("server address {text:?} is not of the form host:port"));
        let authority: Authority = text.parse().map_err(|_| bad())?;
        let has_user = text.contains('@');
        if authority.host().is_empty() || authority.port_u16().is_none() || has_user {
            return Err(bad());
        }
        Ok(Self(text.to_owned()))
    }
}

/// A document in a file or at hand.
#[derive(Clone)]
pub enum Source {
    /// Read when it is needed, and again when it may have changed.
    File(PathBuf),
    /// The document itself.
    Inline(String),
}

impl Source {
    pub(crate) fn read(&self) -> Result<String, Error> {
        match self {
            Self::Inline(text) => Ok(text.clone()),
            Self::File(path) => fs::read_to_string(path)
                .map_err(|error| Error::config(format!("cannot read {}: {error}", path.display()))),
        }
    }
}

/// The document may be a secret, so only a path is shown.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Inline(_) => f.write_str("inline"),
        }
    }
}

/// How a caller proves who it is.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Nothing: for a machine that is not known yet and joins with a secret of its own.
    Anonymous,
    /// A bearer token. One from a file is read again when servers stop taking it.
    Token(Source),
    /// A client certificate with its key, both PEM files; read again when they change.
    Certificate {
        /// Own certificate.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// How long calls may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For one server to accept a connection.
    pub connect: Duration,
    /// For one server to answer, before another one is asked.
    pub attempt: Duration,
    /// For the whole call with all its attempts.
    pub overall: Duration,
}

impl Default for Deadlines {
    /// An election takes less than a second; half a minute also survives a restart of all servers.
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), attempt: Duration::from_secs(3), overall: Duration::from_secs(30) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["localhost:1", "127.0.0.1:7400", "[::1]:7400", "a.example:443"] {
            assert_eq!(good.parse::<Endpoint>().unwrap().as_str(), good);
        }
        for bad in ["", "localhost", ":7400", "https://a:1", "a:b", "a:99999", "u@h:1", "::1", "a b:1", "a:1/x"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
