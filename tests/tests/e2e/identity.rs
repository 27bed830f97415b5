//! Who may be whom: join tokens, certificates, operators.

use std::time::Duration;

use stopover_model::id::EnvironmentName;
use stopover_proto::v1::agent_server::{Agent, AgentServer};
use stopover_proto::v1::control_client::ControlClient;
use stopover_proto::{tunnel, v1};
use stopover_tests::{Process, Stack, eventually};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Response, Status};

async fn channel(stack: &Stack, identity: Option<Identity>) -> Channel {
    let ca = std::fs::read(&stack.cli.ca).unwrap();
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name("localhost");
    if let Some(identity) = identity {
        tls = tls.identity(identity);
    }
    let endpoint = Endpoint::from_shared(stack.cli.server.clone()).unwrap().tls_config(tls).unwrap();
    endpoint.connect().await.unwrap()
}

/// The key and certificate that the agent of this environment was given.
fn identity(stack: &Stack, environment: &str) -> Identity {
    let file = stack.directory().join(environment).join("identity.json");
    let stored: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    Identity::from_pem(stored["certificate"].as_str().unwrap(), stored["key"].as_str().unwrap())
}

#[tokio::test]
async fn a_join_token_works_once() {
    let stack = Stack::start().await;
    stack.cli.ok(&["environment", "create", "staging"]).await;
    let token = stack.cli.run(&["--json", "agent", "token", "staging"]).await.json();
    let token = token[0]["token"].as_str().unwrap();
    let mut codes = Vec::new();
    for name in ["one", "two"] {
        let directory = stack.directory().join(name);
        let args = ["join", "--server", &stack.cli.server, "--token", token, "--name", name, "--dir"];
        let args: Vec<_> =
            args.into_iter().map(str::to_owned).chain([directory.display().to_string()]).collect();
        let mut joining =
            Process::start("stopover-agent", &stack.directory().join(format!("{name}.log")), &args);
        let status = joining.ended().await;
        codes.push((status.success(), joining.output()));
    }
    assert!(codes[0].0, "{}", codes[0].1);
    assert!(!codes[1].0, "the token was used twice");
    assert!(codes[1].1.contains("stopover agent token"), "says how to get another: {}", codes[1].1);
}

#[tokio::test]
async fn a_join_token_of_another_server_is_refused_before_anything_is_sent() {
    let (one, other) = (Stack::start().await, Stack::start().await);
    one.cli.ok(&["environment", "create", "staging"]).await;
    let token = one.cli.run(&["--json", "agent", "token", "staging"]).await.json();
    let token = token[0]["token"].as_str().unwrap().to_owned();
    let directory = one.directory().join("agent").display().to_string();
    let args = ["join", "--server", &other.cli.server, "--token", &token, "--name", "a", "--dir", &directory];
    let mut joining = Process::start("stopover-agent", &one.directory().join("join.log"), &args);
    assert!(!joining.ended().await.success(), "{}", joining.output());
    // The token is still good where it belongs.
    let args = ["join", "--server", &one.cli.server, "--token", &token, "--name", "a", "--dir", &directory];
    let mut joining = Process::start("stopover-agent", &one.directory().join("join.log"), &args);
    assert!(joining.ended().await.success(), "{}", joining.output());
}

