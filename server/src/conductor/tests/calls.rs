//! What calls to agents come to.

use std::sync::atomic::Ordering;

use stopover_model::report::{Outcome, StepError, StepReport, VerifyReport};

use super::*;
use crate::store::{AppendError, Hold, Projection};

#[tokio::test]
async fn a_restarted_server_attaches_to_the_same_attempt_and_stores_each_line_once() {
    let mut bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    let first = bench.asked_for(StepKind::Migrate).await;
    let command = first.command.clone();
    let work = first.take();
    work.line(1).await;
    work.line(2).await;
    let mut follower = bench.follow(&id).await;
    while follower.lines() != [1, 2] {
        let seq = follower.state.as_ref().map_or(Seq::ZERO, |d| d.seq);
        follower.until("a line", |d| d.seq > seq).await;
    }

    bench.restart().await;
    let again = bench.asked().await;
    assert_eq!((again.command.attempt, again.command.epoch), (command.attempt, command.epoch));
    let resume = again.command.resume.clone().unwrap();
    assert_eq!(resume.line_number, 2);
    let work = again.take();
    for number in 1..=3 {
        work.line(number).await;
    }
    work.succeed().await;
    let follower = bench.finish(&id).await;
    assert_eq!(follower.lines(), [1, 2, 3]);
    assert_eq!(follower.state().outcome, Some(DeploymentOutcome::Succeeded));
}

#[tokio::test]
async fn a_storm_of_lines_is_stored_whole() {
    let mut bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    let work = bench.asked_for(StepKind::Migrate).await.take();
    for number in 1..=4000 {
        work.line(number).await;
    }
    work.succeed().await;
    assert_eq!(bench.finish(&id).await.lines(), (1..=4000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_refusal_is_a_failure_of_its_kind() {
    let mut bench = Bench::start().await;
    for (status, class) in [
        (Status::invalid_argument("no"), ErrorClass::Setup),
        (Status::failed_precondition("no"), ErrorClass::Setup),
        (Status::permission_denied("no"), ErrorClass::Setup),
        (Status::aborted("no"), ErrorClass::Fenced),
        (Status::unimplemented("no"), ErrorClass::Internal),
        (Status::deadline_exceeded("too late"), ErrorClass::Transient),
    ] {
        let id = bench.deploy("001_x").await;
        bench.asked().await.refuse(status.clone());
        let mut follower = bench.follow(&id).await;
        follower.until("the refusal", has_ended(StepKind::Inspect)).await;
        let StepState::Failed { error, .. } = follower.step(StepKind::Inspect) else { panic!("{status}") };
        assert_eq!((error.class, error.message.contains(status.message())), (class, true), "{error:?}");
        bench.ask(&id, Request::Cancel).await.unwrap();
        follower.until("its end", |d| d.outcome.is_some()).await;
    }
}

#[tokio::test]
async fn a_command_that_came_too_late_is_sent_anew() {
    let mut bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    let late = bench.asked().await;
    assert_eq!(late.command.attempt, 1);
    late.refuse(Status::deadline_exceeded("too late"));
    let next = bench.asked().await;
    assert_eq!((next.kind(), next.command.attempt), (StepKind::Inspect, 2));
    next.succeed().await;
    assert_eq!(bench.finish(&id).await.state().outcome, Some(DeploymentOutcome::Succeeded));
}

#[tokio::test]
async fn a_lost_call_is_made_again_as_the_same_attempt() {
    let mut bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    for _ in 0..3 {
        let asked = bench.asked().await;
        assert_eq!(asked.command.attempt, 1);
        asked.refuse(Status::unavailable("not now"));
    }
    let follower = bench.finish(&id).await;
    let started = follower
        .records
        .iter()
        .filter(|r| matches!(&r.event, Event::StepStarted { step, .. } if step.kind == StepKind::Inspect));
    assert_eq!(started.count(), 1);
}

#[tokio::test]
async fn a_refusal_of_work_that_may_have_been_done_is_unknown() {
    let mut bench = Bench::start().await;
    for refusal in [Status::invalid_argument("what?"), Status::internal("oh")] {
        let id = bench.deploy("001_x").await;
        // The first call is lost before anything comes of it: the agent may have begun all the same.
        bench.asked_for(StepKind::Migrate).await.refuse(Status::unavailable("gone"));
        bench.asked().await.refuse(refusal);
        let mut follower = bench.follow(&id).await;
        follower.until("the refusal", has_ended(StepKind::Migrate)).await;
        assert!(matches!(follower.step(StepKind::Migrate), StepState::Unknown { .. }));
        bench.ask(&id, Request::Cancel).await.unwrap();
        follower.until("its end", |d| d.outcome.is_some()).await;
    }
}

#[tokio::test]
async fn a_report_that_makes_no_sense_ends_the_step_and_does_not_stop_the_deployment_for_ever() {
    let mut bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    let work = bench.asked_for(StepKind::Migrate).await.take();
    let report = StepReport::Verified(VerifyReport { checks: vec![] });
    work.end(Outcome::Succeeded { report }).await;
    let mut follower = bench.follow(&id).await;
    follower.until("the report", has_ended(StepKind::Migrate)).await;
    let StepState::Unknown { error, .. } = follower.step(StepKind::Migrate) else { panic!() };
    assert!(error.message.contains("another step's"), "{error:?}");
    follower.until("a person to be asked", |d| d.paused.is_some()).await;
}

#[tokio::test]
async fn an_agent_is_asked_to_cancel_until_it_has_heard() {
    let mut bench = Bench::start_hearing_cancels_from(3).await;
    let id = bench.deploy("001_x").await;
    let work = bench.asked_for(StepKind::Migrate).await.take();
    bench.ask(&id, Request::Cancel).await.unwrap();
    let heard = async {
        while bench.agent.cancels.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the third wish", heard).await;
    let error = StepError::new(ErrorClass::Cancelled, "cancelled");
    work.end(Outcome::Failed { error, report: None }).await;
    let mut follower = bench.follow(&id).await;
    follower.until("its end", |d| d.outcome == Some(DeploymentOutcome::Cancelled)).await;
    assert!(bench.store.holds().await.unwrap().is_empty(), "the environment is free again");
}

#[tokio::test]
async fn an_append_that_failed_costs_no_line_and_no_watcher_a_record() {
    let mut bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    let work = bench.asked_for(StepKind::Migrate).await.take();
    let sending = tokio::spawn(async move {
        for number in 1..=1000 {
            work.line(number).await;
        }
        work
    });
    // Somebody else writes into the log while lines come in.
    let open = Projection { outcome: None, at: String::new() };
    loop {
        let seq = bench.store.last_seq(&id).await.unwrap().unwrap().next();
        let event = Event::WaitingChanged { waiting: None };
        let record = Record { deployment: id.clone(), seq, at: now(), event };
        match bench.store.append(&[record], &open, Hold::Keep).await {
            Ok(()) => break,
            Err(error) => assert!(matches!(error, AppendError::Conflict { .. }), "{error}"),
        }
    }
    sending.await.unwrap().line(1001).await;
    let again = bench.asked().await;
    assert_eq!((again.kind(), again.command.attempt), (StepKind::Migrate, 1));
    let work = again.take();
    for number in 1..=1001 {
        work.line(number).await;
    }
    work.succeed().await;
    assert_eq!(bench.finish(&id).await.lines(), (1..=1001).collect::<Vec<_>>());
}
