use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use stopover_model::event::StageIndex;
use stopover_model::report::{StepReport, VerifyReport};
use tokio::sync::oneshot;

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn key(kind: StepKind) -> WorkKey {
    let step = StepKey { stage: StageIndex(0), database: "users".parse().unwrap(), kind, migration: None };
    WorkKey { deployment: DeploymentId::from_random(1), step }
}

fn later() -> Timestamp {
    Timestamp::now() + Duration::from_mins(1)
}

fn done() -> Outcome {
    Outcome::Succeeded { report: StepReport::Verified(VerifyReport { checks: Vec::new() }) }
}

async fn outcome(work: &Work) -> Outcome {
    let mut outcome = work.watch_outcome();
    let ended = tokio::time::timeout(SOON, outcome.wait_for(Option::is_some)).await;
    ended.expect("the work ends").unwrap().clone().unwrap()
}

fn until_cancelled(begin: Begin) -> BoxFuture<'static, Outcome> {
    async move {
        begin.reporter.message("begun");
        begin.cancel.cancelled().await;
        begin.reporter.message("stopped in order");
        Outcome::Failed { error: StepError::new(ErrorClass::Cancelled, "stopped"), report: None }
    }
    .boxed()
}

#[tokio::test]
async fn a_second_call_attaches_and_a_finished_one_is_answered() {
    let registry = Registry::new();
    let (finish, finished) = oneshot::channel();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let start = |begin: Begin| {
        async move {
            counted.fetch_add(1, Ordering::Relaxed);
            begin.reporter.message("begun");
            finished.await.unwrap();
            done()
        }
        .boxed()
    };
    let first =
        registry.start_or_attach(&key(StepKind::Verify), Attempt(1), later(), &Place::First, start).unwrap();
    let again = |_: Begin| -> BoxFuture<'static, Outcome> { panic!("it must not begin twice") };
    let past = Timestamp::UNIX_EPOCH;
    let second =
        registry.start_or_attach(&key(StepKind::Verify), Attempt(1), past, &Place::First, again).unwrap();
    assert_eq!(first.run, second.run);
    finish.send(()).unwrap();
    assert_eq!(outcome(&second).await, done());
    let third =
        registry.start_or_attach(&key(StepKind::Verify), Attempt(1), past, &Place::First, again).unwrap();
    assert_eq!(outcome(&third).await, done());
    assert_eq!(third.reporter.lines_after(0).len(), 1);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_newer_attempt_ends_the_older_one_before_it_begins() {
    let registry = Registry::new();
    let older = registry
        .start_or_attach(&key(StepKind::Migrate), Attempt(1), later(), &Place::First, until_cancelled)
        .unwrap();
    older.reporter.watch_lines().wait_for(|lines| *lines == 1).await.unwrap();
    let seen = Arc::clone(&older);
    let newer = |_: Begin| {
        async move {
            assert!(seen.reporter.lines_after(0).len() == 2, "the older one had not ended");
            done()
        }
        .boxed()
    };
    let newer =
        registry.start_or_attach(&key(StepKind::Migrate), Attempt(2), later(), &Place::First, newer).unwrap();
    assert_eq!(outcome(&newer).await, done());
    assert_eq!(outcome(&older).await.error().unwrap().class, ErrorClass::Cancelled);
    let stale = registry.start_or_attach(
        &key(StepKind::Migrate),
        Attempt(1),
        later(),
        &Place::First,
        until_cancelled,
    );
    assert_eq!(stale.unwrap_err(), Refused::Older { newest: Attempt(2) });
}

#[tokio::test]
async fn steps_on_one_database_follow_one_another_and_one_that_waits_can_be_cancelled() {
    let registry = Registry::new();
    let backup = registry
        .start_or_attach(&key(StepKind::Backup), Attempt(1), later(), &Place::First, until_cancelled)
        .unwrap();
    tokio::task::yield_now().await;
    let never = |_: Begin| async { panic!("it must not run beside the backup") }.boxed();
    let waiting =
        registry.start_or_attach(&key(StepKind::Migrate), Attempt(1), later(), &Place::First, never).unwrap();
    let mut other = key(StepKind::Verify);
    other.step.database = "orders".parse().unwrap();
    let other = registry
        .start_or_attach(&other, Attempt(1), later(), &Place::First, |_| async { done() }.boxed())
        .unwrap();
    assert_eq!(outcome(&other).await, done());
    assert!(registry.cancel(&key(StepKind::Migrate), Attempt(1)));
    assert!(outcome(&waiting).await.error().unwrap().message.contains("before it began"));
    assert!(!registry.cancel(&key(StepKind::Migrate), Attempt(1)), "it has ended");
    assert!(registry.cancel(&key(StepKind::Backup), Attempt(1)));
    outcome(&backup).await;
}

#[tokio::test]
async fn a_fault_of_ours_is_an_outcome_and_of_a_migration_an_unknown_one() {
    let registry = Registry::new();
    let fault = |_: Begin| async { panic!("index 3 is out of range") }.boxed();
    let verify =
        registry.start_or_attach(&key(StepKind::Verify), Attempt(1), later(), &Place::First, fault).unwrap();
    let Outcome::Failed { error, .. } = outcome(&verify).await else { panic!("it failed") };
    assert_eq!(error.class, ErrorClass::Internal);
    assert!(error.message.contains("index 3 is out of range"), "{}", error.message);
    let migrate =
        registry.start_or_attach(&key(StepKind::Migrate), Attempt(1), later(), &Place::First, fault).unwrap();
    assert!(matches!(outcome(&migrate).await, Outcome::Unknown { .. }));
}

#[tokio::test]
async fn what_comes_too_late_or_while_stopping_does_not_begin() {
    let registry = Registry::new();
    let never = |_: Begin| -> BoxFuture<'static, Outcome> { panic!("it must not begin") };
    let past = Timestamp::UNIX_EPOCH;
    let late =
        registry.start_or_attach(&key(StepKind::Verify), Attempt(1), past, &Place::First, never).unwrap_err();
    assert_eq!(late, Refused::TooLate { not_after: past });
    let running = registry
        .start_or_attach(&key(StepKind::Backup), Attempt(1), later(), &Place::First, until_cancelled)
        .unwrap();
    registry.close();
    let stopping = registry
        .start_or_attach(&key(StepKind::Verify), Attempt(1), later(), &Place::First, never)
        .unwrap_err();
    assert_eq!(stopping, Refused::Stopping);
    registry.cancel_all();
    tokio::time::timeout(SOON, registry.ended()).await.expect("everything ends");
    assert!(running.has_ended());
}

#[tokio::test]
async fn old_outcomes_are_forgotten_beyond_a_number() {
    let registry = Registry::new();
    for n in 0..400 {
        let mut key = key(StepKind::Verify);
        key.deployment = DeploymentId::from_random(n);
        let work = registry
            .start_or_attach(&key, Attempt(1), later(), &Place::First, |_| async { done() }.boxed())
            .unwrap();
        outcome(&work).await;
    }
    assert!(registry.history().all().count() <= 258);
}

fn migrate(id: &str) -> WorkKey {
    let mut key = key(StepKind::Migrate);
    key.step.migration = Some(id.parse().unwrap());
    key
}

fn behind(id: &str) -> Place {
    Place::Behind(migrate(id), Attempt(1))
}

fn is_not_begun(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotBegun { .. })
}

