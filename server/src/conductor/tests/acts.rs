//! Recording what was applied before, and deployments, which keep out of each other's way.

use stopover_model::digest::Digest;
use stopover_model::event::Waiting;
use stopover_model::history::{AppliedMigration, Origin, Recorded};
use stopover_model::report::StepError;
use stopover_proto::v1;
use tokio::task::JoinHandle;

use super::*;

type Answer = Result<Result<Recorded, StepError>, ConductError>;

fn wish(database: &str) -> RecordApplied {
    RecordApplied {
        environment: "staging".parse().unwrap(),
        database: database.parse().unwrap(),
        migrations: vec![AppliedMigration {
            migration: "001_x".parse().unwrap(),
            digest: Digest::from_bytes([1; 32]),
        }],
        origin: Origin::Baseline { by: person() },
    }
}

fn record(bench: &Bench) -> JoinHandle<Answer> {
    let conductor = bench.conductor.clone();
    tokio::spawn(async move { conductor.record_applied(wish("users")).await })
}

async fn recording(bench: &mut Bench) -> agent::Recording {
    soon("a wish to record", bench.agent.recordings.recv()).await.unwrap()
}

fn done() -> v1::RecordResponse {
    let recorded = v1::Recorded { written: vec!["001_x".into()], already: vec![] };
    v1::RecordResponse { result: Some(v1::record_response::Result::Recorded(recorded)) }
}

#[tokio::test]
async fn no_deployment_gets_in_while_something_is_recorded() {
    let mut bench = Bench::start().await;
    let answer = record(&bench);
    let recording = recording(&mut bench).await;
    let act = recording.request.act.clone().unwrap();
    assert_eq!((act.environment.as_str(), act.database.as_str()), ("staging", "users"));
    let id = bench.deploy("002_y").await;
    let mut follower = bench.follow(&id).await;
    follower.until("the wait", |d| matches!(&d.waiting, Some(Waiting::EnvironmentHeld { .. }))).await;
    assert!(bench.agent.asked.is_empty(), "the agent hears nothing of the deployment");
    let second = bench.conductor.record_applied(wish("users")).await.unwrap_err();
    assert!(matches!(second, ConductError::OtherAct(_)), "{second}");

    recording.verdict.send(Ok(done())).unwrap();
    let recorded = soon("its end", answer).await.unwrap().unwrap().unwrap();
    assert_eq!(recorded.written.len(), 1);
    let follower = bench.finish(&id).await;
    assert_eq!(follower.state().outcome, Some(DeploymentOutcome::Succeeded));
    let epochs = follower.records.iter().filter_map(|record| match &record.event {
        Event::StepStarted { epoch, .. } => Some(epoch.0),
        _ => None,
    });
    assert!(epochs.min().unwrap() > act.epoch, "what comes later has a higher epoch");
}

#[tokio::test]
async fn nothing_is_recorded_where_a_deployment_is() {
    let mut bench = Bench::start().await;
    let id = bench.deploy("001_x").await;
    let work = bench.asked_for(StepKind::Migrate).await.take();
    let refused = bench.conductor.record_applied(wish("users")).await.unwrap_err();
    assert!(matches!(&refused, ConductError::Held { by, .. } if *by == id), "{refused}");
    assert!(bench.agent.recordings.is_empty());
    work.succeed().await;
    bench.finish(&id).await;
}

#[tokio::test]
async fn an_agent_that_is_lost_meanwhile_leaves_the_outcome_open_and_the_environment_free() {
    let mut bench = Bench::start().await;
    let answer = record(&bench);
    recording(&mut bench).await.verdict.send(Err(Status::unavailable("gone"))).unwrap();
    let error = soon("its end", answer).await.unwrap().unwrap().unwrap_err();
    assert_eq!((error.class, error.effect), (ErrorClass::Transient, Effect::Possible));
    assert!(error.hint.unwrap().contains("again"));
    let id = bench.deploy("001_x").await;
    bench.finish(&id).await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_end_it() {
    let mut bench = Bench::start().await;
    let answer = record(&bench);
    let recording = recording(&mut bench).await;
    answer.abort();
    assert!(answer.await.unwrap_err().is_cancelled());
    let id = bench.deploy("001_x").await;
    let mut follower = bench.follow(&id).await;
    follower.until("the wait", |d| matches!(&d.waiting, Some(Waiting::EnvironmentHeld { .. }))).await;
    recording.verdict.send(Ok(done())).unwrap();
    bench.finish(&id).await;
}

#[tokio::test]
async fn a_database_that_nobody_serves_is_said() {
    let bench = Bench::start().await;
    let unknown = bench.conductor.record_applied(wish("orders")).await.unwrap_err();
    assert_eq!(unknown.to_string(), "no agent of staging serves a database orders; there is users");
}
