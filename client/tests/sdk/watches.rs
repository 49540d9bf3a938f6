//! Watches over servers that fail, and what is built on them.
#![expect(clippy::disallowed_methods, reason = "the server of a test ends a watch as a test wants")]

use std::time::Duration;

use boss_base::tasks::Tasks;
use boss_client::{
    Error, Informer, Query, Watch,
    watch::{EventKind, Item},
};
use boss_proto::{
    ids::Revision,
    kind::Kind,
    v1::{self, registry_client::RegistryClient, watch_event::Type},
};
use futures_util::StreamExt;
use tonic::{Code, Status};

use crate::fake::{Cluster, SOON, Step, bookmark, event, listed, no_leader, refusal};

fn pods() -> Query {
    Query::all(Kind::Pod)
}

async fn next(watch: &mut Watch) -> Result<Item, Error> {
    tokio::time::timeout(SOON, watch.next()).await.unwrap()
}

/// `=5 a,b` for a list, `+6 c` for an event, `@7` for a bookmark.
fn text(item: &Item) -> String {
    let name = |object: &v1::Object| object.key().unwrap().name;
    match item {
        Item::Restarted { objects, revision } => {
            format!("={revision} {}", objects.iter().map(name).collect::<Vec<_>>().join(","))
        }
        Item::Event { kind, object, revision } => {
            let sign = match kind {
                EventKind::Added => '+',
                EventKind::Modified => '~',
                EventKind::Deleted => '-',
            };
            format!("{sign}{revision} {}", name(object))
        }
        Item::Bookmark(revision) => format!("@{revision}"),
        Item::Interrupted(_) => "!".to_owned(),
    }
}

async fn check(watch: &mut Watch, expected: &[&str]) {
    for expected in expected {
        assert_eq!(&text(&next(watch).await.unwrap()), expected);
    }
}

fn froms(cluster: &Cluster) -> Vec<Option<u64>> {
    cluster.seen().iter().map(|call| call.from_revision).collect()
}

fn expired() -> Step {
    Step::Refuse(refusal(Code::OutOfRange, "EXPIRED", 90, false))
}

#[tokio::test]
async fn a_watch_goes_on_elsewhere_without_a_gap_or_a_repeat() {
    let mut first = listed(5, &["a", "b"]);
    first.extend([event(Type::Modified, 6, "a"), event(Type::Added, 7, "c")]);
    // 7 was not known to be complete, so it is asked for again.
    let second = vec![event(Type::Added, 7, "c"), event(Type::Deleted, 9, "b"), bookmark(12)];
    let cluster = Cluster::start(
        3,
        [
            Step::Stream(first),
            no_leader(),
            Step::Broken(second, Box::new(Status::unavailable("no leader for a second"))),
            Step::Open(vec![event(Type::Added, 13, "d")]),
        ],
    );
    let mut watch = cluster.client().watch(pods());
    check(&mut watch, &["=5 a,b", "~6 a", "+7 c", "-9 b", "@12", "+13 d"]).await;
    assert_eq!(froms(&cluster), [None, Some(6), Some(6), Some(12)]);
    let seen = cluster.seen();
    assert_ne!(seen[0].server, seen[1].server);
}

#[tokio::test]
async fn a_killed_server_is_left_and_the_watch_resumes() {
    let mut cluster = Cluster::start(2, [Step::Open(listed(5, &["a"])), Step::Open(vec![event(Type::Added, 6, "b")])]);
    let mut watch = cluster.client().watch(pods());
    check(&mut watch, &["=5 a"]).await;
    let first = cluster.seen()[0].server;
    cluster.kill(first);
    check(&mut watch, &["+6 b"]).await;
    assert_eq!((cluster.seen()[1].server, cluster.seen()[1].from_revision), (1 - first, Some(5)));
}

#[tokio::test]
async fn half_a_list_is_not_told() {
    let mut half = listed(5, &["a", "b"]);
    half.pop();
    let cluster = Cluster::start(2, [Step::Stream(half), Step::Open(listed(6, &["b"]))]);
    let mut watch = cluster.client().watch(pods());
    check(&mut watch, &["=6 b"]).await;
}