#[tokio::test]
async fn what_stands_behind_begins_when_the_one_before_has_succeeded() {
    let registry = Registry::new();
    let (finish, finished) = oneshot::channel();
    let start = |_: Begin| async move { finished.await.unwrap() }.boxed();
    let first =
        registry.start_or_attach(&migrate("001_a"), Attempt(1), later(), &Place::First, start).unwrap();
    let seen = Arc::clone(&first);
    let next = |_: Begin| {
        async move {
            assert!(seen.has_ended(), "it began too early");
            done()
        }
        .boxed()
    };
    let second =
        registry.start_or_attach(&migrate("002_b"), Attempt(1), later(), &behind("001_a"), next).unwrap();
    let third = registry.start_or_attach(&migrate("003_c"), Attempt(1), later(), &behind("002_b"), |_| {
        async { done() }.boxed()
    });
    finish.send(done()).unwrap();
    assert_eq!(outcome(&second).await, done());
    assert_eq!(outcome(&third.unwrap()).await, done());
}

#[tokio::test]
async fn what_stands_behind_a_failure_or_behind_what_nobody_knows_does_not_begin() {
    let registry = Registry::new();
    let never = |_: Begin| -> BoxFuture<'static, Outcome> { async { panic!("it must not begin") }.boxed() };
    let stranger =
        registry.start_or_attach(&migrate("002_b"), Attempt(1), later(), &behind("001_a"), never).unwrap();
    assert!(is_not_begun(&outcome(&stranger).await));

    registry.start_or_attach(&migrate("001_a"), Attempt(1), later(), &Place::First, until_cancelled).unwrap();
    let second =
        registry.start_or_attach(&migrate("002_b"), Attempt(1), later(), &behind("001_a"), never).unwrap();
    let third =
        registry.start_or_attach(&migrate("003_c"), Attempt(1), later(), &behind("002_b"), never).unwrap();
    assert!(registry.cancel(&migrate("001_a"), Attempt(1)));
    assert!(is_not_begun(&outcome(&second).await));
    assert!(is_not_begun(&outcome(&third).await));
}

#[tokio::test]
async fn what_is_withdrawn_does_not_begin_and_what_has_begun_goes_on() {
    let registry = Registry::new();
    let (finish, finished) = oneshot::channel();
    let start = |_: Begin| async move { finished.await.unwrap() }.boxed();
    let never = |_: Begin| -> BoxFuture<'static, Outcome> { async { panic!("it must not begin") }.boxed() };
    let first =
        registry.start_or_attach(&migrate("001_a"), Attempt(1), later(), &Place::First, start).unwrap();
    let second =
        registry.start_or_attach(&migrate("002_b"), Attempt(1), later(), &behind("001_a"), never).unwrap();
    assert!(registry.leave(&migrate("001_a"), Attempt(1)));
    assert!(registry.leave(&migrate("002_b"), Attempt(1)));
    assert!(is_not_begun(&outcome(&second).await));
    finish.send(done()).unwrap();
    assert_eq!(outcome(&first).await, done());
}

#[tokio::test]
async fn what_nobody_asks_for_any_more_does_not_begin_when_its_turn_comes() {
    let registry = Registry::new();
    let (finish, finished) = oneshot::channel();
    let start = |_: Begin| async move { finished.await.unwrap() }.boxed();
    registry.start_or_attach(&migrate("001_a"), Attempt(1), later(), &Place::First, start).unwrap();
    let soon = Timestamp::now() + Duration::from_millis(200);
    let never = |_: Begin| -> BoxFuture<'static, Outcome> { async { panic!("it must not begin") }.boxed() };
    let alone =
        registry.start_or_attach(&migrate("002_b"), Attempt(1), soon, &behind("001_a"), never).unwrap();
    while Timestamp::now() <= soon {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    finish.send(done()).unwrap();
    assert!(is_not_begun(&outcome(&alone).await));
}
