//! Watchers that keep what they were told of registers, until an object that ends the run.

use std::time::Duration;

use boss_client::{
    Client, Query,
    watch::{EventKind, Item},
};
use boss_proto::{ids::Revision, kind::Kind, object::Resource, v1};

use futures_util::future::{Either, select};
use tokio::time::sleep;

use super::{Stop, register::version};
use crate::{checkers::watches::Told, records::name_of};

/// From the last write to its news.
const LAST_NEWS: Duration = Duration::from_secs(15);
/// How often a watch is asked whether it is late.
const LOOK: Duration = Duration::from_millis(100);

/// What a watch told; one that goes on when all is over has missed the end.
pub async fn until_over<T>(over: &Stop, watch: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let patience = async {
        while !over.is_set() {
            sleep(LOOK).await;
        }
        sleep(LAST_NEWS).await;
    };
    match select(Box::pin(watch), Box::pin(patience)).await {
        Either::Left((told, _)) => told,
        Either::Right(_) => Err("a watch did not tell of the last write".to_owned()),
    }
}

/// What a watch tells of the registers of a namespace after `start`, until there is an object called `end`. A bookmark
/// says that everything up to it was told: nothing may come later that is not above it.
pub async fn registers(client: &Client, namespace: &str, start: Revision, end: &str) -> Result<Vec<Told>, String> {
    let query = Query::all(Kind::ServiceAccount).in_namespace(namespace);
    let mut watch = client.watch_after(query, start);
    let (mut told, mut promised) = (Vec::new(), start);
    loop {
        match watch.next().await.map_err(|error| error.to_string())? {
            Item::Event { kind, object, revision } => {
                if revision <= promised {
                    return Err(format!("a change at {revision} was told after a bookmark at {promised}"));
                }
                let account =
                    v1::ServiceAccount::try_from_object(object).map_err(|_| "no account in a watch of them")?;
                let key = name_of(account.metadata.as_ref()).to_owned();
                if key == end {
                    return Ok(told);
                }
                let value = match kind {
                    EventKind::Deleted => None,
                    EventKind::Added | EventKind::Modified => version(&account).map(|version| version.value),
                };
                told.push(Told { revision: revision.0, key, value });
            }
            Item::Bookmark(revision) => promised = promised.max(revision),
            Item::Interrupted(_) => {}
            Item::Restarted { .. } => return Err("a watch began anew, and the history reaches back".to_owned()),
        }
    }
}
