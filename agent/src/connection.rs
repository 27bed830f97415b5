//! The agent's outer connection: the one TLS connection to the server that everything goes through.
//!
//! It connects once and says what is wrong if it can't. It never retries (the caller knows how patient to be), and trusts no
//! authority but the server's own: those of the operating system have no say here.

mod bootstrap;
mod handshake;
mod identity;
mod problem;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

pub use bootstrap::fetch_authority;
pub use identity::{ClientIdentity, certificate_pem};
pub use problem::{TlsProblem, tls_problem};

/// For the TCP connection and the handshake together.
const PATIENCE: Duration = Duration::from_secs(10);
/// The server asks through the tunnel every ten seconds, which is a sign of life as well: only without one it is asked.
const KEEP_ALIVE: Duration = Duration::from_secs(12);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(8);

/// Where the server is: `https://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(Uri);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("`{0}` is not the address of a server; write it as https://HOST:PORT")]
    Url(String),
    #[error("could not use the {what} that this agent has; let it join again with a new token")]
    Credentials {
        what: &'static str,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error(
        "could not reach {server}; check the address, that the server runs, and that connections to it are allowed here"
    )]
    Unreachable {
        server: ServerUrl,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("could not agree with {server} on a safe connection")]
    Tls {
        server: ServerUrl,
        #[source]
        problem: TlsProblem,
    },
}

impl ServerUrl {
    fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(443)
    }
}

impl FromStr for ServerUrl {
    type Err = ConnectError;

    fn from_str(text: &str) -> Result<Self, ConnectError> {
        let invalid = || ConnectError::Url(text.chars().take(200).flat_map(char::escape_debug).collect());
        let uri: Uri = text.trim().parse().map_err(|_| invalid())?;
        let authority = uri.authority().ok_or_else(invalid)?;
        let plain =
            !authority.as_str().contains('@') && matches!(uri.path(), "" | "/") && uri.query().is_none();
        if uri.scheme_str() == Some("https") && !authority.host().is_empty() && plain {
            Ok(Self(uri))
        } else {
            Err(invalid())
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.authority() {
            Some(authority) => write!(f, "https://{authority}"),
            None => f.write_str("the server"),
        }
    }
}

/// Connects to the server, which must have a certificate of the authority for its host name. Without an identity only
/// joining is possible. A server that refuses the identity is an error here already.
pub async fn connect(
    server: &ServerUrl,
    authority_pem: &str,
    identity: Option<&ClientIdentity>,
) -> Result<Channel, ConnectError> {
    let config = Arc::new(identity::client_config(authority_pem, identity)?);
    let connector = {
        let server = server.clone();
        service_fn(move |_: Uri| {
            let (server, config) = (server.clone(), Arc::clone(&config));
            async move { handshake::connect(&server, config).await.map(TokioIo::new) }
        })
    };
    // The connector speaks TLS; to the channel it looks like a plain connection to an https origin.
    Endpoint::from_static("http://server.stopover")
        .origin(server.0.clone())
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|error| failure(server, error))
}

fn failure(server: &ServerUrl, error: impl Error + Send + Sync + 'static) -> ConnectError {
    match tls_problem(&error) {
        Some(problem) => ConnectError::Tls { server: server.clone(), problem },
        None => ConnectError::Unreachable { server: server.clone(), source: error.into() },
    }
}
