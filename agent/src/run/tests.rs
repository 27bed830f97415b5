use std::path::PathBuf;

use jiff::Timestamp;
use stopover_model::digest::Digest;
use stopover_model::event::StepKind;
use stopover_model::id::{Attempt, Epoch};
use stopover_model::migration::{Check, Expectation};
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
use crate::postgres::DatabaseConfig;
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
        password_file: None,
        password_command: None,
        sslmode: None,
        sslrootcert: None,
    };
    let config = AgentConfig {
        server: server.url.clone(),
        state_dir: state.path().to_owned(),
        backup_directory: PathBuf::from("/nonexistent"),
        programs: ProgramPaths::default(),
        databases: vec![database],
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

fn verify(url: &str, sql: &str) -> v1::VerifyRequest {
    let context = context(url, StepKind::Verify);
    let command = AgentCommand {
        environment: context.environment,
        deployment: context.deployment,
        step: context.step,
        attempt: Attempt(1),
        epoch: Epoch(1),
        plan_digest: Digest::from_bytes([1; 32]),
        not_after: Timestamp::now() + Duration::from_mins(1),
        resume: None,
    };
    let check = Check { name: "x".to_owned(), sql: sql.to_owned(), expect: Expectation::Rows(1) };
    v1::VerifyRequest {
        command: Some(command.into()),
        checks: vec![check.into()],
        system_identifier: String::new(),
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
        programs: ProgramPaths::default(),
        databases: Vec::new(),
    };
    let error = run(config, CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("stopover-agent join"), "{error}");
}
