//! The namespaces of a run: made before it, gone after it. Knows no workload's rules.

use std::{io, time::Duration};

use boss_client::{Client, DeleteOptions, Error, Query};
use boss_proto::{ids::Revision, kind::Kind, v1};
use tokio::time::sleep;

use super::Target;
use crate::{
    records::{namespace, record},
    workload::pairs,
};

/// Runs are far shorter: what is older was left by one that was killed.
const LEFTOVER_AGE: Duration = Duration::from_secs(60 * 60);
/// Between two looks at a namespace that is going.
const GONE_POLL: Duration = Duration::from_millis(200);

/// A run that could not begin, or not be written down.
#[derive(Debug, thiserror::Error)]
pub enum BadStart {
    /// No server was named.
    #[error("there is no server to ask")]
    NoServer,
    /// The cluster refused it.
    #[error("the scratch namespaces cannot be made: {0}")]
    Refused(#[from] Error),
    /// The cluster refused the first objects.
    #[error("the first objects cannot be made: {0}")]
    NotPrepared(String),
    /// The disk of the caller said no.
    #[error("the history cannot be written: {0}")]
    History(io::Error),
}

/// Where a run works; nothing else is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scratch {
    /// Of registers.
    pub registers: String,
    /// Of a set.
    pub members: String,
    /// Of pairs.
    pub pairs: String,
}

impl Scratch {
    /// Namespaces whose names begin so.
    #[must_use]
    pub fn named(prefix: &str) -> Self {
        let name = |end: &str| format!("{prefix}-{end}");
        Self { registers: name("registers"), members: name("set"), pairs: name("pairs") }
    }

    /// Every name.
    #[must_use]
    pub fn names(&self) -> [&str; 3] {
        [&self.registers, &self.members, &self.pairs]
    }

    /// Makes them; the revision from which on everything is watched.
    pub(super) async fn prepare(&self, target: &Target) -> Result<Revision, BadStart> {
        let (Some(client), Some(api)) = (target.clients.first(), target.servers.first()) else {
            return Err(BadStart::NoServer);
        };
        let namespaces = client.api::<v1::Namespace>("");
        for name in self.names() {
            namespaces.create(namespace(name)).await?;
        }
        let refused = |status: tonic::Status| BadStart::NotPrepared(status.to_string());
        pairs::prepare(api, &self.pairs).await.map_err(refused)?;
        let first = api.create(record(&self.registers, "start-of-the-run", "x")).await.map_err(refused)?;
        Ok(first.revision)
    }

    /// Removes what runs that were killed have left: old namespaces whose names begin so. As well as it can.
    pub async fn remove_leftovers(client: &Client, prefix: &str, now_ms: u64) {
        let Ok(found) = client.list(&Query::all(Kind::Namespace)).await else { return };
        let namespaces = client.api::<v1::Namespace>("");
        for metadata in found.objects.iter().filter_map(v1::Object::metadata) {
            let made = metadata.creation_timestamp.map_or(i64::MAX, |time| time.seconds);
            let old = u64::try_from(made).unwrap_or(u64::MAX).saturating_add(LEFTOVER_AGE.as_secs()) < now_ms / 1_000;
            if old && metadata.name.starts_with(prefix) {
                drop(namespaces.delete(&metadata.name, &DeleteOptions::default()).await);
            }
        }
    }

    /// Removes them with all that is in them, and waits until they are gone; the names of those that are not after
    /// `patience`, with why.
    pub async fn remove(&self, client: &Client, patience: Duration) -> Vec<(String, String)> {
        let namespaces = client.api::<v1::Namespace>("");
        let mut left = Vec::new();
        for name in self.names() {
            let going = async {
                let mut result = namespaces.delete(name, &DeleteOptions::default()).await.map(drop);
                while result.is_ok() {
                    sleep(GONE_POLL).await;
                    result = namespaces.get(name).await.map(drop);
                }
                result
            };
            match tokio::time::timeout(patience, going).await {
                Ok(Err(Error::NotFound(_))) => {}
                Ok(Err(error)) => left.push((name.to_owned(), error.to_string())),
                Ok(Ok(())) | Err(_) => left.push((name.to_owned(), "it is still going".to_owned())),
            }
        }
        left
    }
}
