//! What the port demands of TLS.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use crate::authority::{Authority, AuthorityError, ServerCertificate};

pub(super) const ALPN_H2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// A client's certificate is optional; one that is shown must be this authority's and valid now.
pub(super) fn server_config(
    authority: &Arc<Authority>,
    clock: fn() -> Timestamp,
) -> Result<ServerConfig, AuthorityError> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| AuthorityError::Certify { what: "port", source };
    let provider = Arc::new(ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()?), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| failed(error.into()))?;
    let certificate = ServerCertificate::issue(Arc::clone(authority), clock)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.into()))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec()];
    // A resumed session would skip the check of the client's certificate, so that it could outlive its end.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
