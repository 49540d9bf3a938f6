//! Only those watchers wake whom an event concerns.

use std::{
    sync::atomic::AtomicUsize,
    task::{Wake, Waker},
};

use boss_proto::raft::v1::operation::Action;

use super::*;
use crate::state::testing::{Cluster, admin, create, namespace, pod, servers};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A watcher that has looked and waits.
struct Waiter {
    seat: Seat,
    wakes: Arc<Count>,
}

impl Waiter {
    fn new(fanout: &Fanout, interest: Interest) -> Self {
        let waiter = Self { seat: fanout.seat(interest), wakes: Arc::default() };
        assert!(waiter.looks(), "a new watcher looks at once");
        assert!(!waiter.looks());
        waiter
    }

    fn looks(&self) -> bool {
        let waker = Waker::from(self.wakes.clone());
        self.seat.poll_news(&mut Context::from_waker(&waker)).is_ready()
    }

    /// How often it was woken; it waits again after that.
    fn rested(&self) -> usize {
        while self.looks() {}
        self.wakes()
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

fn tell_of(fanout: &Fanout, cluster: &mut Cluster, act: impl FnOnce(&mut Cluster)) {
    let before = cluster.state.revision();
    act(cluster);
    fanout.tell(&cluster.state.view(), before);
    fanout.0.told.store(cluster.state.revision().0, Ordering::Release);
}

fn make(action: Action) -> impl FnOnce(&mut Cluster) {
    |cluster| drop(cluster.must(admin(), action))
}

#[test]
fn an_event_wakes_only_whom_it_concerns() {
    let (fanout, mut cluster) = (Fanout::new(), Cluster::new());
    let pods = || Interest::in_kind(Kind::Pod);
    let all = Waiter::new(&fanout, pods());
    let here = Waiter::new(&fanout, Interest { namespace: Some("default".into()), ..pods() });
    let elsewhere = Waiter::new(&fanout, Interest { namespace: Some("other".into()), ..pods() });
    let named = Waiter::new(&fanout, Interest { name: Some("a".into()), ..pods() });
    let other_kind = Waiter::new(&fanout, Interest::in_kind(Kind::Namespace));
    let on_node = Waiter::new(&fanout, Interest { node: Some("n1".into()), ..pods() });
    let wakes = || [&all, &here, &elsewhere, &named, &other_kind, &on_node].map(Waiter::rested);

    tell_of(&fanout, &mut cluster, make(create(pod("a"))));
    assert_eq!(wakes(), [1, 1, 0, 1, 0, 0]);
    tell_of(&fanout, &mut cluster, make(create(pod("b"))));
    assert_eq!(wakes(), [2, 2, 0, 1, 0, 0]);
    tell_of(&fanout, &mut cluster, make(create(namespace("x"))));
    assert_eq!(wakes(), [2, 2, 0, 1, 1, 0]);
    tell_of(&fanout, &mut cluster, |cluster| drop(cluster.must(servers(), crate::state::testing::bind("b", "n1"))));
    assert_eq!(wakes(), [3, 3, 0, 1, 1, 1]);
}

#[test]
fn a_watcher_that_does_not_look_is_woken_once() {
    let (fanout, mut cluster) = (Fanout::new(), Cluster::new());
    let lazy = Waiter::new(&fanout, Interest::in_kind(Kind::Pod));
    for name in ["a", "b", "c"] {
        tell_of(&fanout, &mut cluster, make(create(pod(name))));
    }
    assert_eq!(lazy.wakes(), 1);
    assert!(lazy.looks() && !lazy.looks());
}

#[test]
fn a_quiet_watcher_knows_how_far_the_others_are() {
    let (fanout, mut cluster) = (Fanout::new(), Cluster::new());
    let waiter = Waiter::new(&fanout, Interest::in_kind(Kind::Pod));
    tell_of(&fanout, &mut cluster, make(create(namespace("x"))));
    assert_eq!(waiter.seat.quiet_until(), Some(cluster.state.revision()));
    let quiet = cluster.state.revision();
    tell_of(&fanout, &mut cluster, make(create(pod("a"))));
    tell_of(&fanout, &mut cluster, make(create(pod("b"))));
    assert_eq!(waiter.seat.quiet_until(), None);
    let after = waiter.seat.poll_news(&mut Context::from_waker(Waker::noop()));
    assert_eq!(after, Poll::Ready(quiet), "the first of the news decides");
}

#[test]
fn whoever_leaves_leaves_nothing_behind() {
    let fanout = Fanout::new();
    for interest in [
        Interest::in_kind(Kind::Pod),
        Interest { node: Some("n1".into()), ..Interest::in_kind(Kind::Pod) },
        Interest { name: Some("a".into()), ..Interest::in_kind(Kind::Pod) },
        Interest { namespace: Some("a".into()), ..Interest::in_kind(Kind::Pod) },
    ] {
        drop(fanout.seat(interest));
    }
    let index = fanout.index();
    let pods = &index.kinds[&Kind::Pod];
    assert_eq!(pods.all().map(HashMap::len).collect::<Vec<_>>(), [0]);
}

#[test]
fn a_gap_in_what_is_known_wakes_everybody() {
    let fanout = Fanout::new();
    let mut cluster = Cluster::with_limits(crate::state::Limits { history_events_max: 1, ..Default::default() });
    let other_kind = Waiter::new(&fanout, Interest::in_kind(Kind::Event));
    tell_of(&fanout, &mut cluster, |cluster| {
        for name in ["a", "b", "c"] {
            cluster.must(admin(), create(pod(name)));
        }
    });
    assert_eq!(other_kind.wakes(), 1);
}

#[test]
fn the_end_wakes_everybody() {
    let fanout = Fanout::new();
    let waiter = Waiter::new(&fanout, Interest::in_kind(Kind::Pod));
    fanout.close();
    assert!(waiter.seat.is_closed() && waiter.wakes() == 1 && waiter.looks());
}
