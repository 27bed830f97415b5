//! A server for tests: it signs certificates for one join token, and takes tunnels.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use rustls::pki_types::CertificateSigningRequestDer;
use stopover_proto::token::{AuthorityFingerprint, JoinToken};
use stopover_proto::tunnel::{Accepted, AgentChannel, KeepAlive, Outbound, TunnelHandle, accept};
use stopover_proto::v1;
use stopover_proto::v1::enrolment_server::{Enrolment, EnrolmentServer};
use stopover_proto::v1::tunnel_server::{Tunnel, TunnelServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use crate::connection::ServerUrl;

pub(crate) struct TestServer {
    pub(crate) url: ServerUrl,
    pub(crate) token: JoinToken,
    /// Of the certificates that are signed from now on, in seconds; may be negative.
    pub(crate) life: Arc<AtomicI64>,
    pub(crate) tunnels: mpsc::UnboundedReceiver<(AgentChannel, TunnelHandle)>,
}

struct Signer {
    authority: Arc<CertifiedIssuer<'static, KeyPair>>,
    token: JoinToken,
    life: Arc<AtomicI64>,
}

struct Tunnels(mpsc::UnboundedSender<(AgentChannel, TunnelHandle)>);

impl TestServer {
    pub(crate) async fn start() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let token = JoinToken::new([7; 32], AuthorityFingerprint::of(authority.der()));
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(own.pem() + &authority.pem(), key.serialize_pem()))
            .client_ca_root(Certificate::from_pem(authority.pem()))
            .client_auth_optional(true);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let life = Arc::new(AtomicI64::new(86_400));
        let (sender, tunnels) = mpsc::unbounded_channel();
        let signer = Signer { authority: Arc::new(authority), token: token.clone(), life: Arc::clone(&life) };
        let server = Server::builder()
            .tls_config(tls)
            .unwrap()
            .add_service(EnrolmentServer::new(signer))
            .add_service(TunnelServer::new(Tunnels(sender)));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url, token, life, tunnels }
    }
}

impl Signer {
    fn sign(&self, csr: Vec<u8>, agent: &str) -> v1::Identity {
        let csr =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr)).unwrap();
        let now = Timestamp::now().as_second();
        let time = |second: i64| time::OffsetDateTime::from_unix_timestamp(second).unwrap();
        let mut params = CertificateParams::default();
        let uri = format!("spiffe://stopover/environment/staging/agent/{agent}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = time(now - 1);
        params.not_after = time(now + self.life.load(Ordering::Relaxed));
        let certificate = params.signed_by(&csr.public_key, &self.authority).unwrap();
        v1::Identity {
            certificate: certificate.der().to_vec(),
            authority: self.authority.der().to_vec(),
            not_after: None,
        }
    }
}

#[tonic::async_trait]
impl Enrolment for Signer {
    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinResponse>, Status> {
        let request = request.into_inner();
        if request.token != self.token.expose() {
            return Err(Status::permission_denied("no"));
        }
        let identity = Some(self.sign(request.csr, &request.agent));
        Ok(Response::new(v1::JoinResponse { identity, environment: "staging".to_owned() }))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        if request.peer_certs().is_none_or(|certificates| certificates.is_empty()) {
            return Err(Status::unauthenticated("who are you?"));
        }
        let identity = Some(self.sign(request.into_inner().csr, "agent-1"));
        Ok(Response::new(v1::RenewResponse { identity }))
    }
}

#[tonic::async_trait]
impl Tunnel for Tunnels {
    type OpenStream = Outbound;

    async fn open(&self, request: Request<Streaming<v1::Chunk>>) -> Result<Response<Outbound>, Status> {
        if request.peer_certs().is_none_or(|certificates| certificates.is_empty()) {
            return Err(Status::unauthenticated("who are you?"));
        }
        let Accepted { outbound, channel, handle } =
            accept(request.into_inner(), KeepAlive::default()).await?;
        let _ = self.0.send((channel, handle));
        Ok(Response::new(outbound))
    }
}
