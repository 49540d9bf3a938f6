//! Gets, lists and watches: each at one known revision, authorised there. Knows no transport.

mod contact;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod list;
mod open;
mod pages;
mod rights;
mod token;
mod watch;

use std::sync::Arc;

use boss_base::{
    clock::Clock,
    tasks::{OnExit, Tasks},
};
use boss_proto::{
    ids::Revision,
    kind::Kind,
    selector::{BadSelector, Selector},
    v1,
};
use boss_raft::{
    Handle,
    state::{Record, View, rbac::Attributes},
};

use bytes::Bytes;
use metrics::Counter;

use self::{contact::Contact, open::OpenWatches, pages::Pages, watch::Departures};
pub use self::{
    error::Error,
    list::{GetQuery, ListQuery, Page},
    rights::Rights,
    watch::{Delivery, Watch, WatchQuery},
};
use crate::{
    admission::{Refusal, authorize},
    auth::{
        Authenticator, Identity,
        node_authorizer::{self, Sight},
    },
    sealing::Vault,
};

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Sees every write acknowledged before the read started.
    Linearizable,
    /// What this server has, at this revision or later.
    Local(Revision),
}

impl Consistency {
    /// From its message; a linearizable read can ask for a revision too.
    #[must_use]
    pub fn from_proto(consistency: v1::Consistency, min_revision: u64) -> Self {
        match consistency {
            v1::Consistency::Linearizable => Self::Linearizable,
            v1::Consistency::Local => Self::Local(Revision(min_revision)),
        }
    }
}

/// Shows the registry. Cheap to clone.
#[derive(Clone)]
pub struct Reads(Arc<Shared>);

struct Shared {
    raft: Handle,
    authenticator: Authenticator,
    vault: Vault,
    pages: Pages,
    contact: Contact,
    watches: OpenWatches,
    departures: Departures,
    watch_events: Counter,
}

impl Reads {
    /// The door for all reads of this server.
    #[must_use]
    pub fn new(raft: Handle, authenticator: Authenticator, vault: Vault, clock: Arc<dyn Clock>, tasks: &Tasks) -> Self {
        let shared = Arc::new(Shared {
            raft,
            authenticator,
            vault,
            pages: Pages::new(clock.clone()),
            contact: Contact::new(clock),
            watches: OpenWatches::default(),
            departures: Departures::default(),
            watch_events: metrics::counter!(crate::metric_definitions::WATCH_EVENTS),
        });
        let (keeper, token) = (shared.clone(), tasks.token());
        tasks.spawn("contact", OnExit::StopProcess, async move {
            token.run_until_cancelled(keeper.keep_contact()).await;
        });
        Self(shared)
    }

    /// The registry as last applied here; for decisions that apply checks again.
    #[must_use]
    pub fn view(&self) -> View {
        self.0.raft.view()
    }

    /// The registry as fresh as asked.
    pub async fn at(&self, consistency: Consistency) -> Result<View, Error> {
        match consistency {
            Consistency::Linearizable => self.0.confirmed().await,
            Consistency::Local(revision) => {
                // A server that is cut off cannot learn of revocations.
                // And after a start nothing is shown before one linearizable read has worked.
                if !self.0.contact.is_fresh() {
                    self.0.confirmed().await?;
                }
                Ok(self.0.raft.at_least(revision).await?)
            }
        }
    }

    /// The registry as fresh as asked, at a revision or later.
    async fn reaching(&self, consistency: Consistency, revision: Wanted) -> Result<View, Error> {
        let view = self.at(consistency).await?;
        if revision.revision <= view.revision() {
            return Ok(view);
        }
        match consistency {
            Consistency::Local(_) => Ok(self.0.raft.at_least(revision.revision).await?),
            Consistency::Linearizable => {
                let problem = format!("is ahead of the registry, which is at revision {}", view.revision());
                Err(Refusal::invalid(revision.field, problem, "ask for a revision that has been").into())
            }
        }
    }

    /// One object, with the revision at which it was read. Rights are those of now, also when the object is as it
    /// was.
    pub async fn get(&self, identity: &Identity, query: GetQuery) -> Result<(Arc<Record>, Revision), Error> {
        let GetQuery { key, consistency, at } = query;
        let wanted = Wanted { field: "atRevision", revision: at.unwrap_or_default() };
        let view = self.reaching(consistency, wanted).await?;
        authorize(&view, identity, &Attributes::on("get", &key))?;
        let revision = at.unwrap_or_else(|| view.revision());
        let record = view.get_at(&key, revision)?;
        let sight = Sight { view: &view, key: &key, record: record.map(|record| &**record), is_past: at.is_some() };
        node_authorizer::check_get(identity, sight).map_err(|reason| Refusal::Forbidden { reason })?;
        let record = record.ok_or(Error::NotFound { key })?;
        Ok((shown(&view, record, revision), revision))
    }

    /// The object's encoding for a caller who has read it: a secret in clear text.
    pub fn shown(&self, record: &Record) -> Result<Bytes, Error> {
        self.0.vault.shown(record).map_err(|error| Refusal::from(error).into())
    }
}

/// The object as readers see it: what is computed is filled in, at the view's own revision only.
fn shown(view: &View, record: &Arc<Record>, revision: Revision) -> Arc<Record> {
    if record.kind() != Kind::ResourceQuota || view.revision() != revision {
        return record.clone();
    }
    view.quota_with_use(record).map_or_else(|| record.clone(), Arc::new)
}

impl Shared {
    /// A linearizable view; it also shows that this server is not cut off.
    async fn confirmed(&self) -> Result<View, Error> {
        let asked = self.contact.now();
        let view = self.raft.linearizable().await?;
        self.contact.made(asked);
        Ok(view)
    }

    /// Asks while watches are open and nobody else does, and ends the watches of a server that is cut off: they would
    /// be silent for ever, and could not learn that their right is gone.
    async fn keep_contact(&self) {
        loop {
            tokio::time::sleep(contact::ASK_INTERVAL).await;
            if self.watches.is_empty() {
                continue;
            }
            if self.contact.is_ageing() {
                // Its failure is seen in the age of the contact.
                drop(tokio::time::timeout(self.contact.left(), self.confirmed()).await);
            }
            if self.contact.lose_if_old() {
                tracing::debug!("no leader could be reached for too long, so watches end");
                self.raft.wake_watchers();
            }
        }
    }
}

/// A revision that a caller names, and the field with which it does.
struct Wanted {
    field: &'static str,
    revision: Revision,
}

/// Kind and selector of a list or watch, from their texts.
pub fn parse_selection(kind: &str, labels: &str, fields: &str) -> Result<(Kind, Selector), Refusal> {
    let kind: Kind = kind.parse().map_err(|error| Refusal::invalid("kind", format!("{error}"), ""))?;
    let bad = |field: &str, error: BadSelector| Refusal::invalid(field, error.to_string(), "");
    let by_labels = Selector::parse(kind, labels, "").map_err(|error| bad("labelSelector", error))?;
    let by_fields = Selector::parse(kind, "", fields).map_err(|error| bad("fieldSelector", error))?;
    Ok((kind, Selector { labels: by_labels.labels, fields: by_fields.fields }))
}
