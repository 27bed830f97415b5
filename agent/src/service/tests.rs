use std::time::Duration;

use jiff::Timestamp;
use stopover_model::digest::Digest;
use stopover_model::id::Epoch;
use stopover_model::migration::Expectation;
use stopover_model::pipeline::LockSettings;
use stopover_model::report::Outcome;
use stopover_proto::v1::step_update::Kind;
use tokio_stream::StreamExt as _;
use tonic::Code;

use super::*;
use crate::backup::ProgramPaths;
use crate::testing::{context, migration, prepared};

const NOWHERE: &str = "host=127.0.0.1 port=1 dbname=x user=x";

fn service(url: &str) -> AgentService {
    let context = context(url, StepKind::Verify);
    let settings = Settings {
        agent: context.agent,
        environment: context.environment,
        databases: [("users".parse().unwrap(), context.database)].into(),
        backup: BackupSettings {
            directory: "/nonexistent".into(),
            vault: crate::vault::Vault::directory("/nonexistent".into()),
            jobs: 1,
            command: None,
            scratch: "/nonexistent".into(),
            programs: ProgramPaths::default(),
        },
        web: crate::web::Web::new(crate::web::WebConfig::default()).unwrap(),
    };
    AgentService::new(settings, Arc::new(Registry::new()))
}

fn command(kind: StepKind) -> AgentCommand {
    let context = context(NOWHERE, kind);
    AgentCommand {
        environment: context.environment,
        deployment: context.deployment,
        step: context.step,
        attempt: Attempt(1),
        epoch: Epoch(1),
        plan_digest: Digest::from_bytes([1; 32]),
        not_after: Timestamp::now() + Duration::from_mins(1),
        resume: None,
    }
}

fn verify(command: AgentCommand, sql: &str) -> Request<v1::VerifyRequest> {
    let check = Check { name: "x".to_owned(), sql: sql.to_owned(), expect: Expectation::Rows(1) };
    Request::new(v1::VerifyRequest {
        command: Some(command.into()),
        checks: vec![check.into()],
        system_identifier: String::new(),
        monitors: Vec::new(),
    })
}

fn migrate(command: AgentCommand, migration: &Migration, digest: Digest) -> Request<v1::MigrateRequest> {
    Request::new(v1::MigrateRequest {
        behind: None,
        only_look: false,
        then: vec![],
        command: Some(command.into()),
        migration: Some(migration.into()),
        migration_digest: digest.as_bytes().to_vec(),
        variant: v1::Variant::Standard.into(),
        locks: Some(LockSettings::default().into()),
        system_identifier: String::new(),
        resolution: 0,
        backfill: None,
        throttle: None,
        restore_saved: String::new(),
        saving: None,
        begin_within: None,
        batches_within: None,
    })
}

fn refusal<T>(result: Result<T, Status>) -> Status {
    result.err().expect("it is refused")
}

async fn updates(updates: Response<Updates>) -> Vec<v1::StepUpdate> {
    let collected = updates.into_inner().map(Result::unwrap).collect::<Vec<_>>();
    tokio::time::timeout(Duration::from_secs(30), collected).await.expect("the step ends")
}

fn lines(updates: &[v1::StepUpdate]) -> Vec<u64> {
    let number = |update: &v1::StepUpdate| match &update.kind {
        Some(Kind::Line(line)) => Some(line.line_number),
        _ => None,
    };
    updates.iter().filter_map(number).collect()
}

fn outcome(updates: &[v1::StepUpdate]) -> Outcome {
    match &updates.last().unwrap().kind {
        Some(Kind::Outcome(outcome)) => outcome.clone().try_into().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_that_is_not_for_this_agent_is_refused() {
    let service = service(NOWHERE);
    let refused = async |change: fn(&mut AgentCommand)| {
        let mut command = command(StepKind::Verify);
        change(&mut command);
        refusal(service.verify(verify(command, "SELECT 1")).await)
    };
    let status = refused(|c| c.environment = "production".parse().unwrap()).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("works for the environment staging"), "{status}");
    let status = refused(|c| c.step.database = "orders".parse().unwrap()).await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("agent.toml names users"), "{status}");
    let status = refused(|c| c.not_after = Timestamp::UNIX_EPOCH).await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let status = refused(|c| c.step.kind = StepKind::Migrate).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = refusal(service.verify(Request::new(v1::VerifyRequest::default())).await);
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "`command` is missing"));
    let status = refusal(service.rehearse(Request::new(v1::RehearseRequest::default())).await);
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "`command` is missing"));
    assert_eq!(service.work.running(), 0);
}

