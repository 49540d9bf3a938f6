//! Lists: one page of one revision.

use std::sync::Arc;

use boss_base::bugs::{self, Bug};
use boss_proto::{
    ids::Revision,
    key::Key,
    kind::Kind,
    limits::{LIST_PAGE_DEFAULT, LIST_PAGE_MAX},
    selector::Selector,
};
use boss_raft::state::{Candidates, Record};
use bytes::Bytes;

use super::{Consistency, Error, Reads, Rights, Wanted, token::Token};
use crate::auth::Identity;

/// Encoded bytes of one page: far below the bound of a message, whatever the objects are.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One object that a caller wants to see.
#[derive(Debug, Clone)]
pub struct GetQuery {
    /// Where it stands.
    pub key: Key,
    /// How fresh.
    pub consistency: Consistency,
    /// As it was after this revision.
    pub at: Option<Revision>,
}

/// What a caller wants to see.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Of which kind.
    pub kind: Kind,
    /// Of one namespace, or of all.
    pub namespace: Option<String>,
    /// Which of them.
    pub selector: Selector,
    /// Items at most; 0 leaves it to the server.
    pub limit: usize,
    /// From the page before; empty for the first one.
    pub page_token: Bytes,
    /// How fresh.
    pub consistency: Consistency,
    /// As it was after this revision; a page token says it too, and first.
    pub at: Option<Revision>,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// In key order.
    pub items: Vec<Arc<Record>>,
    /// Of every page of this list.
    pub revision: Revision,
    /// Empty on the last page.
    pub next: Bytes,
}

impl Reads {
    /// One page. Rights are those of now, also when the page is of an older revision.
    pub async fn list(&self, identity: &Arc<Identity>, query: ListQuery) -> Result<Page, Error> {
        let token = Token::decode(&query.page_token)?;
        let wanted = match (&token, query.at) {
            (Some(token), _) => Wanted { field: "pageToken", revision: token.revision },
            (None, at) => Wanted { field: "atRevision", revision: at.unwrap_or_default() },
        };
        let fresh = self.reaching(query.consistency, wanted).await?;
        let rights = Rights {
            identity: identity.clone(),
            verb: "list",
            kind: query.kind,
            namespace: query.namespace.clone().unwrap_or_default(),
            name: String::new(),
        };
        rights.check(&fresh, &query.selector)?;
        if let Some(token) = &token {
            token.check(&query, fresh.incarnation(), fresh.revision())?;
        }
        let begun = token.as_ref().map(|token| token.revision).filter(|_| !bugs::on(Bug::PagesDiffer));
        let revision = begun.or(query.at).unwrap_or_else(|| fresh.revision());
        // A view that is kept costs nothing to look into; every server can make up for it from the history.
        let view = self.0.pages.find(revision).unwrap_or(fresh);
        let after = token.map(|token| token.after);
        let candidates =
            view.candidates_at(revision, query.kind, query.namespace.as_deref(), &query.selector, after.as_ref())?;
        let mut page = select(candidates, &query);
        if query.kind == Kind::ResourceQuota {
            page.items.iter_mut().for_each(|record| *record = super::shown(&view, record, revision));
        }
        if let Some(last) = page.items.last().filter(|_| page.more) {
            if view.revision() == revision {
                self.0.pages.keep(&view);
            }
            page.next = Token::new(&query, view.incarnation(), revision, last.key.clone()).encode();
        }
        Ok(Page { items: page.items, revision, next: page.next })
    }
}

impl ListQuery {
    fn limit(&self) -> usize {
        if self.limit == 0 { LIST_PAGE_DEFAULT } else { self.limit.min(LIST_PAGE_MAX) }
    }
}

struct Selected {
    items: Vec<Arc<Record>>,
    more: bool,
    next: Bytes,
}

fn select(candidates: Candidates<'_>, query: &ListQuery) -> Selected {
    let mut selected = Selected { items: Vec::new(), more: false, next: Bytes::new() };
    let mut bytes = 0;
    for record in candidates.filter(|record| query.selector.matches(&record.object)) {
        bytes += record.encoded.len();
        if selected.items.len() >= query.limit() || (bytes > PAGE_BYTES_MAX && !selected.items.is_empty()) {
            selected.more = true;
            break;
        }
        selected.items.push(record.clone());
    }
    selected
}
