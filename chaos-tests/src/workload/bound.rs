//! A watcher that keeps where pods were bound.

use boss_client::{Client, Query, watch::Item};
use boss_proto::{ids::Revision, kind::Kind, object::Resource, v1};

use crate::{checkers::bindings::Bound, manifests::NAMESPACE};

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
