//! Gets, lists and watches: each at one known revision, authorised there. Knows no transport.

mod contact;
mod error;
mod list;
mod pages;
mod rights;
mod watch;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use boss_base::clock::Clock;
use boss_proto::{
    ids::Revision,
    key::Key,
    kind::Kind,
    limits::WATCHES_MAX,
    selector::{BadSelector, Selector},
    v1,
};
use boss_raft::{
    Handle,
    state::{Record, View, rbac::Attributes},
};

use self::{contact::Contact, pages::Pages};
pub use self::{
    error::Error,
    list::{ListQuery, Page},
    rights::Rights,
    watch::{Delivery, Watch, WatchQuery},
};
use crate::{
    admission::{Refusal, authorize},
    auth::{Authenticator, Identity, node_authorizer},
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
    clock: Arc<dyn Clock>,
    pages: Pages,
    contact: Contact,
    watches: AtomicUsize,
}

impl Reads {
    /// The door for all reads of this server.
    #[must_use]
    pub fn new(raft: Handle, authenticator: Authenticator, clock: Arc<dyn Clock>) -> Self {
        let (pages, contact) = (Pages::new(clock.clone()), Contact::new(clock.clone()));
        Self(Arc::new(Shared { raft, authenticator, clock, pages, contact, watches: AtomicUsize::new(0) }))
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
                if !self.0.contact.is_fresh() {
                    self.0.confirmed().await?;
                }
                Ok(self.0.raft.at_least(revision).await?)
            }
        }
    }

    /// One object, with the revision at which it was read.
    pub async fn get(
        &self,
        identity: &Identity,
        key: &Key,
        consistency: Consistency,
    ) -> Result<(Arc<Record>, Revision), Error> {
        let view = self.at(consistency).await?;
        authorize(&view, identity, &Attributes::on("get", key))?;
        let record = view.get(key);
        node_authorizer::check_get(identity, key, record.map(|record| &**record))
            .map_err(|reason| Refusal::Forbidden { reason })?;
        let record = record.ok_or_else(|| Error::NotFound { key: key.clone() })?;
        Ok((record.clone(), view.revision()))
    }

    fn open_watch(&self) -> Result<OpenWatch, Error> {
        if self.0.watches.fetch_add(1, Ordering::Relaxed) >= WATCHES_MAX {
            self.0.watches.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::TooManyWatches);
        }
        metrics::gauge!(crate::metric_definitions::WATCHES_OPEN).increment(1);
        Ok(OpenWatch(self.0.clone()))
    }
}

impl Shared {
    /// A linearizable view; it also shows that this server is not cut off.
    async fn confirmed(&self) -> Result<View, Error> {
        let view = self.raft.linearizable().await?;
        self.contact.made();
        Ok(view)
    }
}

/// One open watch's share of the limit.
struct OpenWatch(Arc<Shared>);

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.0.watches.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!(crate::metric_definitions::WATCHES_OPEN).decrement(1);
    }
}

/// Kind and selector of a list or watch, from their texts.
pub fn parse_selection(kind: &str, labels: &str, fields: &str) -> Result<(Kind, Selector), Refusal> {
    let kind: Kind = kind.parse().map_err(|error| Refusal::invalid("kind", format!("{error}"), ""))?;
    let bad = |field: &str, error: BadSelector| Refusal::invalid(field, error.to_string(), "");
    let by_labels = Selector::parse(kind, labels, "").map_err(|error| bad("labelSelector", error))?;
    let by_fields = Selector::parse(kind, "", fields).map_err(|error| bad("fieldSelector", error))?;
    Ok((kind, Selector { labels: by_labels.labels, fields: by_fields.fields }))
}
