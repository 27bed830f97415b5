//! Who an agent's certificate says that it is. The only place that writes or reads the name inside.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use stopover_model::id::{AgentName, EnvironmentName, InvalidId};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

const PREFIX: &str = "spiffe://stopover/environment/";
const MIDDLE: &str = "/agent/";

/// An agent as its certificate names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentIdentity {
    pub environment: EnvironmentName,
    pub agent: AgentName,
    pub serial: CertificateSerial,
    /// When the certificate ends. A connection that is open then stays open; a new one is refused.
    pub not_after: Timestamp,
}

/// Why a certificate names no agent, although the authority signed it.
#[derive(Debug, thiserror::Error)]
pub enum InvalidIdentity {
    #[error("could not read the client's certificate")]
    Certificate(#[source] x509_parser::nom::Err<x509_parser::error::X509Error>),
    #[error("the client's certificate must have exactly one name, a URI; let the agent join again")]
    NotOneUri,
    #[error("the name in the client's certificate is not an agent's; let the agent join again")]
    NotAnAgent,
    #[error("the client's certificate names what can't exist; let the agent join again")]
    Name(#[from] InvalidId),
}

impl AgentIdentity {
    /// Reads a certificate whose signature and validity were checked before.
    pub fn from_certificate(der: &[u8]) -> Result<Self, InvalidIdentity> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(InvalidIdentity::Certificate)?;
        let names = certificate.subject_alternative_name().map_err(|_| InvalidIdentity::NotOneUri)?;
        let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let [GeneralName::URI(uri)] = names else {
            return Err(InvalidIdentity::NotOneUri);
        };
        let (environment, agent) = uri
            .strip_prefix(PREFIX)
            .and_then(|path| path.split_once(MIDDLE))
            .ok_or(InvalidIdentity::NotAnAgent)?;
        let end = certificate.validity().not_after.timestamp();
        Ok(Self {
            environment: environment.parse()?,
            agent: agent.parse()?,
            serial: CertificateSerial::from_bytes(certificate.raw_serial()),
            not_after: Timestamp::from_second(end).unwrap_or(Timestamp::MAX),
        })
    }
}

pub(super) fn uri(environment: &EnvironmentName, agent: &AgentName) -> String {
    format!("{PREFIX}{environment}{MIDDLE}{agent}")
}

/// The number of one certificate. Shown, stored and parsed as hexadecimal digits in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateSerial(Vec<u8>);

/// Why a text is not the serial of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the serial of a certificate: it has to be an even number of hexadecimal digits, at most 40"
)]
pub struct InvalidSerial(String);

impl CertificateSerial {
    /// 126 random bits. The first byte is neither zero nor negative, so that every way of writing the number agrees.
    pub(super) fn random() -> Self {
        let mut bytes: [u8; 16] = rand::random();
        bytes[0] = bytes[0] & 0x3f | 0x40;
        Self(bytes.to_vec())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let leading_zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Self(bytes[leading_zeros..].to_vec())
    }
}

impl fmt::Display for CertificateSerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for CertificateSerial {
    type Err = InvalidSerial;

    fn from_str(text: &str) -> Result<Self, InvalidSerial> {
        let invalid = || InvalidSerial(text.chars().take(80).collect());
        if text.is_empty() || text.len() > 40 || !text.len().is_multiple_of(2) {
            return Err(invalid());
        }
        let digits = text.chars().map(|c| c.to_digit(16)).collect::<Option<Vec<_>>>().ok_or_else(invalid)?;
        let bytes = digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]));
        bytes.collect::<Result<Vec<_>, _>>().map(Self).map_err(|_| invalid())
    }
}
