//! What people ask of deployments, and deployments of each other.

use stopover_model::deployment::IllegalEvent;
use stopover_model::event::{DeploymentKind, Waiting};

use super::*;
use crate::store::{Hold, Projection};

#[tokio::test]
async fn a_second_deployment_waits_for_the_environment_and_then_goes_on() {
    let mut bench = Bench::start().await;
    let first = bench.deploy("001_x").await;
    let work = bench.asked_for(StepKind::Migrate).await.take();
    let second = bench.deploy("002_y").await;
    let mut follower = bench.follow(&second).await;
    let held =
        |d: &Deployment| matches!(&d.waiting, Some(Waiting::EnvironmentHeld { by, .. }) if *by == first);
    follower.until("the wait", held).await;
    assert!(bench.agent.asked.is_empty(), "the agent hears nothing of the second");

    // Who waits goes on waiting after a restart.
    bench.restart().await;
    drop(work);
    bench.asked().await.succeed().await;
    assert_eq!(bench.finish(&first).await.state().outcome, Some(DeploymentOutcome::Succeeded));
    let second = bench.finish(&second).await;
    assert_eq!(second.state().outcome, Some(DeploymentOutcome::Succeeded));
    let epochs: Vec<_> = second.records.iter().filter_map(epoch_of).collect();
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    assert!(bench.store.holds().await.unwrap().is_empty());
}

fn epoch_of(record: &Record) -> Option<u64> {
    match &record.event {
        Event::StepStarted { epoch, .. } => Some(epoch.0),
        _ => None,
    }
}

#[tokio::test]
async fn a_deployment_that_ended_says_so_and_a_rollback_opens_it_again() {
    let mut bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    let end = bench.finish(&id).await.state().seq;
    let late = bench.ask(&id, Request::Cancel).await.unwrap_err();
    assert_eq!(late.to_string(), "the deployment has ended: succeeded");
    assert!(matches!(late, ConductError::Illegal(IllegalEvent::Ended(_))));

    let seq = bench.ask(&id, Request::Rollback { stage: None, to: None }).await.unwrap();
    assert_eq!(seq, end.next());
    assert_eq!(bench.store.holds().await.unwrap().values().collect::<Vec<_>>(), [&id]);
    bench.asked_for(StepKind::Rollback).await.succeed().await;
    let mut follower = bench.follow(&id).await;
    follower.until("the rollback's end", |d| d.outcome == Some(DeploymentOutcome::RolledBack)).await;
    assert!(bench.store.holds().await.unwrap().is_empty());
    let nothing = bench.ask(&id, Request::Rollback { stage: None, to: None }).await.unwrap_err();
    assert!(matches!(nothing, ConductError::NothingToRollBack(_)), "{nothing}");
}

#[tokio::test]
async fn a_rollback_does_not_enter_an_environment_that_another_deployment_is_in() {
    let mut bench = Bench::start().await;
    let first = bench.deploy("001_x").await;
    bench.finish(&first).await;
    let second = bench.deploy("002_y").await;
    let inspection = bench.asked().await;
    let held = bench.ask(&first, Request::Rollback { stage: None, to: None }).await.unwrap_err();
    assert!(matches!(&held, ConductError::Held { by, .. } if *by == second), "{held}");
    inspection.succeed().await;
    bench.finish(&second).await;
    bench.ask(&first, Request::Rollback { stage: None, to: None }).await.unwrap();
}

#[tokio::test]
async fn the_same_request_is_the_same_deployment_and_not_another() {
    let bench = Bench::start().await;
    let request_id = Uuid::new_v4();
    let first = bench.create("001_x", request_id).await.unwrap();
    assert_eq!(bench.create("001_x", request_id).await.unwrap(), first);
    let changed = Create {
        pipeline: pipeline("changed-since"),
        migrations: vec![migration("001_x")],
        by: person(),
        kind: DeploymentKind::Migration,
        request_id,
        expected_digest: None,
        again: None,
        restore_saved: false,
    };
    assert_eq!(bench.conductor.create(changed).await.unwrap().0, first);
    let other = bench.create("002_y", request_id).await.unwrap_err();
    assert!(matches!(&other, ConductError::RequestUsed(id) if *id == first), "{other}");
}

#[tokio::test]
async fn a_log_that_makes_no_sense_is_left_alone_and_said() {
    let mut bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    bench.finish(&id).await;
    bench.conductor.shutdown().await;
    let last = bench.store.last_seq(&id).await.unwrap().unwrap();
    let record = Record {
        deployment: id.clone(),
        seq: last.next(),
        at: now(),
        event: Event::Resumed { by: stopover_model::event::Actor::Pipeline, databases: Vec::new() },
    };
    let open = Projection { outcome: None, at: String::new() };
    bench.store.append(&[record], &open, Hold::Keep).await.unwrap();
    bench.restart().await;
    for _ in 0..2 {
        let error = bench.ask(&id, Request::Cancel).await.unwrap_err();
        assert!(matches!(&error, ConductError::Unreadable(which) if *which == id), "{error}");
    }
}

#[tokio::test]
async fn a_store_that_fails_is_said_at_once() {
    let bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    let mut follower = bench.follow(&id).await;
    follower.until("the inspection", |d| !d.running_steps().is_empty()).await;
    bench.store.close().await;
    for _ in 0..3 {
        let error = bench.ask(&id, Request::Cancel).await.unwrap_err();
        assert!(matches!(error, ConductError::Store(_)), "{error}");
    }
}

#[tokio::test]
async fn a_watch_from_beyond_the_log_is_refused() {
    let bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    for after in [1_000, u64::MAX] {
        let Err(error) = bench.conductor.watch(&id, Seq(after)).await else { panic!("{after}") };
        assert!(matches!(error, ConductError::BeyondLog { .. }), "{error}");
    }
    let Err(error) = bench.conductor.watch(&DeploymentId::from_random(9), Seq(3)).await else { panic!() };
    assert!(matches!(error, ConductError::NoDeployment(_)), "{error}");
}
