//! Migrations that an agent has before their turn has come.

use std::sync::atomic::Ordering;

use stopover_model::report::{Outcome, StepError};
use stopover_proto::v1;

use super::*;

const ALL: [&str; 3] = ["001_a", "002_b", "003_c"];

fn migrates(deployment: &Deployment) -> Vec<&StepState> {
    match deployment.stages[0].targets.first() {
        Some(target) => target.migrations.iter().map(|m| &m.migrate.state).collect(),
        None => vec![&StepState::Pending; ALL.len()],
    }
}

fn failed() -> Outcome {
    Outcome::Failed { error: StepError::new(ErrorClass::Sql, "no such table"), report: None }
}

fn not_begun() -> Outcome {
    Outcome::NotBegun { why: "the migration before it did not succeed".into() }
}

#[tokio::test]
async fn all_are_in_the_log_before_one_call_carries_them() {
    let mut bench = Bench::start().await;
    let id = bench.create_of(&ALL, Uuid::new_v4()).await.unwrap();
    let asked = bench.asked_for(StepKind::Migrate).await;
    let mut follower = bench.follow(&id).await;
    follower.until("all starts", |d| d.running_steps().len() == 3).await;
    let behind = |request: &v1::MigrateRequest| request.behind.clone().unwrap().migration;
    assert_eq!(asked.then.iter().map(behind).collect::<Vec<_>>(), ["001_a", "002_b"]);

    let mut work = asked.take();
    work.say_success().await;
    follower.until("the first's end", |d| matches!(migrates(d)[0], StepState::Succeeded { .. })).await;
    assert!(matches!(migrates(follower.state())[1], StepState::Running { behind: false, .. }));
    work.place = 1;
    work.say(failed()).await;
    work.place = 2;
    work.say(not_begun()).await;
    follower.until("a person to be asked", |d| d.paused.is_some()).await;
    assert_eq!(*migrates(follower.state())[2], StepState::Pending);

    // It goes on where it stopped, with new attempts.
    bench.ask(&id, Request::Resume { databases: Vec::new() }).await.unwrap();
    let again = bench.asked().await;
    assert_eq!((again.command.attempt, again.then.len()), (2, 1));
    let mut work = again.take();
    work.say_success().await;
    work.place = 1;
    work.say_success().await;
    follower.until("its end", |d| d.outcome == Some(DeploymentOutcome::Succeeded)).await;
}

#[tokio::test]
async fn a_restarted_server_attaches_to_what_is_left_in_its_order() {
    let mut bench = Bench::start().await;
    let id = bench.create_of(&ALL, Uuid::new_v4()).await.unwrap();
    let work = bench.asked_for(StepKind::Migrate).await.take();
    work.say_success().await;
    let mut follower = bench.follow(&id).await;
    follower.until("the first's end", |d| matches!(migrates(d)[0], StepState::Succeeded { .. })).await;
    bench.restart().await;
    let again = bench.asked().await;
    assert_eq!(again.command.attempt, 1);
    assert_eq!(again.command.step.as_ref().unwrap().migration, "002_b");
    assert_eq!(again.then.len(), 1);
    let mut work = again.take();
    work.say_success().await;
    work.place = 1;
    work.say_success().await;
    let mut follower = bench.follow(&id).await;
    follower.until("its end", |d| d.outcome == Some(DeploymentOutcome::Succeeded)).await;
    let starts = follower
        .records
        .iter()
        .filter(|r| matches!(&r.event, Event::StepStarted { step, .. } if step.kind == StepKind::Migrate));
    assert_eq!(starts.count(), 3);
}

#[tokio::test]
async fn what_must_not_begin_any_more_is_only_looked_for() {
    let mut bench = Bench::start().await;
    let id = bench.create_of(&ALL, Uuid::new_v4()).await.unwrap();
    let work = bench.asked_for(StepKind::Migrate).await.take();
    work.say(failed()).await;
    let mut follower = bench.follow(&id).await;
    follower.until("the failure", |d| matches!(migrates(d)[0], StepState::Failed { .. })).await;
    drop(work);
    let again = bench.asked().await;
    assert!(again.only_look && again.then.len() == 1, "it must not begin");
    let mut work = again.take();
    work.say(not_begun()).await;
    work.place = 1;
    work.say(not_begun()).await;
    follower.until("a person to be asked", |d| d.paused.is_some()).await;
}

#[tokio::test]
async fn a_pause_takes_effect_before_the_next_migration() {
    let mut bench = Bench::start().await;
    let id = bench.create_of(&ALL, Uuid::new_v4()).await.unwrap();
    let mut work = bench.asked_for(StepKind::Migrate).await.take();
    bench.ask(&id, Request::Pause { reason: "lunch".into() }).await.unwrap();
    let withdrawn = async {
        while bench.agent.cancels.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("both to be withdrawn", withdrawn).await;
    work.say_success().await;
    for place in [1, 2] {
        work.place = place;
        work.say(not_begun()).await;
    }
    let mut follower = bench.follow(&id).await;
    follower.until("the agent to have nothing", |d| d.running_steps().is_empty() && d.paused.is_some()).await;
    assert!(matches!(migrates(follower.state())[0], StepState::Succeeded { .. }));
}
