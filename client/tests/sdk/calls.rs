//! Single calls: failover, retries under one id, what errors mean.

use std::time::Duration;

use boss_base::clock::{Clock, SystemClock};
use boss_client::{Deadlines, DeleteOptions, Error, Query};
use boss_proto::{ids::Revision, kind::Kind, v1};
use futures_util::future::join_all;
use tonic::Code;

use crate::fake::{Cluster, SOON, Step, answer, busy, no_leader, object, pod, refusal};

#[tokio::test]
async fn a_call_reaches_any_server_that_lives() {
    for dead in [[0, 1], [1, 2], [0, 2]] {
        let mut cluster = Cluster::start(3, [answer("web", 5)]);
        dead.into_iter().for_each(|server| cluster.kill(server));
        cluster.client().create(object("web")).await.unwrap();
        assert!(!dead.contains(&cluster.seen()[0].server));
    }
}

#[tokio::test]
async fn calls_stay_with_the_server_that_worked() {
    let cluster = Cluster::start(3, (1..=5).map(|revision| answer("web", revision)));
    let pods = cluster.client().api::<v1::Pod>("default");
    for _ in 0..5 {
        pods.get("web").await.unwrap();
    }
    let seen = cluster.seen();
    assert!(seen.iter().all(|call| call.server == seen[0].server));
}

#[tokio::test]
async fn a_server_that_dies_between_calls_is_left() {
    let mut cluster = Cluster::start(2, [answer("web", 1), answer("web", 2)]);
    let client = cluster.client();
    client.create(object("web")).await.unwrap();
    let first = cluster.seen()[0].server;
    cluster.kill(first);
    client.update(object("web")).await.unwrap();
    assert_eq!(cluster.seen()[1].server, 1 - first);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_goes_elsewhere_under_the_same_id() {
    let cluster = Cluster::start(2, [Step::Hang, no_leader(), answer("web", 5)]);
    let created = cluster.client().api::<v1::Pod>("default").create(pod("web")).await.unwrap();
    assert_eq!(created.metadata.unwrap().name, "web");
    let seen = cluster.seen();
    assert_eq!(seen.len(), 3);
    assert_ne!(seen[0].server, seen[1].server);
    assert!(seen[0].request_id.is_some());
    assert!(seen.iter().all(|call| call.request_id == seen[0].request_id));
}

#[tokio::test]
async fn a_server_that_dies_during_a_call_has_it_repeated_elsewhere() {
    let mut cluster = Cluster::start(2, [Step::Hang, answer("web", 5)]);
    let mut config = cluster.config();
    config.deadlines.attempt = Duration::from_secs(60);
    let client = boss_client::Client::connect(config).unwrap();
    let call = async { client.delete(&client.api::<v1::Pod>("d").key("web"), &DeleteOptions::default()).await };
    let kill = async {
        while cluster.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        let server = cluster.seen()[0].server;
        cluster.kill(server);
    };
    let (deleted, ()) = tokio::join!(call, kill);
    assert!(deleted.unwrap().gone);
    assert_eq!(cluster.seen()[0].request_id, cluster.seen()[1].request_id);
}

#[tokio::test]
async fn each_call_has_its_own_id_that_knows_what_was_seen() {
    let cluster = Cluster::start(1, [answer("a", 5), answer("b", 9)]);
    let client = cluster.client();
    client.create(object("a")).await.unwrap();
    client.update_status(object("b")).await.unwrap();
    let ids: Vec<_> = cluster.seen().into_iter().map(|call| call.request_id.unwrap()).collect();
    assert_ne!(ids[0].nonce, ids[1].nonce);
    assert_eq!((ids[0].nonce.len(), ids[0].seen_revision, ids[1].seen_revision), (16, 0, 5));
}

#[tokio::test]
async fn a_final_refusal_comes_back_at_once_and_says_what_to_do() {
    let conflict = Step::Refuse(refusal(Code::Aborted, "CONFLICT", 8, false));
    let cluster = Cluster::start(3, [conflict]);
    let error = cluster.client().update(object("web")).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { current: Revision(8), .. }), "{error}");
    assert_eq!(cluster.seen().len(), 1);
}

#[tokio::test]
async fn a_client_that_has_seen_nothing_learns_what_to_have_seen() {
    let expired = || Step::Refuse(refusal(Code::FailedPrecondition, "REQUEST_EXPIRED", 70, false));
    let cluster = Cluster::start(1, [expired(), answer("web", 71)]);
    cluster.client().create(object("web")).await.unwrap();
    assert_eq!(cluster.seen()[1].request_id.as_ref().unwrap().seen_revision, 70);

    // After a lost answer the id may have had its effect: only the caller can find out.
    let cluster = Cluster::start(1, [Step::Hang, expired()]);
    let error = cluster.client().create(object("web")).await.unwrap_err();
    assert!(matches!(error, Error::RequestExpired { .. }), "{error}");
}

