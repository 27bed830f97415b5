//! The server as a process: what it prints, that it stops when asked, and that it survives when not asked.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use stopover_proto::v1::control_client::ControlClient;
use stopover_proto::v1::{
    ApplyPipelineRequest, DeployRequest, GetDeploymentRequest, ListEnvironmentsRequest, MigrationBundle,
    WatchRequest, migration_bundle,
};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Code, Request, Status};

const PATIENCE: Duration = Duration::from_secs(30);

struct Server {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    data_dir: PathBuf,
}

impl Server {
    fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stopover-server"));
        command
            .args(["--listen", "127.0.0.1:0", "--log", "warn", "--data-dir"])
            .arg(data_dir)
            .args(arguments);
        command.env_remove("STOPOVER_LOG").stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines, data_dir: data_dir.to_owned() }
    }

    /// The rest of a line that begins so.
    async fn line(&mut self, beginning: &str) -> String {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if let Some(rest) = line.trim().strip_prefix(beginning) {
                    return rest.to_owned();
                }
            }
            panic!("it never printed `{beginning}`: {}", self.errors().await)
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap()
    }

    async fn errors(&mut self) -> String {
        let mut text = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut text).await.unwrap();
        text
    }

    async fn operator(&mut self, token: &str) -> Operator {
        let address = self.line("listening on ").await;
        let authority = std::fs::read(self.data_dir.join("ca.pem")).unwrap();
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
        let endpoint = Channel::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
        Operator { channel: endpoint.connect_lazy(), bearer: format!("Bearer {token}").parse().unwrap() }
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }
}

struct Operator {
    channel: Channel,
    bearer: MetadataValue<Ascii>,
}

impl Operator {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.clone());
        request
    }

    fn client(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone())
    }

    /// Makes a deployment that waits for its environment, and answers with its id.
    async fn deploy(&self) -> String {
        let toml = "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n".into();
        let apply = self.request(ApplyPipelineRequest { toml, file: String::new() });
        self.client().apply_pipeline(apply).await.unwrap();
        let up = migration_bundle::File { name: "up.sql".into(), content: b"SELECT 1".to_vec() };
        let deploy = DeployRequest {
            migrations: vec![MigrationBundle { id: "001_x".into(), files: vec![up], series: 0 }],
            request_id: "5d8c2a52-8a5c-4c86-9e5f-2f6c3b1d7e90".into(),
            ..DeployRequest::default()
        };
        self.client().deploy(self.request(deploy)).await.unwrap().into_inner().deployment
    }

    async fn log_length(&self, deployment: &str) -> usize {
        let request = self.request(GetDeploymentRequest { deployment: deployment.into() });
        self.client().get_deployment(request).await.unwrap().into_inner().records.len()
    }
}

#[tokio::test]
async fn it_stops_when_asked_although_somebody_watches() {
    let dir = TempDir::new().unwrap();
    let mut server = Server::start(&dir.path().join("data"), &[]);
    let token = server.line("export STOPOVER_TOKEN=").await;
    let operator = server.operator(&token).await;
    let deployment = operator.deploy().await;
    let watch = operator.request(WatchRequest { deployment, after_seq: 0 });
    let mut updates = operator.client().watch(watch).await.unwrap().into_inner();
    updates.message().await.unwrap().unwrap();

    let asked = Instant::now();
    server.signal("-TERM");
    let last = async {
        loop {
            match updates.message().await {
                Ok(Some(_)) => {}
                ended => return ended,
            }
        }
    };
    let last: Result<_, Status> = tokio::time::timeout(PATIENCE, last).await.unwrap();
    assert_eq!(last.unwrap_err().code(), Code::Unavailable);
    let status = tokio::time::timeout(PATIENCE, server.process.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}: {}", server.errors().await);
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_killed_server_goes_on_from_its_log() {
    let dir = TempDir::new().unwrap();
    let (data, token_file) = (dir.path().join("data"), dir.path().join("token"));
    let arguments = ["--admin-token-file", token_file.to_str().unwrap()];
    let mut server = Server::start(&data, &arguments);
    let address = server.line("").await;
    assert!(address.starts_with("listening on "), "nothing but that is printed: {address}");
    server.signal("-KILL");
    server.process.wait().await.unwrap();

    let token = std::fs::read_to_string(&token_file).unwrap();
    let mut server = Server::start(&data, &arguments);
    let operator = server.operator(token.trim()).await;
    let deployment = operator.deploy().await;
    let length = operator.log_length(&deployment).await;
    server.signal("-KILL");
    server.process.wait().await.unwrap();

    let mut server = Server::start(&data, &arguments);
    let operator = server.operator(token.trim()).await;
    assert_eq!(operator.deploy().await, deployment, "the same request makes no other deployment");
    assert!(operator.log_length(&deployment).await >= length);
    assert_eq!(std::fs::read_to_string(&token_file).unwrap(), token, "the token is made once");
}

#[tokio::test]
async fn the_port_file_says_where_it_listens_and_a_second_server_is_refused() {
    let dir = TempDir::new().unwrap();
    let (data, port_file) = (dir.path().join("data"), dir.path().join("port"));
    let mut server = Server::start(&data, &["--port-file", port_file.to_str().unwrap()]);
    let token = server.line("export STOPOVER_TOKEN=").await;
    let operator = server.operator(&token).await;
    let list = operator.request(ListEnvironmentsRequest {});
    operator.client().list_environments(list).await.unwrap();
    let address = std::fs::read_to_string(&port_file).unwrap();
    assert!(address.starts_with("127.0.0.1:") && address.ends_with('\n'), "{address:?}");

    let mut second = Server::start(&data, &[]);
    let status = tokio::time::timeout(PATIENCE, second.process.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(1));
    let errors = second.errors().await;
    assert!(errors.starts_with("error: another stopover-server uses `"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}