#[tokio::test]
async fn a_call_without_an_operators_token_is_unauthenticated() {
    let stack = Stack::start().await;
    let mut client = ControlClient::new(channel(&stack, None).await);
    let bare = client.list_environments(v1::ListEnvironmentsRequest {}).await.unwrap_err();
    assert_eq!(bare.code(), Code::Unauthenticated);
    for wrong in ["Bearer sto_wrong", "Basic x", "Bearer "] {
        let mut request = Request::new(v1::ListEnvironmentsRequest {});
        request.metadata_mut().insert("authorization", wrong.parse().unwrap());
        assert_eq!(
            client.list_environments(request).await.unwrap_err().code(),
            Code::Unauthenticated,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn the_admin_token_is_given_once() {
    let mut stack = Stack::start().await;
    std::fs::copy(&stack.cli.token_file, stack.directory().join("kept")).unwrap();
    std::fs::remove_file(&stack.cli.token_file).unwrap();
    stack.kill_server();
    stack.start_server().await;
    assert!(!stack.cli.token_file.exists(), "a second start gives no second token");
    stack.cli.token_file = stack.directory().join("kept");
    stack.cli.ok(&["environment", "list"]).await;
}

#[tokio::test]
async fn an_agents_certificate_opens_no_operators_door() {
    let mut stack = Stack::start().await;
    stack.environment("staging").await;
    let mut client = ControlClient::new(channel(&stack, Some(identity(&stack, "staging"))).await);
    let answer = client.list_environments(v1::ListEnvironmentsRequest {}).await.unwrap_err();
    assert_eq!(answer.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_tunnel_without_an_agents_certificate_is_refused() {
    let stack = Stack::start().await;
    let refused = tunnel::OpenTunnel::open(channel(&stack, None).await).await;
    assert_eq!(refused.err().expect("a refusal").code(), Code::Unauthenticated);
}

/// An agent with staging's certificate that says it serves production.
struct Pretender;

type Updates = tokio_stream::Empty<Result<v1::StepUpdate, Status>>;
type BackupUpdates = tokio_stream::Empty<Result<v1::BackupUpdate, Status>>;

#[tonic::async_trait]
impl Agent for Pretender {
    type InspectStream = Updates;
    type BackupStream = Updates;
    type RehearseStream = Updates;
    type MigrateStream = Updates;
    type MeasureStream = Updates;
    type VerifyStream = Updates;
    type RollbackStream = Updates;
    type VerifyBackupStream = BackupUpdates;
    type RestoreBackupStream = BackupUpdates;

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        Ok(Response::new(v1::DescribeResponse {
            labels: Vec::new(),
            queues: true,
            environment: "production".into(),
            databases: vec!["users".into()],
            version: "0".into(),
        }))
    }

    async fn inspect(&self, _: Request<v1::InspectRequest>) -> Result<Response<Updates>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn backup(&self, _: Request<v1::BackupRequest>) -> Result<Response<Updates>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn rehearse(&self, _: Request<v1::RehearseRequest>) -> Result<Response<Updates>, Status> {
        Err(Status::unimplemented("no"))
    }

    async fn migrate(&self, _: Request<v1::MigrateRequest>) -> Result<Response<Updates>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn measure(&self, _: Request<v1::MeasureRequest>) -> Result<Response<Updates>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn verify(&self, _: Request<v1::VerifyRequest>) -> Result<Response<Updates>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn rollback(&self, _: Request<v1::RollbackRequest>) -> Result<Response<Updates>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn throttle(
        &self,
        _: Request<v1::ThrottleRequest>,
    ) -> Result<Response<v1::ThrottleResponse>, Status> {
        Ok(Response::new(v1::ThrottleResponse { was_running: false }))
    }

    async fn cancel(&self, _: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        Ok(Response::new(v1::CancelResponse { was_running: false }))
    }

    async fn read_history(
        &self,
        _: Request<v1::ReadHistoryRequest>,
    ) -> Result<Response<v1::ReadHistoryResponse>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn read_drift(
        &self,
        _: Request<v1::ReadDriftRequest>,
    ) -> Result<Response<v1::ReadDriftResponse>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn plan_rollback(
        &self,
        _: Request<v1::PlanRollbackRequest>,
    ) -> Result<Response<v1::PlanRollbackResponse>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn list_backups(
        &self,
        _: Request<v1::ListBackupsRequest>,
    ) -> Result<Response<v1::ListBackupsResponse>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn verify_backup(
        &self,
        _: Request<v1::VerifyBackupRequest>,
    ) -> Result<Response<BackupUpdates>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn restore_backup(
        &self,
        _: Request<v1::RestoreBackupRequest>,
    ) -> Result<Response<BackupUpdates>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn accept_drift(
        &self,
        _: Request<v1::AcceptDriftRequest>,
    ) -> Result<Response<v1::AcceptDriftResponse>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn read_saved(
        &self,
        _: Request<v1::ReadSavedRequest>,
    ) -> Result<Response<v1::ReadSavedResponse>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn restore_saved(
        &self,
        _: Request<v1::RestoreSavedRequest>,
    ) -> Result<Response<v1::RestoreSavedResponse>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn follow_up(
        &self,
        _: Request<v1::FollowUpRequest>,
    ) -> Result<Response<v1::FollowUpResponse>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn purge_saved(
        &self,
        _: Request<v1::PurgeSavedRequest>,
    ) -> Result<Response<v1::PurgeSavedResponse>, Status> {
        panic!("production's work came to staging's agent")
    }

    async fn record(&self, _: Request<v1::RecordRequest>) -> Result<Response<v1::RecordResponse>, Status> {
        panic!("production's work came to staging's agent")
    }
}

#[tokio::test]
async fn stagings_agent_can_not_pass_for_productions() {
    let mut stack = Stack::start().await;
    stack.environment("staging").await;
    stack.cli.ok(&["environment", "create", "production"]).await;
    let channel = channel(&stack, Some(identity(&stack, "staging"))).await;
    let open = tunnel::OpenTunnel::open(channel).await.expect("staging's certificate is good");
    let routes = tonic::service::Routes::new(AgentServer::new(Pretender));
    let ended = open
        .serve(routes, tunnel::KeepAlive::default(), CancellationToken::new(), Duration::from_secs(1))
        .await;
    assert!(
        matches!(&ended, tunnel::Ended::Broken(status) if status.code() == Code::PermissionDenied),
        "the lie ends the tunnel: {ended:?}"
    );
    let production: EnvironmentName = "production".parse().unwrap();
    eventually("the list of environments", || async {
        let listed = stack.cli.run(&["--json", "environment", "list"]).await.json();
        let found = listed.into_iter().find(|e| e["name"] == production.as_str())?;
        assert!(found["databases"].as_array().is_none_or(Vec::is_empty), "{found}");
        Some(())
    })
    .await;
}
