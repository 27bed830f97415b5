//! The connection to the server: TLS, the operator's token on every call, and how long to wait.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use stopover_proto::v1::control_client::ControlClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Uri};
use tonic::{Request, Status};

use crate::failure::Failure;
use crate::oidc::Kept;
use crate::settings::{Credential, Jwt, Settings};

/// Calls of the control service, each with the token.
pub type Control = ControlClient<InterceptedService<Channel, Bearer>>;

const CONNECT: Duration = Duration::from_secs(10);
/// A peer that is silent for so long is taken for gone; the watch then connects again.
const SILENCE: Duration = Duration::from_secs(20);
/// Between two tries to renew a sign-in, at least; and after one that came to nothing.
const LEAST_WAIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(15);
/// A deployment with long scripts in its log is larger than tonic's 4 MiB.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Puts the token on each call: the newest, where it is renewed meanwhile.
#[derive(Clone)]
pub struct Bearer(Arc<RwLock<MetadataValue<Ascii>>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

impl Bearer {
    async fn of(credential: &Credential) -> Result<Self, Failure> {
        let kept = match credential {
            Credential::Token(token) => return Self::new(&token.expose()),
            Credential::Jwt(Jwt(text)) => return Self::new(text),
            Credential::Kept(kept) => kept,
        };
        let mut kept = kept.clone();
        kept.freshen().await?;
        let bearer = Self::new(&kept.sign_in.bearer)?;
        // A watch may go on for longer than one token.
        tokio::spawn(bearer.clone().renewed_by(*kept));
        Ok(bearer)
    }

    fn new(token: &str) -> Result<Self, Failure> {
        Ok(Self(Arc::new(RwLock::new(header(token)?))))
    }

    /// Until it can't be; the server then says that the sign-in has ended.
    async fn renewed_by(self, mut kept: Kept) {
        loop {
            let wait = kept.sign_in.due_at().duration_since(Timestamp::now());
            tokio::time::sleep(Duration::try_from(wait).unwrap_or_default().max(LEAST_WAIT)).await;
            let before = kept.sign_in.expires_at;
            if kept.freshen().await.is_err() || kept.sign_in.refresh_token.is_none() {
                return;
            }
            let Ok(value) = header(&kept.sign_in.bearer) else { return };
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
            if kept.sign_in.expires_at == before {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn header(token: &str) -> Result<MetadataValue<Ascii>, Failure> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
        .parse()
        .map_err(|_| Failure::usage("the operator's token holds characters that no header can"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Connects, so that an address where nobody answers is known at once. The channel connects again by itself.
pub async fn connect(settings: &Settings) -> Result<Control, Failure> {
    let bearer = Bearer::of(&settings.credential).await?;
    let channel = channel(&settings.server, settings.ca.as_deref()).await?;
    Ok(ControlClient::with_interceptor(channel, bearer).max_decoding_message_size(LARGEST_ANSWER))
}

/// Connects without a token, for the one question that needs none.
pub async fn connect_unknown(server: &Uri, ca: Option<&[u8]>) -> Result<ControlClient<Channel>, Failure> {
    Ok(ControlClient::new(channel(server, ca).await?))
}

async fn channel(server: &Uri, ca: Option<&[u8]>) -> Result<Channel, Failure> {
    endpoint(server, ca)?.connect().await.map_err(|error| {
        let failure = Failure::unreachable(format!("could not reach the server {server}")).because(&error);
        let hint = hint(&failure, ca.is_some());
        failure.with_hint(hint)
    })
}

fn endpoint(server: &Uri, ca: Option<&[u8]>) -> Result<Endpoint, Failure> {
    let unusable = |error: tonic::transport::Error| {
        Failure::usage("the authority's certificate is not usable")
            .because(&error)
            .with_hint("--ca wants a PEM file: -----BEGIN CERTIFICATE-----")
    };
    let tls = ClientTlsConfig::new();
    let tls = match ca {
        Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
        None => tls.ca_certificates(system_authorities()),
    };
    Endpoint::from(server.clone())
        .user_agent(concat!("stopover/", env!("CARGO_PKG_VERSION")))
        .and_then(|endpoint| endpoint.tls_config(tls))
        .map_err(unusable)
        .map(|endpoint| {
            endpoint
                .connect_timeout(CONNECT)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(SILENCE / 2)
                .keep_alive_timeout(SILENCE / 2)
                .keep_alive_while_idle(true)
        })
}

/// One that can't be read is left out: the connection says which authority it misses.
fn system_authorities() -> Vec<Certificate> {
    let pem = |der: &[u8]| {
        let base64 = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
    };
    rustls_native_certs::load_native_certs().certs.iter().map(|c| Certificate::from_pem(pem(c))).collect()
}

fn hint(failure: &Failure, names_authority: bool) -> String {
    let text = format!("{failure:?}");
    if text.contains("UnknownIssuer") && !names_authority {
        "the server is certified by its own authority: give its ca.pem with --ca, $STOPOVER_CA or `ca` in the configuration"
            .to_owned()
    } else if text.contains("UnknownIssuer") || text.contains("BadSignature") {
        "the file given as ca belongs to another server: copy ca.pem from this one's data directory"
            .to_owned()
    } else if text.contains("NotValidForName") {
        "the server's certificate is for another name: use the name that the server was set up with"
            .to_owned()
    } else {
        "see that the server runs there, and that --server, $STOPOVER_SERVER or the configuration is right"
            .to_owned()
    }
}
