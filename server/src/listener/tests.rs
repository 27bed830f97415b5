//! Real TLS over loopback, with the Enrolment service standing in for all of them.

use std::sync::Arc;

use jiff::SignedDuration;
use rcgen::{CertificateParams, KeyPair};
use stopover_proto::v1::enrolment_client::EnrolmentClient;
use stopover_proto::v1::enrolment_server::{Enrolment, EnrolmentServer};
use stopover_proto::v1::tunnel_client::TunnelClient;
use stopover_proto::v1::{JoinRequest, JoinResponse, RenewRequest, RenewResponse};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Response, Status};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers a join with who asked from where; "wait" waits for the test, "hang" for ever.
#[derive(Clone, Default)]
struct Probe {
    started: Arc<Notify>,
    go_on: Arc<Notify>,
}

#[tonic::async_trait]
impl Enrolment for Probe {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        assert!(request.remote_addr().unwrap().ip().is_loopback());
        let who = match request.extensions().get::<PeerIdentity>().unwrap() {
            PeerIdentity::Agent(agent) => format!("{}/{}", agent.environment, agent.agent),
            PeerIdentity::None => "nobody".to_owned(),
        };
        self.started.notify_one();
        match request.into_inner().agent.as_str() {
            "wait" => self.go_on.notified().await,
            "hang" => std::future::pending().await,
            _ => {}
        }
        Ok(Response::new(JoinResponse { environment: who, ..JoinResponse::default() }))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        Err(Status::unavailable("not here"))
    }
}

struct Bench {
    _dir: TempDir,
    authority: Arc<Authority>,
    address: SocketAddr,
    probe: Probe,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

impl Bench {
    async fn start(limits: Limits) -> Self {
        let (dir, authority) = authority();
        let authority = Arc::new(authority);
        let listener =
            Listener::bind("127.0.0.1:0".parse().unwrap(), &authority, Timestamp::now, limits).await.unwrap();
        let (address, shutdown, probe) = (listener.address(), CancellationToken::new(), Probe::default());
        let routes = Routes::new(EnrolmentServer::new(probe.clone()));
        let served = tokio::spawn(listener.serve(routes, shutdown.clone()));
        Self { _dir: dir, authority, address, probe, shutdown, served }
    }

    fn endpoint(&self, identity: Option<Identity>) -> Endpoint {
        let authority = pem(self.authority.certificate());
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
        if let Some(identity) = identity {
            tls = tls.identity(identity);
        }
        Channel::from_shared(format!("https://{}", self.address)).unwrap().tls_config(tls).unwrap()
    }

    async fn ask(&self, identity: Option<Identity>, agent: &str) -> Result<String, Status> {
        let channel = self.endpoint(identity).connect_lazy();
        let request = JoinRequest { agent: agent.into(), ..JoinRequest::default() };
        let asked = EnrolmentClient::new(channel).join(request).await;
        asked.map(|response| response.into_inner().environment)
    }

