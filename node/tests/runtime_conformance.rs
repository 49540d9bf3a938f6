//! What every provider must do, run against each. A new provider joins by one line per case.

#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "support/process_node.rs"]
mod process_node;

use std::time::Duration;

use boss_node::{
    runtime::{Error, Runtime, Status, fake::FakeRuntime},
    sandbox::{SandboxId, Spec, Values, files::ExitKind},
};
use boss_proto::intent::Reason;

/// What a provider calls these programs.
struct Programs {
    sleep: fn(&str) -> Spec,
    stubborn: fn(&str) -> Spec,
    exit_3: fn(&str) -> Spec,
    missing: fn(&str) -> Spec,
}

const FAKE: Programs = Programs {
    sleep: |uid| process_node::spec(uid, "sleep", &[]),
    stubborn: |uid| process_node::spec(uid, "stubborn", &[]),
    exit_3: |uid| process_node::spec(uid, "exit", &["3"]),
    missing: |uid| process_node::spec(uid, "/no/such/program", &[]),
};

const PROCESS: Programs = Programs {
    sleep: |uid| process_node::spec(uid, "sleep", &["1000"]),
    stubborn: |uid| process_node::script(uid, "trap '' TERM; while :; do sleep 0.01; done"),
    exit_3: |uid| process_node::script(uid, "exit 3"),
    missing: |uid| process_node::spec(uid, "/no/such/program", &[]),
};

macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        mod fake {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&super::FakeRuntime::default(), &super::FAKE).await;
            })*
        }

        mod process {
            $(#[tokio::test]
            async fn $case() {
                let dir = tempfile::tempdir().unwrap();
                super::$case(&super::process_node::provider(dir.path()), &super::PROCESS).await;
            })*
        }
    };
}

conformance!(
    a_healthy_provider_says_what_it_can,
    a_sandbox_goes_from_nothing_to_nothing,
    the_exit_code_is_kept,
    every_call_may_be_repeated,
    a_program_that_ignores_the_signal_is_killed_after_the_grace_period,
    a_start_that_fails_says_why_and_leaves_nothing_running,
    waiting_ends_when_it_is_stopped,
    calls_for_what_is_not_there_are_harmless,
    a_running_sandbox_is_not_removed,
    sandboxes_are_listed_with_what_they_were_made_from,
);

const GRACE: Duration = Duration::from_secs(20);

async fn run(runtime: &impl Runtime, spec: &Spec) {
    runtime.prepare(spec).await.unwrap();
    runtime.start(&spec.id, &Values::default()).await.unwrap();
}

async fn a_healthy_provider_says_what_it_can(runtime: &impl Runtime, _: &Programs) {
    let provider = runtime.probe().await;
    assert!(provider.healthy, "{provider:?}");
    assert_eq!(provider.name, runtime.name());
    assert_eq!(provider.classes, [runtime.class().as_str()]);
    assert!(!provider.artifact_types.is_empty() && !provider.isolation_levels.is_empty());
    assert!(runtime.list().await.unwrap().is_empty(), "the probe leaves nothing behind");
}

async fn a_sandbox_goes_from_nothing_to_nothing(runtime: &impl Runtime, programs: &Programs) {
    let spec = (programs.sleep)("life");
    assert_eq!(runtime.status(&spec.id).await.unwrap(), Status::Absent);
    runtime.prepare(&spec).await.unwrap();
    assert_eq!(runtime.status(&spec.id).await.unwrap(), Status::Prepared);
    let running = runtime.start(&spec.id, &Values::default()).await.unwrap();
    assert_eq!(runtime.status(&spec.id).await.unwrap(), Status::Running(running));
    runtime.stop(&spec.id, GRACE).await.unwrap();
    let Status::Ended(exit) = runtime.status(&spec.id).await.unwrap() else { panic!("it must be over") };
    assert_eq!(exit.how, ExitKind::Signal { number: 15, out_of_memory: false });
    runtime.remove(&spec.id).await.unwrap();
    assert_eq!(runtime.status(&spec.id).await.unwrap(), Status::Absent);
    assert!(runtime.list().await.unwrap().is_empty());
}

async fn the_exit_code_is_kept(runtime: &impl Runtime, programs: &Programs) {
    let spec = (programs.exit_3)("code");
    run(runtime, &spec).await;
    let exit = runtime.wait(&spec.id).await.unwrap();
    assert_eq!(exit.how, ExitKind::Code(3));
    assert!(exit.started_at_us > 0 && exit.finished_at_us >= exit.started_at_us);
    assert_eq!(runtime.status(&spec.id).await.unwrap(), Status::Ended(exit));
}

