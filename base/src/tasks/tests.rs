//! Names, failures and the end of tasks.

use super::*;

const SOON: Duration = Duration::from_secs(5);

fn stop_now() -> Duration {
    Duration::from_millis(20)
}

#[tokio::test]
async fn a_panic_in_a_needed_task_is_reported_with_its_message() {
    let tasks = Tasks::new();
    tasks.spawn("core", OnExit::StopProcess, async { panic!("lost the log") });
    let expected = Failure::Panicked { task: "core".into(), message: "lost the log".into() };
    assert_eq!(tokio::time::timeout(SOON, tasks.failed()).await.unwrap(), expected);
}

#[tokio::test]
async fn a_needed_task_that_returns_is_reported_but_not_after_a_stop() {
    let tasks = Tasks::new();
    let token = tasks.token();
    tasks.spawn("loop", OnExit::StopProcess, async move { token.cancelled().await });
    tasks.stop(SOON).await.unwrap();
    assert!(tasks.failed().now_or_never().is_none());

    let tasks = Tasks::new();
    tasks.spawn("loop", OnExit::StopProcess, async {});
    assert_eq!(tasks.failed().await, Failure::Ended { task: "loop".into() });
}

#[tokio::test]
async fn the_end_and_the_panic_of_an_expendable_task_fail_nothing() {
    let tasks = Tasks::new();
    tasks.spawn("short", OnExit::Log, async {});
    tasks.spawn("clumsy", OnExit::Log, async { panic!("oh") });
    tasks.stop(SOON).await.unwrap();
    assert!(tasks.failed().now_or_never().is_none());
}

#[tokio::test]
async fn stop_names_what_still_runs() {
    let tasks = Tasks::new();
    let stubborn = tasks.spawn("stubborn", OnExit::Log, std::future::pending());
    tasks.spawn("short", OnExit::Log, async {});
    assert_eq!(tasks.stop(stop_now()).await, Err(vec!["stubborn".to_owned()]));
    stubborn.abort();
    tasks.stop(SOON).await.unwrap();
}

#[tokio::test]
async fn a_group_stops_alone_but_also_with_its_owner_who_waits_for_it() {
    let tasks = Tasks::new();
    let (one, two) = (tasks.group(), tasks.group());
    one.spawn("one", OnExit::Log, std::future::pending());
    let token = two.token();
    two.spawn("two", OnExit::Log, async move { token.cancelled().await });
    two.stop(SOON).await.unwrap();
    assert!(!one.token().is_cancelled());
    assert_eq!(tasks.stop(stop_now()).await, Err(vec!["one".to_owned()]));
    assert!(one.token().is_cancelled());
}

#[tokio::test]
async fn a_failure_in_a_group_is_the_owners() {
    let tasks = Tasks::new();
    tasks.group().spawn("inner", OnExit::StopProcess, async {});
    assert_eq!(tasks.failed().await, Failure::Ended { task: "inner".into() });
}

#[tokio::test]
async fn threads_and_blocking_work_are_tracked_and_their_panics_noticed() {
    let tasks = Tasks::new();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    tasks.spawn_thread("writer", OnExit::StopProcess, move || panic!("disk: {:?}", wait.recv())).unwrap();
    assert_eq!(tasks.running(), ["writer"]);
    assert_eq!(tasks.run_blocking("sum", || 1 + 1).await, Ok(2));
    assert_eq!(tasks.run_blocking("bad", || panic!("no")).await, Err::<(), _>(BlockingFailed));
    drop(release);
    assert!(matches!(tasks.failed().await, Failure::Panicked { task, .. } if task == "writer"));
    tasks.stop(SOON).await.unwrap();
}

#[tokio::test]
async fn work_on_a_thread_of_its_own_waits_for_others_and_on_one_thread_it_is_done_in_order() {
    for tasks in [Tasks::new(), Tasks::on_one_thread()] {
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<u32>(1);
        let (answer, answered) = tokio::sync::oneshot::channel();
        let home = std::thread::current().id();
        let work = async move {
            let mut sum = 0;
            while let Some(number) = receiver.recv().await {
                sum += number;
            }
            let _ = answer.send((sum, std::thread::current().id() == home));
        };
        tasks.spawn_on_thread("sum", OnExit::Log, work).unwrap();
        for number in 1..=3 {
            sender.send(number).await.unwrap();
        }
        drop(sender);
        let here = tasks.blocking == Blocking::Here;
        assert_eq!(answered.await.unwrap(), (6, here));
        let blocked = tasks.run_blocking("look", std::thread::current).await.unwrap();
        assert_eq!(blocked.id() == home, here);
        tasks.stop(SOON).await.unwrap();
    }
}
