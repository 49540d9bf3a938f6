//! Watchers that keep what they were told: of registers, until an object that ends the run; of pods, while the run lasts.

use boss_client::{
    Client, Query,
    watch::{EventKind, Item},
};
use boss_proto::{ids::Revision, kind::Kind, object::Resource, v1};

use super::register::{NAMESPACE, version};
use crate::{
    checkers::{bindings::Bound, watches::Told},
    manifests::name_of,
};

/// What a watch tells of the registers after `start`, until there is an object called `end`.
pub async fn registers(client: &Client, start: Revision, end: &str) -> Result<Vec<Told>, String> {
    let query = Query::all(Kind::ServiceAccount).in_namespace(NAMESPACE);
    let mut watch = client.watch_after(query, start);
    let mut told = Vec::new();
    loop {
        match watch.next().await.map_err(|error| error.to_string())? {
            Item::Event { kind, object, revision } => {
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
            Item::Bookmark(_) | Item::Interrupted(_) => {}
            Item::Restarted { .. } => return Err("a watch began anew, and the history reaches back".to_owned()),
        }
    }
}

/// Notes each state of each pod after `start`; never ends by itself.
pub async fn pods(client: &Client, start: Revision, told: &std::sync::Mutex<Vec<Bound>>) -> String {
    let mut watch = client.watch_after(Query::all(Kind::Pod).in_namespace(NAMESPACE), start);
    loop {
        match watch.next().await {
            Ok(Item::Event { object, revision, .. }) => {
                let Ok(pod) = v1::Pod::try_from_object(object) else { return "no pod in a watch of them".to_owned() };
                let (metadata, node) = (pod.metadata.unwrap_or_default(), pod.spec.unwrap_or_default().node_name);
                let bound = Bound { uid: metadata.uid, name: metadata.name, node, revision: revision.0 };
                told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(bound);
            }
            Ok(Item::Bookmark(_) | Item::Interrupted(_)) => {}
            Ok(Item::Restarted { .. }) => return "a watch began anew, and the history reaches back".to_owned(),
            Err(error) => return error.to_string(),
        }
    }
}
