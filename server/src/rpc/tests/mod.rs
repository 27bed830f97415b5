//! All services behind the real port, over TLS on loopback, with a SQLite store.

mod agent;
mod audit;
mod control;
mod enrolment;
mod gates;
mod oidc;
mod port;
mod roles;
mod tunnel;

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use stopover_model::role::{Grants, Role};
use stopover_proto::token::OperatorToken;
use stopover_proto::v1::control_client::ControlClient;
use stopover_proto::v1::enrolment_client::EnrolmentClient;
use stopover_proto::v1::{self, CreateEnvironmentRequest, CreateJoinTokenRequest, JoinRequest, JoinResponse};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::*;
use crate::listener::{Limits, Listener};
use crate::store::NewToken;

const PATIENCE: Duration = Duration::from_secs(20);
const PIPELINE: &str = "name = \"users-db\"\n[[stage]]\nenvironment = \"staging\"\n\
                        [[stage]]\nenvironment = \"production\"\n";

/// A server, gone at the test's end.
struct Bench {
    dir: TempDir,
    address: SocketAddr,
    services: Services,
    _served: JoinHandle<()>,
}

/// Adds the operator's token to each call.
#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Operator = ControlClient<InterceptedService<Channel, Bearer>>;

/// An agent's key with what it got for it.
struct Member {
    identity: Identity,
    answer: JoinResponse,
}

impl Bench {
    async fn start() -> Self {
        Self::start_with(false).await
    }

    async fn start_with(reflection: bool) -> Self {
        Self::start_trusting(reflection, None, GroupRoles::default()).await
    }

    async fn start_trusting(reflection: bool, oidc: Option<Arc<Oidc>>, roles: GroupRoles) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let names = ["localhost".into(), "127.0.0.1".into()];
        let authority = Arc::new(Authority::open(dir.path(), &names, now()).unwrap());
        let store = Store::open_file(&dir.path().join("store.db")).await.unwrap();
        let new = NewToken {
            operator: &"anna".parse().unwrap(),
            hash: &OperatorToken::new([1; 32]).hash(),
            groups: &[],
            roles: &Grants::everywhere(Role::Admin),
            created_by: None,
            at: now(),
            expires_at: None,
        };
        store.create_operator_token(new).await.unwrap();
        let registry = Registry::default();
        let audit = Audit::open(dir.path(), &crate::config::AuditSettings::default(), store.clone(), now)
            .await
            .unwrap();
        let services = Services {
            conductor: Conductor::start(store.clone(), registry.clone(), crate::testing::caller(), now)
                .await
                .unwrap(),
            sender: crate::testing::sender(),
            store,
            authority,
            registry,
            audit: Arc::new(audit),
            roles: Arc::new(roles),
            oidc,
            clock: now,
            stopping: CancellationToken::new(),
            stopped: CancellationToken::new(),
        };
        let limits = Limits::default();
        let bind = Listener::bind("127.0.0.1:0".parse().unwrap(), &services.authority, now, limits);
        let listener = bind.await.unwrap();
        let address = listener.address();
        let (routes, _) = routes(services.clone(), reflection).await.unwrap();
        let served = tokio::spawn(listener.serve(routes, services.stopped.clone()));
        Self { dir, address, services, _served: served }
    }

    fn channel(&self, identity: Option<Identity>) -> Channel {
        let authority = Certificate::from_pem(pem(self.services.authority.certificate()));
        let mut tls = ClientTlsConfig::new().ca_certificate(authority);
        if let Some(identity) = identity {
            tls = tls.identity(identity);
        }
        let endpoint: Endpoint = Channel::from_shared(format!("https://{}", self.address)).unwrap();
        endpoint.tls_config(tls).unwrap().connect_lazy()
    }

    fn with_header(&self, header: &str) -> Operator {
        ControlClient::with_interceptor(self.channel(None), Bearer(header.parse().unwrap()))
            .max_encoding_message_size(usize::MAX)
    }

    fn operator(&self) -> Operator {
        self.with_header(&format!("Bearer {}", OperatorToken::new([1; 32]).expose()))
    }

    async fn environment(&self, name: &str) {
        self.operator().create_environment(CreateEnvironmentRequest { name: name.into() }).await.unwrap();
    }

    async fn join_token(&self, environment: &str) -> String {
        let request = CreateJoinTokenRequest { environment: environment.into() };
        self.operator().create_join_token(request).await.unwrap().into_inner().token
    }

    async fn join(&self, token: &str, agent: &str) -> Result<Member, Status> {
        let (key, csr) = key_and_csr();
        let request = JoinRequest { token: token.into(), agent: agent.into(), csr };
        let answer = EnrolmentClient::new(self.channel(None)).join(request).await?.into_inner();
        let certificate = pem(&answer.identity.as_ref().unwrap().certificate);
        Ok(Member { identity: Identity::from_pem(certificate, key.serialize_pem()), answer })
    }

    async fn member(&self, environment: &str, agent: &str) -> Member {
        let token = self.join_token(environment).await;
        self.join(&token, agent).await.unwrap()
    }
}

fn key_and_csr() -> (KeyPair, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    (key, csr.der().to_vec())
}

fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn bundle(id: &str, files: &[(&str, &str)]) -> v1::MigrationBundle {
    let file = |(name, text): &(&str, &str)| v1::migration_bundle::File {
        name: (*name).into(),
        content: text.as_bytes().to_vec(),
    };
    v1::MigrationBundle { id: id.into(), files: files.iter().map(file).collect(), series: 0 }
}

/// The stable name in a status.
fn name_of(status: &Status) -> &str {
    status.metadata().get("stopover-code").map_or("", |name| name.to_str().unwrap())
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen in time"))
}
