//! The server's own certificate authority: it certifies the server's TLS key and the agents, and nothing else.
//!
//! Its key is made on the first start, lives in the data directory, and never leaves it. It does not decide who may have a
//! certificate (enrolment does) and keeps no list of those that it issued (the store does).

mod files;
mod identity;
mod server_certificate;

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use stopover_model::id::{AgentName, EnvironmentName};
use stopover_proto::token::AuthorityFingerprint;
use time::OffsetDateTime;

pub use identity::{AgentIdentity, CertificateSerial, InvalidIdentity};
pub use server_certificate::ServerCertificate;

const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
const SERVER_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);
const AGENT_LIFE: SignedDuration = SignedDuration::from_hours(24);
/// How far the clock of an agent may be behind the server's.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Why the authority could not be opened, or could not certify the server.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("could not {action} `{path}`; the server needs a data directory that it can read and write")]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the authority's key `{path}` can be read by others (mode {mode:03o}); whoever has it can pass for any agent. \
         Run `chmod 600 {path}`, and if others had access, remove it and the certificate beside it: every agent must \
         then join again"
    )]
    KeyExposed { path: PathBuf, mode: u32 },
    #[error(
        "the authority's certificate `{certificate}` is there, but its key `{key}` is not. Restore the key from a backup \
         of the data directory, or remove the certificate: a new authority is made, and every agent must join again"
    )]
    KeyMissing { certificate: PathBuf, key: PathBuf },
    #[error(
        "could not use `{path}` as the authority's {what}; restore it from a backup of the data directory"
    )]
    Unusable {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "the authority's certificate `{path}` ended on {not_after}; move it and its key away: a new authority is made, and \
         every agent must join again"
    )]
    Expired { path: PathBuf, not_after: Timestamp },
    #[error(
        "`{0}` can't be a name of the server; give a host name or an IP address, without scheme and port"
    )]
    Name(String),
    #[error("the server has no name to be certified for; give at least one host name or IP address")]
    NoName,
    #[error("could not certify the {what}")]
    Certify {
        what: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why an agent got no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error(
        "could not use the certification request; send a PKCS #10 request in DER, signed with its own key \
         (`stopover-agent join` makes one)"
    )]
    Request(#[source] rcgen::Error),
    #[error("could not sign the agent's certificate")]
    Sign(#[source] rcgen::Error),
}

/// A certificate made for an agent.
#[derive(Debug, Clone)]
pub struct AgentCertificate {
    pub der: Vec<u8>,
    pub serial: CertificateSerial,
    pub not_after: Timestamp,
}

pub struct Authority {
    certificate: CertificateDer<'static>,
    not_after: Timestamp,
    issuer: Issuer<'static, KeyPair>,
    server_names: Vec<SanType>,
}

impl Authority {
    /// Opens the authority in `dir`, or makes it there. `server_names` are what the server's certificate is for: host names
    /// and IP addresses.
    pub fn open(dir: &Path, server_names: &[String], now: Timestamp) -> Result<Self, AuthorityError> {
        let server_names =
            server_names.iter().map(|name| server_name(name)).collect::<Result<Vec<_>, _>>()?;
        if server_names.is_empty() {
            return Err(AuthorityError::NoName);
        }
        let files = files::Files::in_dir(dir);
        let (certificate, key) = files.open(|key| make_authority(key, now))?;
        let not_after =
            files::not_after(&certificate).map_err(|source| files.unusable_certificate(source))?;
        if not_after <= now {
            return Err(AuthorityError::Expired { path: files.certificate, not_after });
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|source| files.unusable_certificate(source))?;
        Ok(Self { certificate, not_after, issuer, server_names })
    }

    /// The certificate that everything here is signed by, DER.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    #[must_use]
    pub fn fingerprint(&self) -> AuthorityFingerprint {
        AuthorityFingerprint::of(&self.certificate)
    }

    /// This authority as the only one that is trusted.
    pub fn roots(&self) -> Result<RootCertStore, AuthorityError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(|source| certify("clients", source))?;
        Ok(roots)
    }

    /// Whether [`Self::issue_agent`] will take this request.
    pub fn check_request(&self, csr_der: &[u8]) -> Result<(), IssueError> {
        request(csr_der).map(|_| ())
    }

    /// Certifies the key of a request for an agent. Nothing but the key is taken from the request.
    pub fn issue_agent(
        &self,
        csr_der: &[u8],
        environment: &EnvironmentName,
        agent: &AgentName,
        now: Timestamp,
    ) -> Result<AgentCertificate, IssueError> {
        let request = request(csr_der)?;
        let serial = CertificateSerial::random();
        let mut params = self.leaf(now, AGENT_LIFE, agent.as_str(), ExtendedKeyUsagePurpose::ClientAuth);
        params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
        let uri = identity::uri(environment, agent).try_into().map_err(IssueError::Sign)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        let not_after = self.end_of(now, AGENT_LIFE);
        let certificate = self.sign(&params, &request.public_key).map_err(IssueError::Sign)?;
        Ok(AgentCertificate { der: certificate.der().to_vec(), serial, not_after })
    }

    /// A new key for the server, certified for its names.
    fn issue_server(&self, now: Timestamp) -> Result<(Certificate, KeyPair), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = self.leaf(now, SERVER_LIFE, "Stopover server", ExtendedKeyUsagePurpose::ServerAuth);
        params.serial_number = Some(SerialNumber::from_slice(CertificateSerial::random().as_bytes()));
        params.subject_alt_names.clone_from(&self.server_names);
        Ok((self.sign(&params, &key)?, key))
    }

    fn leaf(
        &self,
        now: Timestamp,
        life: SignedDuration,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
    ) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        params.not_before = offset(now - CLOCK_SKEW);
        params.not_after = offset(self.end_of(now, life));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        params
    }

    /// No certificate outlives the authority that signed it.
    fn end_of(&self, now: Timestamp, life: SignedDuration) -> Timestamp {
        let end = (now + life).min(self.not_after);
        Timestamp::from_second(end.as_second()).unwrap_or(end)
    }

    fn sign(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<Certificate, rcgen::Error> {
        params.signed_by(key, &self.issuer)
    }
}

