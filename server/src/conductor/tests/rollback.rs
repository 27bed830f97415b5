//! Stages that are taken back: what stands in the way, where it stops, and what is not deployed again by itself.

use stopover_model::event::{Resolution, StageOutcome};
use stopover_model::report::{Outcome, StepError};
use stopover_model::rollback::{LaterMigration, MigrationRollback, RollbackPlan};

use super::*;

fn back() -> Request {
    Request::Rollback { stage: None, to: None }
}

fn failed(message: &str) -> Outcome {
    Outcome::Failed { error: StepError::new(ErrorClass::Sql, message), report: None }
}

/// Taken back to its end.
async fn rolled_back(bench: &mut Bench, id: &DeploymentId) {
    bench.ask(id, back()).await.unwrap();
    bench.finish_from_now(id).await;
}

#[tokio::test]
async fn what_was_rolled_back_is_deployed_again_on_somebodys_word_only() {
    let mut bench = Bench::start().await;
    let first = bench.deploy("001_x").await;
    bench.finish(&first).await;
    rolled_back(&mut bench, &first).await;

    let refused = bench.create("001_x", Uuid::new_v4()).await.unwrap_err();
    assert!(matches!(refused, ConductError::Quarantined(_)), "{refused}");
    let text = refused.to_string();
    for part in ["001_x with this content was rolled back in staging", "by anna", first.as_str(), "--again"] {
        assert!(text.contains(part), "{text}");
    }
    bench.restart().await;
    assert!(bench.create("001_x", Uuid::new_v4()).await.is_err(), "a restart forgets nothing");
    let plan = bench.plan("001_x").await;
    assert!(plan.unwrap_err().message.contains("was rolled back in staging"));

    let again = bench.create_again("001_x", "the disk was full").await.unwrap();
    let done = bench.finish(&again).await;
    assert_eq!(done.state().outcome, Some(DeploymentOutcome::Succeeded));
    assert_eq!(done.state().again.as_deref(), Some("the disk was full"));
    let third = bench.deploy("001_x").await;
    assert_eq!(bench.finish(&third).await.state().outcome, Some(DeploymentOutcome::Succeeded));
}

#[tokio::test]
async fn a_rollback_that_fails_keeps_its_environment_until_somebody_decides() {
    let mut bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    bench.finish(&id).await;
    bench.ask(&id, back()).await.unwrap();
    bench.asked_for(StepKind::Rollback).await.take().end(failed("a view is in the way")).await;
    let mut follower = bench.follow(&id).await;
    follower.until("the failure", |d| d.stages[0].rollback_failed()).await;
    assert_eq!(bench.store.holds().await.unwrap().values().collect::<Vec<_>>(), [&id]);
    let listed = bench.store.list_deployments(1).await.unwrap();
    assert_eq!((listed[0].at.as_str(), listed[0].outcome), ("staging: ROLLBACK FAILED", None));

    // It stands so after a restart, too.
    bench.restart().await;
    bench.ask(&id, Request::Resume { databases: Vec::new() }).await.unwrap();
    let asked = bench.asked_for(StepKind::Rollback).await;
    assert_eq!(asked.command.attempt, 2);
    asked.take().end(failed("it is still in the way")).await;
    let mut follower = bench.follow(&id).await;
    let again = |d: &Deployment| d.stages[0].rollback_failed() && step_attempts(d) == 2;
    follower.until("the second failure", again).await;

    bench.ask(&id, Request::Resolve { step: None, resolution: Resolution::Applied }).await.unwrap();
    let asked = bench.asked_for(StepKind::Rollback).await;
    assert_eq!(asked.by_hand, "anna");
    asked.succeed().await;
    let mut follower = bench.follow(&id).await;
    follower.until("its end", |d| d.outcome == Some(DeploymentOutcome::RolledBack)).await;
    assert!(bench.store.holds().await.unwrap().is_empty());
}

fn step_attempts(deployment: &Deployment) -> u32 {
    deployment.stages[0].targets[0].migrations[0].rollback.attempts
}

#[tokio::test]
async fn a_rollback_that_is_given_up_frees_the_environment() {
    let mut bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    bench.finish(&id).await;
    bench.ask(&id, back()).await.unwrap();
    bench.asked_for(StepKind::RollbackBackup).await.take().end(failed("the disk is full")).await;
    let mut follower = bench.follow(&id).await;
    follower.until("the failure", |d| d.stages[0].rollback_failed()).await;
    bench.ask(&id, Request::Cancel).await.unwrap();
    follower.until("its end", |d| d.outcome == Some(DeploymentOutcome::RollbackFailed)).await;
    assert!(bench.store.holds().await.unwrap().is_empty());
    let ended = &follower.state().stages[0].status;
    assert!(matches!(
        ended,
        stopover_model::deployment::StageStatus::Ended { outcome: StageOutcome::RollbackFailed, .. }
    ));
}

#[tokio::test]
async fn what_others_have_applied_on_top_stands_in_the_way_before_anything_begins() {
    let mut bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    let end = bench.finish(&id).await.state().seq;
    let later = LaterMigration {
        migration: "002_y".parse().unwrap(),
        deployment: "zzzzzzzzzz".parse().unwrap(),
        at: now(),
    };
    *bench.agent.plan.lock().unwrap() = RollbackPlan { later: vec![later], ..RollbackPlan::default() };
    let refused = bench.conductor.roll_back(&id, person(), None, None).await.unwrap_err();
    assert!(matches!(refused, ConductError::NotLast(_)), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("002_y (deployment zzzzzzzzzz)"), "{text}");
    assert!(text.contains("stopover rollback zzzzzzzzzz --stage staging"), "{text}");
    assert_eq!(bench.store.last_seq(&id).await.unwrap(), Some(end), "nothing has happened");

    bench.agent.plan.lock().unwrap().later.clear();
    bench.conductor.roll_back(&id, person(), None, None).await.unwrap();
    bench.finish_from_now(&id).await;
}

#[tokio::test]
async fn the_plan_of_a_rollback_is_the_agents_in_the_order_of_the_way_back() {
    let mut bench = Bench::start().await;
    let id = bench.create_of(&["001_x", "002_y"], Uuid::new_v4()).await.unwrap();
    bench.finish(&id).await;
    let found = MigrationRollback {
        migration: "002_y".parse().unwrap(),
        applied: Some(now()),
        takes: vec![],
        statements: vec![],
    };
    *bench.agent.plan.lock().unwrap() = RollbackPlan { migrations: vec![found], ..RollbackPlan::default() };
    let plan = bench.conductor.plan_rollback(&id, None, Some("001_x".parse().unwrap())).await.unwrap();
    assert_eq!(plan.environment.as_str(), "staging");
    let (database, found) = &plan.databases[0];
    assert_eq!((database.as_str(), found.as_ref().unwrap().migrations.len()), ("users", 1));
    let nothing = bench.conductor.plan_rollback(&id, None, Some("002_y".parse().unwrap())).await.unwrap_err();
    assert_eq!(
        nothing.to_string(),
        "nothing behind 002_y is in staging: there is nothing to roll back to it"
    );
}
