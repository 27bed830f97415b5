//! The first contact: how an agent that knows nothing but a join token gets the authority's certificate.
//!
//! Nothing is sent but a TLS handshake. The server must show the authority whose fingerprint is in the token, and a
//! certificate of that authority for its own host name: a copy of the authority's certificate, which is no secret, is not
//! enough.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use stopover_proto::token::AuthorityFingerprint;

use super::handshake::shake_hands;
use super::{ConnectError, ServerUrl, TlsProblem, failure};

/// Gets the certificate of the authority that `pinned` names, from a server that proves to be certified by it.
pub async fn fetch_authority(
    server: &ServerUrl,
    pinned: AuthorityFingerprint,
) -> Result<CertificateDer<'static>, ConnectError> {
    let config = config(pinned).map_err(|error| ConnectError::Tls {
        server: server.clone(),
        problem: TlsProblem::Other(error.to_string()),
    })?;
    let stream = shake_hands(server, Arc::new(config)).await.map_err(|error| failure(server, error))?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    match find(chain, pinned) {
        Some(authority) => Ok(authority.clone().into_owned()),
        None => Err(ConnectError::Tls { server: server.clone(), problem: TlsProblem::NotPinned }),
    }
}

fn config(pinned: AuthorityFingerprint) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = PinnedAuthority { pinned, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn find<'a, 'b>(
    chain: &'a [CertificateDer<'b>],
    pinned: AuthorityFingerprint,
) -> Option<&'a CertificateDer<'b>> {
    chain.iter().find(|certificate| AuthorityFingerprint::of(certificate) == pinned)
}

/// Takes the authority out of the server's own chain, where the fingerprint vouches for it, and then verifies as usual.
#[derive(Debug)]
struct PinnedAuthority {
    pinned: AuthorityFingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = find(intermediates, self.pinned).ok_or_else(not_pinned)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        usual.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn not_pinned() -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(TlsProblem::NotPinned))))
}