#[tokio::test]
async fn an_expired_history_starts_with_a_fresh_list() {
    let mut list = listed(90, &["x"]);
    list.push(event(Type::Added, 91, "y"));
    let cluster = Cluster::start(1, [expired(), Step::Open(list)]);
    let mut watch = cluster.client().watch_after(pods(), Revision(4));
    check(&mut watch, &["=90 x", "+91 y"]).await;
    assert_eq!(froms(&cluster), [Some(4), None]);

    // The same when the history runs out under a stream that is open.
    let running = Step::Broken(vec![event(Type::Added, 5, "a")], refusal(Code::OutOfRange, "EXPIRED", 90, false));
    let cluster = Cluster::start(1, [running, Step::Open(listed(90, &[]))]);
    let mut watch = cluster.client().watch_after(pods(), Revision(4));
    check(&mut watch, &["+5 a", "=90 "]).await;
}

#[tokio::test]
async fn an_interruption_is_told_once_and_the_watch_goes_on() {
    let refusals = (0..7).map(|_| no_leader());
    let steps = [Step::Stream(listed(5, &[]))].into_iter().chain(refusals).chain([Step::Open(vec![bookmark(6)])]);
    let cluster = Cluster::start(2, steps);
    let mut watch = cluster.client().watch(pods());
    check(&mut watch, &["=5 ", "!", "@6"]).await;
}

#[tokio::test]
async fn a_refusal_that_trying_again_cannot_mend_is_an_error() {
    let forbidden = || Step::Refuse(refusal(Code::PermissionDenied, "FORBIDDEN", 0, false));
    let cluster = Cluster::start(2, [forbidden(), Step::Open(listed(5, &["a"])), forbidden()]);
    let mut watch = cluster.client().watch(pods());
    assert!(matches!(next(&mut watch).await, Err(Error::Forbidden(_))));
    check(&mut watch, &["=5 a"]).await;
    let items: Vec<_> = cluster.client().watch(pods()).into_stream().take(5).collect().await;
    assert!(matches!(items.as_slice(), [Err(Error::Forbidden(_))]));
}

#[tokio::test]
async fn a_caller_that_stops_waiting_loses_nothing() {
    let mut messages = listed(5, &["a"]);
    messages.extend((6..50).map(|revision| event(Type::Added, revision, &format!("p{revision}"))));
    let cluster = Cluster::start(1, [Step::Open(messages)]);
    let mut watch = cluster.client().watch(pods());
    let mut revisions = Vec::new();
    let collect = async {
        while revisions.len() < 45 {
            tokio::select! {
                biased;
                item = watch.next() => match item.unwrap() {
                    Item::Restarted { revision, .. } | Item::Event { revision, .. } => revisions.push(revision.0),
                    other => panic!("unexpected {other:?}"),
                },
                () = tokio::time::sleep(Duration::from_micros(200)) => {}
            }
        }
    };
    tokio::time::timeout(SOON, collect).await.unwrap();
    assert_eq!(revisions, (5..50).collect::<Vec<_>>());
    assert_eq!(cluster.seen().len(), 1);
}

#[tokio::test]
async fn an_informer_holds_what_is_and_drops_what_a_restart_does_not_show() {
    let mut first = listed(5, &["a", "b"]);
    first.extend([event(Type::Deleted, 6, "a"), event(Type::Added, 7, "c")]);
    let cluster = Cluster::start(1, [Step::Stream(first)]);
    let tasks = Tasks::new();
    let client = cluster.client();
    let mut informer = Informer::<v1::Pod>::start(&client, pods(), &tasks);
    informer.synced().await;
    let names = |informer: &Informer<v1::Pod>| -> Vec<String> {
        informer.list().iter().map(|pod| pod.metadata.as_ref().unwrap().name.clone()).collect()
    };
    while names(&informer) != ["b", "c"] {
        tokio::time::timeout(SOON, informer.changed()).await.unwrap();
    }
    cluster.add(expired());
    cluster.add(Step::Open(listed(90, &["z"])));
    while names(&informer) != ["z"] {
        tokio::time::timeout(SOON, informer.changed()).await.unwrap();
    }
    assert_eq!(informer.revision(), Some(Revision(90)));
    assert!(informer.get(&client.api::<v1::Pod>("default").key("z")).is_some());
    tasks.stop(SOON).await.unwrap();
}

#[tokio::test]
async fn a_session_shows_who_we_are_and_moves_on_when_told() {
    let cluster = Cluster::start(2, [Step::Open(Vec::new()), Step::Open(Vec::new())]);
    let client = cluster.client();
    for _ in 0..2 {
        let session = client.session();
        let mut registry = RegistryClient::new(session.channel());
        registry.watch(session.request(v1::WatchRequest::default())).await.unwrap();
        session.mark_bad();
        session.mark_bad();
    }
    let seen = cluster.seen();
    assert_eq!(seen[0].token, "token-1");
    assert_ne!(seen[0].server, seen[1].server);
}