    async fn raw(&self, alpn: &str) -> TlsStream<TcpStream> {
        let mut config =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(self.authority.roots().unwrap())
                .with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }
}

fn authority() -> (TempDir, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let names = ["localhost".into(), "127.0.0.1".into()];
    let authority =
        Authority::open(dir.path(), &names, Timestamp::now() - SignedDuration::from_hours(999)).unwrap();
    (dir, authority)
}

fn agent_of(authority: &Authority, at: Timestamp) -> Identity {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    let (environment, agent) = ("staging".parse().unwrap(), "agent-1".parse().unwrap());
    let issued = authority.issue_agent(csr.der(), &environment, &agent, at).unwrap();
    Identity::from_pem(pem(&issued.der), key.serialize_pem())
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen in time"))
}

#[tokio::test]
async fn the_services_learn_who_asks() {
    let bench = Bench::start(Limits::default()).await;

    assert_eq!(bench.ask(None, "a").await.unwrap(), "nobody");
    let agent = agent_of(&bench.authority, Timestamp::now());
    assert_eq!(bench.ask(Some(agent), "a").await.unwrap(), "staging/agent-1");
}

#[tokio::test]
async fn certificates_of_others_and_expired_ones_are_refused() {
    let bench = Bench::start(Limits::default()).await;
    let (_dir, other) = authority();
    let yesterday = Timestamp::now() - SignedDuration::from_hours(25);
    let tomorrow = Timestamp::now() + SignedDuration::from_hours(24);
    let self_signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();

    for (alert, identity) in [
        ("UnknownCA", agent_of(&other, Timestamp::now())),
        ("CertificateExpired", agent_of(&bench.authority, yesterday)),
        ("CertificateExpired", agent_of(&bench.authority, tomorrow)),
        ("UnknownCA", Identity::from_pem(self_signed.cert.pem(), self_signed.signing_key.serialize_pem())),
    ] {
        let refused = bench.ask(Some(identity), "a").await.unwrap_err();
        assert!(format!("{refused:?}").contains(alert), "{refused:?}");
    }
    assert!(bench.ask(None, "a").await.is_ok(), "others go on");
}

#[tokio::test]
async fn what_is_unknown_gets_the_answer_of_its_protocol() {
    let bench = Bench::start(Limits::default()).await;

    let channel = bench.endpoint(None).connect().await.unwrap();
    let unknown = TunnelClient::new(channel).open(futures::stream::empty()).await;
    assert_eq!(unknown.unwrap_err().code(), Code::Unimplemented);

    let mut stream = bench.raw("http/1.1").await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer)).await.ok();
    assert!(answer.starts_with("HTTP/1.1 404 Not Found") && answer.contains("gRPC"), "{answer}");
}

#[tokio::test]
async fn half_open_handshakes_do_not_keep_others_out_for_long() {
    let limits = Limits { max_handshakes: 2, handshake: Duration::from_millis(300), ..Limits::default() };
    let bench = Bench::start(limits).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(bench.address).await.unwrap());
    }

    assert_eq!(soon("an answer", bench.ask(None, "a")).await.unwrap(), "nobody");
    let mut first = silent.remove(0);
    assert_eq!(soon("the end", first.read(&mut [0; 16])).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    let bench = Bench::start(Limits { first_request: Duration::from_millis(300), ..Limits::default() }).await;
    for alpn in ["h2", "http/1.1"] {
        let mut stream = bench.raw(alpn).await;
        let mut rest = Vec::new();
        soon("the end of the connection", stream.read_to_end(&mut rest)).await.ok();
    }
    assert!(bench.ask(None, "a").await.is_ok());
}

#[tokio::test]
async fn endless_headers_are_refused() {
    let bench = Bench::start(Limits::default()).await;
    let mut request = Request::new(JoinRequest::default());
    request.metadata_mut().insert("large", MetadataValue::try_from("x".repeat(64 * 1024)).unwrap());

    let refused = EnrolmentClient::new(bench.endpoint(None).connect_lazy()).join(request).await;

    assert!(refused.is_err());
    assert!(bench.ask(None, "a").await.is_ok());
}

#[tokio::test]
async fn a_shutdown_lets_calls_finish_and_drops_those_that_do_not() {
    let bench = Bench::start(Limits { shutdown: Duration::from_millis(500), ..Limits::default() }).await;
    let channel = bench.endpoint(None).connect().await.unwrap();
    let call = |agent: &str| {
        let mut client = EnrolmentClient::new(channel.clone());
        let request = JoinRequest { agent: agent.into(), ..JoinRequest::default() };
        tokio::spawn(async move { client.join(request).await })
    };
    let finishing = call("wait");
    soon("the first call", bench.probe.started.notified()).await;
    let hanging = call("hang");
    soon("the second call", bench.probe.started.notified()).await;

    bench.shutdown.cancel();
    bench.probe.go_on.notify_one();

    assert!(soon("the answer", finishing).await.unwrap().is_ok());
    assert!(soon("the end of the call that hangs", hanging).await.unwrap().is_err());
    soon("the end of the server", bench.served).await.unwrap();
    assert!(TcpStream::connect(bench.address).await.is_err(), "the port is free again");
}
