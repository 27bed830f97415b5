//! The server's API, called without a command line in between: where many calls are made, or their answers are timed.

use std::fs;

use stopover_proto::v1::control_client::ControlClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::Stack;

/// Calls with the administrator's token.
pub type Control = ControlClient<InterceptedService<Channel, Bearer>>;

/// Puts the token on each call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Connects to a stack's server.
///
/// # Panics
/// When that fails.
pub async fn connect(stack: &Stack) -> Control {
    let authority = fs::read(&stack.cli.ca).expect("the authority's certificate");
    let tls =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority)).domain_name("localhost");
    let endpoint = Endpoint::from_shared(stack.cli.server.clone()).expect("an address");
    let channel = endpoint.tls_config(tls).expect("TLS").connect().await.expect("the server answers");
    let token = fs::read_to_string(&stack.cli.token_file).expect("a token");
    let bearer = format!("Bearer {}", token.trim()).parse().expect("a header");
    ControlClient::with_interceptor(channel, Bearer(bearer)).max_decoding_message_size(64 * 1024 * 1024)
}