#[tokio::test]
async fn content_that_is_not_what_was_agreed_to_is_refused() {
    let service = service(NOWHERE);
    let agreed = migration(&[("up.sql", "SELECT 1")]);
    let other = migration(&[("up.sql", "DROP TABLE users")]);
    let status = refusal(service.migrate(migrate(command(StepKind::Migrate), &other, agreed.digest)).await);
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("digest"), "{status}");
    let mut elsewhere = command(StepKind::Migrate);
    elsewhere.step.migration = Some("002_y".parse().unwrap());
    let status = refusal(service.migrate(migrate(elsewhere, &agreed, agreed.digest)).await);
    assert_eq!(status.code(), Code::InvalidArgument);
    let mut batched = migrate(command(StepKind::Migrate), &agreed, agreed.digest);
    batched.get_mut().variant = v1::Variant::Batched.into();
    let status = refusal(service.migrate(batched).await);
    assert!(status.message().contains("has no up.batch.sql"), "{status}");
}

#[tokio::test]
async fn a_caller_that_comes_back_gets_the_rest_and_the_same_outcome() {
    let database = prepared("").await;
    let service = service(database.url());
    let first = service.verify(verify(command(StepKind::Verify), "SELECT pg_sleep(0.3)")).await.unwrap();
    drop(first);
    let all = updates(service.verify(verify(command(StepKind::Verify), "SELECT 1")).await.unwrap()).await;
    assert!(matches!(outcome(&all), Outcome::Succeeded { .. }), "{all:?}");
    assert_eq!(lines(&all), [1]);
    let mut resumed = command(StepKind::Verify);
    resumed.resume = Some((all[0].run.parse().unwrap(), 1));
    let rest = updates(service.verify(verify(resumed.clone(), "SELECT 1")).await.unwrap()).await;
    assert_eq!((lines(&rest), rest[0].run.as_str()), (vec![], all[0].run.as_str()));
    assert_eq!(outcome(&rest), outcome(&all));
    resumed.resume = Some(("another-run".parse().unwrap(), 1));
    assert_eq!(lines(&updates(service.verify(verify(resumed, "SELECT 1")).await.unwrap()).await), [1]);
}

#[tokio::test]
async fn a_newer_attempt_takes_over_and_an_older_one_is_turned_away() {
    let database = prepared("").await;
    let service = service(database.url());
    let first = service.verify(verify(command(StepKind::Verify), "SELECT pg_sleep(600)")).await.unwrap();
    let mut newer = command(StepKind::Verify);
    newer.attempt = Attempt(2);
    let second = updates(service.verify(verify(newer.clone(), "SELECT 1")).await.unwrap()).await;
    assert!(matches!(outcome(&second), Outcome::Succeeded { .. }), "{second:?}");
    assert!(outcome(&updates(first).await).error().unwrap().message.contains("cancelled"));
    let status = refusal(service.verify(verify(command(StepKind::Verify), "SELECT 1")).await);
    assert_eq!(status.code(), Code::Aborted);
}

#[tokio::test]
async fn cancelling_reaches_the_database_and_says_whether_there_was_anything() {
    let database = prepared("").await;
    let service = service(database.url());
    let command = command(StepKind::Verify);
    let cancel = || {
        Request::new(v1::CancelRequest {
            only_behind: false,
            deployment: command.deployment.to_string(),
            step: Some(command.step.clone().into()),
            attempt: 1,
        })
    };
    assert!(!service.cancel(cancel()).await.unwrap().into_inner().was_running);
    let running = service.verify(verify(command.clone(), "SELECT pg_sleep(600)")).await.unwrap();
    assert!(service.cancel(cancel()).await.unwrap().into_inner().was_running);
    assert!(outcome(&updates(running).await).error().unwrap().message.contains("cancelled"));
    assert!(!service.cancel(cancel()).await.unwrap().into_inner().was_running);
}

#[tokio::test]
async fn an_agent_says_what_it_serves() {
    let described =
        service(NOWHERE).describe(Request::new(v1::DescribeRequest {})).await.unwrap().into_inner();
    assert_eq!(
        (described.environment.as_str(), &described.databases[..]),
        ("staging", &["users".to_owned()][..])
    );
}
