use std::path::PathBuf;

use jiff::Timestamp;
use stopover_model::digest::Digest;
use stopover_model::event::StepKind;
use stopover_model::id::{Attempt, Epoch};
use stopover_model::migration::{Check, Expectation, Migration};
use stopover_model::pipeline::{BackupLevel, BackupSettings as Wanted, LockSettings};
use stopover_model::report::{Outcome, StepReport};
use stopover_proto::convert::AgentCommand;
use stopover_proto::tunnel::{AgentChannel, TunnelHandle};
use stopover_proto::v1;
use stopover_proto::v1::agent_client::AgentClient;
use stopover_proto::v1::step_update::Kind;
use tokio::task::JoinHandle;
use tonic::Status;

use super::*;
use crate::backup::ProgramPaths;
use crate::identity::join;
use crate::testing::server::TestServer;
use crate::testing::{context, prepared};

const SOON: Duration = Duration::from_secs(30);

struct Running {
    server: TestServer,
    stop: CancellationToken,
    agent: JoinHandle<Result<(), RunError>>,
    _state: tempfile::TempDir,
}

async fn running(url: &str) -> Running {
    let server = TestServer::start().await;
    let state = tempfile::tempdir().unwrap();
    let identity = join(&server.url, &server.token, &"agent-1".parse().unwrap()).await.unwrap();
    IdentityStore::new(state.path()).save(&identity).unwrap();
    let database = DatabaseConfig {
        name: "users".parse().unwrap(),
        url: url.into(),
        labels: stopover_model::wave::Labels::default(),
        password_file: None,
        password_command: None,
        sslmode: None,
        sslrootcert: None,
        scratch_url: None,
        data_path: None,
        directory: std::path::PathBuf::new(),
    };
    let config = AgentConfig {
        server: server.url.clone(),
        state_dir: state.path().to_owned(),
        backup_directory: state.path().join("backups"),
        vault: crate::vault::Vault::directory(state.path().join("backups")),
        holds_secret: false,
        backup_command: None,
        backup_jobs: 1,
        programs: ProgramPaths::default(),
        databases: vec![database],
        web: crate::web::WebConfig::default(),
    };
    let stop = CancellationToken::new();
    let agent = tokio::spawn(run(config, stop.clone()));
    Running { server, stop, agent, _state: state }
}

impl Running {
    async fn tunnel(&mut self) -> (AgentClient<AgentChannel>, TunnelHandle) {
        let tunnel =
            tokio::time::timeout(SOON, self.server.tunnels.recv()).await.expect("the agent connects");
        let (channel, handle) = tunnel.unwrap();
        (AgentClient::new(channel), handle)
    }

    async fn stopped(self) -> Duration {
        let began = std::time::Instant::now();
        self.stop.cancel();
        tokio::time::timeout(SOON, self.agent).await.expect("the agent stops").unwrap().unwrap();
        began.elapsed()
    }
}

fn command(url: &str, kind: StepKind) -> AgentCommand {
    let context = context(url, kind);
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

fn verify(url: &str, sql: &str) -> v1::VerifyRequest {
    let command = command(url, StepKind::Verify);
    let check = Check { name: "x".to_owned(), sql: sql.to_owned(), expect: Expectation::Rows(1) };
    v1::VerifyRequest {
        command: Some(command.into()),
        checks: vec![check.into()],
        system_identifier: String::new(),
        monitors: Vec::new(),
    }
}

#[tokio::test]
async fn work_goes_on_while_the_tunnel_is_down_and_is_found_again() {
    let database = prepared("").await;
    let mut running = running(database.url()).await;
    let (mut client, handle) = running.tunnel().await;
    let request = verify(database.url(), "SELECT pg_sleep(1)");
    let mut updates = client.verify(request.clone()).await.unwrap().into_inner();
    let run = updates.message().await.unwrap().unwrap().run;
    handle.close(Status::unavailable("the server restarts"));
    while updates.message().await.is_ok_and(|update| update.is_some()) {}

    let (mut client, _handle) = running.tunnel().await;
    let mut updates = client.verify(request).await.unwrap().into_inner();
    let mut last = None;
    while let Some(update) = updates.message().await.unwrap() {
        assert_eq!(update.run, run, "it is the same run");
        last = update.kind;
    }
    let Some(Kind::Outcome(outcome)) = last else { panic!("{last:?}") };
    assert!(matches!(outcome.kind, Some(v1::outcome::Kind::Succeeded(_))), "{outcome:?}");
    assert!(running.stopped().await < Duration::from_secs(5));
}

#[tokio::test]
async fn a_step_that_runs_may_end_before_the_agent_does() {
    let database = prepared("").await;
    let mut running = running(database.url()).await;
    let (mut client, _handle) = running.tunnel().await;
    let request = verify(database.url(), "SELECT pg_sleep(2)");
    let mut updates = client.verify(request).await.unwrap().into_inner();
    updates.message().await.unwrap().unwrap();
    running.stop.cancel();
    let mut last = None;
    while let Ok(Some(update)) = updates.message().await {
        last = update.kind;
    }
    assert!(matches!(last, Some(Kind::Outcome(_))), "{last:?}");
    running.stopped().await;
}

#[tokio::test]
async fn an_agent_that_has_not_joined_says_so() {
    let state = tempfile::tempdir().unwrap();
    let config = AgentConfig {
        server: "https://127.0.0.1:1".parse().unwrap(),
        state_dir: state.path().to_owned(),
        backup_directory: PathBuf::from("/nonexistent"),
        vault: crate::vault::Vault::directory(PathBuf::from("/nonexistent")),
        holds_secret: false,
        backup_command: None,
        backup_jobs: 1,
        programs: ProgramPaths::default(),
        databases: Vec::new(),
        web: crate::web::WebConfig::default(),
    };
    let error = run(config, CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("stopover-agent join"), "{error}");
}

/// The directory of the sample, as its files.
fn the_guides_migration() -> Migration {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/samples/001_add_onboarding_completed");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
    });
    Migration::parse("001_add_onboarding_completed".parse().unwrap(), files.collect()).unwrap()
}

