//! Certificates and keys as text and as what rustls wants.

use std::error::Error;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::ConnectError;

/// What the agent proves itself with: a certificate and its key.
pub struct ClientIdentity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl ClientIdentity {
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, ConnectError> {
        Ok(Self { certificate: parse("certificate", certificate_pem)?, key: parse("key", key_pem)? })
    }

    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }
}

impl Clone for ClientIdentity {
    fn clone(&self) -> Self {
        Self { certificate: self.certificate.clone(), key: self.key.clone_key() }
    }
}

/// Trusts the authority and nobody else.
pub(super) fn client_config(
    authority_pem: &str,
    identity: Option<&ClientIdentity>,
) -> Result<ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    let authority: CertificateDer<'static> = parse("authority", authority_pem)?;
    roots.add(authority).map_err(|error| unusable("authority", error))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS library", error))?
        .with_root_certificates(roots);
    let mut config = match identity.cloned() {
        Some(ClientIdentity { certificate, key }) => builder
            .with_client_auth_cert(vec![certificate], key)
            .map_err(|error| unusable("certificate with its key", error))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// A certificate as text, as it is written to a file.
#[must_use]
pub fn certificate_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

fn parse<T: PemObject>(what: &'static str, pem: &str) -> Result<T, ConnectError> {
    T::from_pem_slice(pem.as_bytes()).map_err(|error| unusable(what, error))
}

fn unusable(what: &'static str, error: impl Error + Send + Sync + 'static) -> ConnectError {
    ConnectError::Credentials { what, source: error.into() }
}
