//! Runs what is to find a bug, and what a failure of the harness itself means then.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use boss_base::clock::{Clock, SystemClock};
use futures_util::future::LocalBoxFuture;

use super::Known;
use crate::{
    checkers::{Verdict, broken, judged::Judged},
    cluster::{Bugged, Cluster, Spec},
};

/// What became of one run.
#[derive(Debug, Clone)]
pub struct Found {
    /// Every promise that was looked at.
    pub judged: Vec<Judged>,
    /// From the start of the cluster to the verdict.
    pub took: Duration,
}

impl Found {
    /// The first promise that was broken.
    #[must_use]
    pub fn broken(&self) -> Option<&Judged> {
        self.judged.iter().find(|judged| matches!(judged.verdict, Verdict::Invalid(_)))
    }

    /// Whether all were kept and enough was seen.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.judged.is_empty() && self.judged.iter().all(|judged| judged.verdict.is_valid())
    }
}

/// Runs it on a fresh cluster, with the bug or without.
#[must_use]
pub fn find(known: &Known, with_bug: bool) -> Found {
    let bug = with_bug.then_some(Bugged { name: known.name, only: known.only });
    on_a_cluster(Spec { bug, ..known.spec() }, known.run)
}

/// Runs something on a fresh cluster; what the harness itself does not get done is broken.
pub(super) fn on_a_cluster(
    spec: Spec,
    work: impl for<'a> FnOnce(&'a mut Cluster) -> LocalBoxFuture<'a, Vec<Judged>>,
) -> Found {
    let began = SystemClock.monotonic();
    let judged = catch_unwind(AssertUnwindSafe(|| run(spec, work)))
        .unwrap_or_else(|panic| vec![Judged { promise: "everything comes back", verdict: broken(text_of(&*panic)) }]);
    Found { judged, took: SystemClock.monotonic().saturating_sub(began) }
}

fn run(spec: Spec, work: impl for<'a> FnOnce(&'a mut Cluster) -> LocalBoxFuture<'a, Vec<Judged>>) -> Vec<Judged> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("threads can be made").block_on(async {
        let mut cluster = Box::pin(Cluster::start(spec)).await;
        work(&mut cluster).await
    })
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "a panic".to_owned())
}
