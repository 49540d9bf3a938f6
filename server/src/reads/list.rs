//! Lists: one page of one revision.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use boss_proto::{
    ids::{NodeName, Revision},
    kind::Kind,
    limits::{LIST_PAGE_DEFAULT, LIST_PAGE_MAX},
    selector::{Field, Selector},
};
use boss_raft::state::{Record, View};
use bytes::Bytes;

use super::{Consistency, Error, Reads, Rights, pages::Token};
use crate::{admission::Refusal, auth::Identity};

/// Encoded bytes of one page: far below the bound of a message, whatever the objects are.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

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
        let fresh = self.at(query.consistency).await?;
        let rights = Rights {
            identity: identity.clone(),
            verb: "list",
            kind: query.kind,
            namespace: query.namespace.clone().unwrap_or_default(),
            name: String::new(),
        };
        rights.check(&fresh, &query.selector)?;
        let hash = query.hash();
        let (view, token) = self.pinned(fresh, &query, hash)?;
        let mut page = select(&view, &query, token.as_ref());
        if let Some(last) = page.items.last().filter(|_| page.more) {
            self.0.pages.keep(&view);
            page.next = Token { revision: view.revision(), query: hash, after: last.key.clone() }.encode();
        }
        Ok(Page { items: page.items, revision: view.revision(), next: page.next })
    }

    /// The view that the page is of, and where it begins.
    fn pinned(&self, fresh: View, query: &ListQuery, hash: u64) -> Result<(View, Option<Token>), Error> {
        if query.page_token.is_empty() {
            return Ok((fresh, None));
        }
        let bad = |problem: &str| Refusal::invalid("pageToken", problem, "begin the list again");
        let token = Token::decode(&query.page_token).ok_or_else(|| bad("is no page token"))?;
        if token.query != hash {
            return Err(bad("belongs to another list").into());
        }
        if fresh.revision() == token.revision {
            return Ok((fresh, Some(token)));
        }
        let view = self.0.pages.find(token.revision).ok_or(Error::Expired { current: fresh.revision() })?;
        Ok((view, Some(token)))
    }
}

impl ListQuery {
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.kind.hash(&mut hasher);
        self.namespace.hash(&mut hasher);
        self.selector.labels.to_string().hash(&mut hasher);
        self.selector.fields.to_string().hash(&mut hasher);
        hasher.finish()
    }

    fn limit(&self) -> usize {
        if self.limit == 0 { LIST_PAGE_DEFAULT } else { self.limit.min(LIST_PAGE_MAX) }
    }
}

struct Selected {
    items: Vec<Arc<Record>>,
    more: bool,
    next: Bytes,
}

fn select(view: &View, query: &ListQuery, token: Option<&Token>) -> Selected {
    let mut selected = Selected { items: Vec::new(), more: false, next: Bytes::new() };
    let mut bytes = 0;
    for record in candidates(view, query, token) {
        if !query.selector.matches(&record.object) {
            continue;
        }
        bytes += record.encoded.len();
        if selected.items.len() >= query.limit() || (bytes > PAGE_BYTES_MAX && !selected.items.is_empty()) {
            selected.more = true;
            break;
        }
        selected.items.push(record.clone());
    }
    selected
}

/// The objects to look at, in key order: those of one node come from an index.
fn candidates<'a>(
    view: &'a View,
    query: &'a ListQuery,
    token: Option<&'a Token>,
) -> Box<dyn Iterator<Item = &'a Arc<Record>> + Send + 'a> {
    let namespace = query.namespace.as_deref();
    if query.kind == Kind::Pod
        && let Some(node) = query.selector.fields.exact(Field::NodeName).filter(|node| !node.is_empty())
    {
        let inside = move |record: &&Arc<Record>| {
            namespace.is_none_or(|namespace| record.key.namespace == namespace)
                && token.is_none_or(|token| record.key > token.after)
        };
        return Box::new(view.pods_on_node(&NodeName::from(node)).filter(inside));
    }
    match token {
        Some(token) => Box::new(view.list_after(&token.after, query.kind, namespace)),
        None => Box::new(view.list(query.kind, namespace)),
    }
}