#[tokio::test]
async fn no_living_server_is_unavailable_and_a_lost_answer_is_a_timeout() {
    // Long enough that nearly all of it is waiting between attempts: a dial that the deadline cuts off counts as lost.
    let deadlines = |config: &boss_client::Config| Deadlines { overall: Duration::from_secs(3), ..config.deadlines };
    let mut cluster = Cluster::start(2, []);
    let client = cluster.client().with_deadlines(deadlines(&cluster.config()));
    cluster.kill(0);
    cluster.kill(1);
    let error = client.get(&client.api::<v1::Pod>("d").key("web")).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(detail) if detail.message.contains("cannot connect")), "{error}");

    let cluster = Cluster::start(1, [Step::Hang]);
    let client = cluster.client().with_deadlines(deadlines(&cluster.config()));
    let error = client.create(object("web")).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error}");

    let cluster = Cluster::start(1, (0..500).map(|_| no_leader()));
    let client = cluster.client().with_deadlines(deadlines(&cluster.config()));
    let mut error = client.create(object("web")).await.unwrap_err();
    // On a busy machine the end of the deadline may hit an attempt, not the wait between two.
    for _ in 0..4 {
        if matches!(error, Error::Timeout(_)) {
            error = client.create(object("web")).await.unwrap_err();
        }
    }
    assert!(matches!(&error, Error::Unavailable(detail) if detail.reason == "NO_LEADER"), "{error}");
}

fn page(revision: u64, name: &str, next: &'static [u8]) -> Step {
    let next_page_token = bytes::Bytes::from_static(next);
    Step::Page(v1::ListResponse { items: vec![object(name)], revision, next_page_token })
}

#[tokio::test]
async fn a_list_takes_all_its_pages() {
    let cluster = Cluster::start(2, [page(5, "a", b"p2"), page(5, "b", b"p3"), page(5, "c", b"")]);
    let list = cluster.client().list(&Query::all(Kind::Pod)).await.unwrap();
    assert_eq!((list.objects.len(), list.revision), (3, Revision(5)));
    let tokens: Vec<_> = cluster.seen().into_iter().map(|call| call.page_token).collect();
    assert_eq!(tokens, [&b""[..], b"p2", b"p3"]);
}

#[tokio::test]
async fn a_list_whose_moment_has_passed_begins_again_but_not_for_ever() {
    let expired = || Step::Refuse(refusal(Code::OutOfRange, "EXPIRED", 9, false));
    let cluster = Cluster::start(1, [page(5, "a", b"p2"), expired(), page(9, "a", b"p2"), page(9, "b", b"")]);
    let list = cluster.client().api::<v1::Pod>("default").list().await.unwrap();
    assert_eq!((list.items.len(), list.revision), (2, Revision(9)));

    let steps = (0..20).flat_map(|_| [page(5, "a", b"p2"), expired()]);
    let error = Cluster::start(1, steps).client().list(&Query::all(Kind::Pod)).await.unwrap_err();
    assert!(matches!(error, Error::Expired { .. }), "{error}");
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again_when_it_said_and_under_the_same_id() {
    let cluster = Cluster::start(3, [overloaded(300), answer("web", 5)]);
    let began = SystemClock.monotonic();
    cluster.client().create(object("web")).await.unwrap();
    assert!(since(began) >= Duration::from_millis(300), "{:?}", since(began));
    let seen = cluster.seen();
    assert_eq!((seen.len(), seen[0].server), (2, seen[1].server), "it has room soon: asking elsewhere would not help");
    assert!(seen[0].request_id.is_some() && seen[0].request_id == seen[1].request_id);
}

#[tokio::test]
async fn retries_against_overload_run_out_so_that_they_do_not_feed_it() {
    const CALLS: usize = 50;
    /// What a client saves up for a bad moment.
    const RETRIES: usize = 100;
    let cluster = Cluster::start(1, (0..1_000).map(|_| overloaded(1)));
    let mut config = cluster.config();
    // The budget ends the calls, not the time.
    (config.deadlines.attempt, config.deadlines.overall) = (SOON, SOON * 10);
    let client = boss_client::Client::connect(config).unwrap();
    let answers = join_all((0..CALLS).map(|_| client.create(object("web")))).await;
    for answer in answers {
        assert!(matches!(answer, Err(Error::Overloaded(_))), "{answer:?}");
    }
    assert_eq!(cluster.seen().len(), CALLS + RETRIES);
}

fn overloaded(retry_after_ms: u32) -> Step {
    Step::Refuse(busy(retry_after_ms))
}

fn since(began: Duration) -> Duration {
    SystemClock.monotonic().saturating_sub(began)
}