fn request(csr_der: &[u8]) -> Result<CertificateSigningRequestParams, IssueError> {
    CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr_der))
        .map_err(IssueError::Request)
}

fn make_authority(key: &KeyPair, now: Timestamp) -> Result<Certificate, rcgen::Error> {
    let mut params = CertificateParams::default();
    // Two authorities must not share a subject, or a client that knows both reports a bad signature for a wrong authority.
    // Named after its key, an authority whose certificate was lost and made anew is still the one that agents trust.
    let digest = AuthorityFingerprint::of(&key.subject_public_key_info()).to_string();
    params.distinguished_name = common_name(&format!("Stopover authority {}", &digest[..16]));
    params.serial_number = Some(SerialNumber::from_slice(CertificateSerial::random().as_bytes()));
    params.not_before = offset(now - CLOCK_SKEW);
    params.not_after = offset(now + AUTHORITY_LIFE);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.self_signed(key)
}

fn server_name(name: &str) -> Result<SanType, AuthorityError> {
    let invalid = || AuthorityError::Name(name.to_owned());
    match rustls::pki_types::ServerName::try_from(name).map_err(|_| invalid())? {
        rustls::pki_types::ServerName::IpAddress(address) => Ok(SanType::IpAddress(address.into())),
        _ => Ok(SanType::DnsName(name.try_into().map_err(|_| invalid())?)),
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Certificates know whole seconds between the years 1970 and 9999, which every time of this program is in.
fn offset(time: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(time.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn certify(
    what: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> AuthorityError {
    AuthorityError::Certify { what, source: source.into() }
}

#[cfg(test)]
mod tests;
