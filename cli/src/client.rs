//! The connection to the server: TLS, the operator's token on every call, and how long to wait.

use std::time::Duration;

use base64::Engine as _;
use stopover_proto::v1::control_client::ControlClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::failure::Failure;
use crate::settings::Settings;

/// Calls of the control service, each with the token.
pub type Control = ControlClient<InterceptedService<Channel, Bearer>>;

const CONNECT: Duration = Duration::from_secs(10);
/// A peer that is silent for so long is taken for gone; the watch then connects again.
const SILENCE: Duration = Duration::from_secs(20);
/// A deployment with long scripts in its log is larger than tonic's 4 MiB.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Puts the token on each call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Connects, so that an address where nobody answers is known at once. The channel connects again by itself.
pub async fn connect(settings: &Settings) -> Result<Control, Failure> {
    let channel = endpoint(settings)?.connect().await.map_err(|error| {
        let failure =
            Failure::unreachable(format!("could not reach the server {}", settings.server)).because(&error);
        let hint = hint(&failure, settings);
        failure.with_hint(hint)
    })?;
    let mut bearer: MetadataValue<Ascii> = format!("Bearer {}", settings.token.expose())
        .parse()
        .map_err(|_| Failure::usage("the operator's token holds characters that no header can"))?;
    bearer.set_sensitive(true);
    Ok(ControlClient::with_interceptor(channel, Bearer(bearer)).max_decoding_message_size(LARGEST_ANSWER))
}

fn endpoint(settings: &Settings) -> Result<Endpoint, Failure> {
    let unusable = |error: tonic::transport::Error| {
        Failure::usage("the authority's certificate is not usable")
            .because(&error)
            .with_hint("--ca wants a PEM file: -----BEGIN CERTIFICATE-----")
    };
    let tls = ClientTlsConfig::new();
    let tls = match &settings.ca {
        Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
        None => tls.ca_certificates(system_authorities()),
    };
    Endpoint::from(settings.server.clone())
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

fn hint(failure: &Failure, settings: &Settings) -> String {
    let text = format!("{failure:?}");
    if text.contains("UnknownIssuer") && settings.ca.is_none() {
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
