//! TLS to the database by `sslmode` as libpq means it.
//!
//! Below verify-ca nothing proves that the right server answers: `require` only keeps the wire from being read. As with
//! libpq, a root certificate that is given turns `require` into `verify-ca`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use serde::Deserialize;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::invalid::InvalidDatabase;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    Disable,
    Allow,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RootCertificate {
    File(PathBuf),
    /// Whatever the machine trusts.
    System,
}

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(
        "sslmode = \"{mode}\" needs a root certificate to verify with; set sslrootcert to the file of the authority that signed the server's certificate, or to \"system\""
    )]
    NoRoot { mode: SslMode },
    #[error("read the root certificate {}", path.display())]
    Root { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{} holds no certificate; it must be a PEM file of the authority that signed the server's certificate", path.display())]
    EmptyRoot { path: PathBuf },
    #[error(
        "the machine has no trusted certificates; install the package ca-certificates, or name a file in sslrootcert"
    )]
    NoSystemRoots,
    #[error("set up TLS")]
    Rustls(#[from] Error),
}

impl RootCertificate {
    /// A relative path in this directory; any other as it is.
    pub(super) fn beginning_at(self, directory: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(directory.join(path)),
            Self::System => Self::System,
        }
    }
}

impl SslMode {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl FromStr for SslMode {
    type Err = InvalidDatabase;

    fn from_str(text: &str) -> Result<Self, InvalidDatabase> {
        [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or(InvalidDatabase::SslMode)
    }
}

impl std::fmt::Display for SslMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The connector for one connection; files are read anew, so that a renewed authority needs no restart.
pub(super) fn connector(
    mode: SslMode,
    root: Option<&RootCertificate>,
) -> Result<MakeRustlsConnect, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let checks = match mode {
        SslMode::Disable | SslMode::Allow | SslMode::Prefer => None,
        SslMode::Require if root.is_none() => None,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
            let root = root.ok_or(TlsError::NoRoot { mode })?;
            let (roots, pinned) = roots(root)?;
            Some(Checks { roots, pinned, name: mode == SslMode::VerifyFull })
        }
    };
    let verifier = Arc::new(Verifier { checks, provider: provider.clone() });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // Servers from 17 on ask for it when TLS begins without negotiation.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

fn roots(root: &RootCertificate) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let mut store = RootCertStore::empty();
    let certificates = match root {
        RootCertificate::System => rustls_native_certs::load_native_certs().certs,
        RootCertificate::File(path) => read(path)?,
    };
    let (added, _) = store.add_parsable_certificates(certificates.iter().cloned());
    match root {
        RootCertificate::System if added == 0 => Err(TlsError::NoSystemRoots),
        RootCertificate::System => Ok((store, Vec::new())),
        RootCertificate::File(path) if added == 0 => Err(TlsError::EmptyRoot { path: path.clone() }),
        RootCertificate::File(_) => Ok((store, certificates)),
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Root { path: path.to_owned(), source };
    CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
}

#[derive(Debug)]
struct Checks {
    roots: RootCertStore,
    /// A server's own self-signed certificate may stand among the roots, as `OpenSSL` allows.
    pinned: Vec<CertificateDer<'static>>,
    name: bool,
}

#[derive(Debug)]
struct Verifier {
    /// None: the wire is encrypted, and whoever answers is believed.
    checks: Option<Checks>,
    provider: Arc<CryptoProvider>,
}

impl Checks {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
        provider: &CryptoProvider,
    ) -> Result<(), Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if self.pinned.iter().any(|pinned| pinned == end_entity) {
            check_validity(end_entity, now)?;
        } else {
            let algorithms = provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &self.roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        if self.name { verify_server_name(&certificate, name) } else { Ok(()) }
    }
}

fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now > validity.not_after.timestamp() {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    if now < validity.not_before.timestamp() {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(checks) = &self.checks {
            checks.verify(end_entity, intermediates, server_name, now, &self.provider)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