async fn succeeded(updates: Result<tonic::Response<tonic::Streaming<v1::StepUpdate>>, Status>) -> StepReport {
    let mut updates = updates.unwrap().into_inner();
    let mut last = None;
    while let Some(update) = updates.message().await.unwrap() {
        last = update.kind;
    }
    let Some(Kind::Outcome(outcome)) = last else { panic!("{last:?}") };
    match Outcome::try_from(outcome).unwrap() {
        Outcome::Succeeded { report } => report,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_guides_migration_goes_up_and_comes_down_through_the_tunnel() {
    let database = prepared("").await;
    stopover_cluster::seed::users(&database.client().await.unwrap(), 3_000, 1).await.unwrap();
    let mut running = running(database.url()).await;
    let (mut client, _handle) = running.tunnel().await;
    let migration = the_guides_migration();
    let step = |kind, epoch| {
        let mut command = command(database.url(), kind);
        command.step.migration = command.step.migration.map(|_| migration.id.clone());
        command.epoch = Epoch(epoch);
        Some(v1::Command::from(command))
    };
    let bundle = v1::MigrationBundle::from(&migration);
    let migration_digest = migration.digest.as_bytes().to_vec();
    let locks = Some(v1::LockSettings::from(LockSettings::default()));

    let request = v1::InspectRequest {
        command: step(StepKind::Inspect, 1),
        migrations: vec![bundle.clone()],
        sample: None,
    };
    let StepReport::Inspected(found) = succeeded(client.inspect(request).await).await else { panic!() };
    assert_eq!((found.tables[0].rows, &found.existing[..]), (3_000, &[][..]));
    let system_identifier = found.system_identifier;

    let request = v1::BackupRequest {
        command: step(StepKind::Backup, 2),
        system_identifier: system_identifier.clone(),
        backup: Some(Wanted::of(BackupLevel::Decoded).into()),
        ..v1::BackupRequest::default()
    };
    let StepReport::BackedUp(_) = succeeded(client.backup(request).await).await else { panic!() };

    let request = v1::MigrateRequest {
        behind: None,
        only_look: false,
        then: vec![],
        command: step(StepKind::Migrate, 3),
        migration: Some(bundle.clone()),
        migration_digest: migration_digest.clone(),
        variant: v1::Variant::Standard.into(),
        locks,
        system_identifier: system_identifier.clone(),
        resolution: 0,
        backfill: None,
        throttle: None,
        restore_saved: String::new(),
        saving: None,
        begin_within: None,
        batches_within: None,
    };
    let StepReport::Migrated(migrated) = succeeded(client.migrate(request).await).await else { panic!() };
    assert!(!migrated.already_applied);

    let checks = migration.manifest.verify.iter().cloned().map(v1::Check::from).collect();
    let request = v1::VerifyRequest {
        command: step(StepKind::Verify, 4),
        checks,
        system_identifier: system_identifier.clone(),
        monitors: Vec::new(),
    };
    let StepReport::Verified(verified) = succeeded(client.verify(request).await).await else { panic!() };
    assert_eq!(verified.checks.len(), migration.manifest.verify.len());

    let request = v1::RollbackRequest {
        command: step(StepKind::Rollback, 5),
        migration: Some(bundle),
        migration_digest,
        locks,
        system_identifier,
        resolution: 0,
        backfill: None,
        throttle: None,
        by_hand: String::new(),
        saving: None,
    };
    let StepReport::RolledBack(rolled_back) = succeeded(client.rollback(request).await).await else {
        panic!()
    };
    assert_eq!(rolled_back.schema_restored, Some(true), "{:?}", rolled_back.differences);
    running.stopped().await;
}