async fn every_call_may_be_repeated(runtime: &impl Runtime, programs: &Programs) {
    let spec = (programs.sleep)("twice");
    runtime.prepare(&spec).await.unwrap();
    runtime.prepare(&spec).await.unwrap();
    let first = runtime.start(&spec.id, &Values::default()).await.unwrap();
    assert_eq!(runtime.start(&spec.id, &Values::default()).await.unwrap(), first);
    runtime.stop(&spec.id, GRACE).await.unwrap();
    runtime.stop(&spec.id, GRACE).await.unwrap();
    assert!(runtime.start(&spec.id, &Values::default()).await.is_err(), "what is over does not start again");
    runtime.remove(&spec.id).await.unwrap();
    runtime.remove(&spec.id).await.unwrap();
}

async fn a_program_that_ignores_the_signal_is_killed_after_the_grace_period(
    runtime: &impl Runtime,
    programs: &Programs,
) {
    let spec = (programs.stubborn)("stubborn");
    run(runtime, &spec).await;
    runtime.stop(&spec.id, Duration::from_millis(300)).await.unwrap();
    let Status::Ended(exit) = runtime.status(&spec.id).await.unwrap() else { panic!("it must be over") };
    assert!(matches!(exit.how, ExitKind::Signal { number: 9 | 15, .. }), "{exit:?}");
}

async fn a_start_that_fails_says_why_and_leaves_nothing_running(runtime: &impl Runtime, programs: &Programs) {
    let spec = (programs.missing)("missing");
    runtime.prepare(&spec).await.unwrap();
    let error = runtime.start(&spec.id, &Values::default()).await.unwrap_err();
    let Error::Sandbox { reason, message } = &error else { panic!("{error}") };
    assert_eq!(*reason, Reason::StartFailed);
    assert!(message.contains("/no/such/program"), "{message}");
    let Status::Ended(exit) = runtime.status(&spec.id).await.unwrap() else { panic!("it must be over") };
    assert!(matches!(exit.how, ExitKind::NotStarted { .. }));
    assert_eq!(runtime.start(&spec.id, &Values::default()).await.unwrap_err(), error, "asked again, it says the same");
}

async fn waiting_ends_when_it_is_stopped(runtime: &impl Runtime, programs: &Programs) {
    let spec = (programs.sleep)("wait");
    run(runtime, &spec).await;
    let (exit, stopped) = tokio::join!(runtime.wait(&spec.id), runtime.stop(&spec.id, GRACE));
    stopped.unwrap();
    assert!(matches!(exit.unwrap().how, ExitKind::Signal { .. }));
}

async fn calls_for_what_is_not_there_are_harmless(runtime: &impl Runtime, _: &Programs) {
    let id = SandboxId { uid: "none".to_owned(), attempt: 1 };
    runtime.stop(&id, GRACE).await.unwrap();
    runtime.remove(&id).await.unwrap();
    assert!(runtime.start(&id, &Values::default()).await.is_err());
    assert!(runtime.wait(&id).await.is_err());
    assert_eq!(runtime.spec(&id).await.unwrap(), None);
}

async fn a_running_sandbox_is_not_removed(runtime: &impl Runtime, programs: &Programs) {
    let spec = (programs.sleep)("keep");
    run(runtime, &spec).await;
    assert!(runtime.remove(&spec.id).await.is_err());
    assert!(matches!(runtime.status(&spec.id).await.unwrap(), Status::Running(_)));
    runtime.stop(&spec.id, GRACE).await.unwrap();
}

async fn sandboxes_are_listed_with_what_they_were_made_from(runtime: &impl Runtime, programs: &Programs) {
    let mut second = (programs.exit_3)("b");
    second.id.attempt = 2;
    let specs = [(programs.exit_3)("a"), (programs.exit_3)("b"), second];
    for spec in &specs {
        runtime.prepare(spec).await.unwrap();
    }
    let ids: Vec<SandboxId> = specs.iter().map(|spec| spec.id.clone()).collect();
    assert_eq!(runtime.list().await.unwrap(), ids);
    for spec in &specs {
        let kept = runtime.spec(&spec.id).await.unwrap().unwrap();
        assert_eq!((&kept.program, &kept.args), (&spec.program, &spec.args));
    }
}
