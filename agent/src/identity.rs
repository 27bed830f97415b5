//! Who this agent is: a key made here, which never leaves the machine, and a certificate that the server gives for it.
//!
//! Certificate and key are replaced together, in one file, so that no crash leaves a pair that does not fit. The names of
//! agent and environment are read from the certificate: what the server will see is what the agent believes.

mod renewal;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use stopover_model::id::{AgentName, EnvironmentName};
use stopover_proto::token::JoinToken;
use stopover_proto::v1;
use stopover_proto::v1::enrolment_client::EnrolmentClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::connection::{self, ClientIdentity, ConnectError, ServerUrl, certificate_pem};

pub use renewal::Renewal;
pub(crate) use renewal::jittered;
pub use store::{IdentityStore, StoreError};

/// For a call to the server that only signs a certificate.
const DEADLINE: Duration = Duration::from_secs(20);

/// The agent's identity, complete.
#[derive(Clone)]
pub struct Identity {
    pub agent: AgentName,
    pub environment: EnvironmentName,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    certificate_pem: String,
    key_pem: String,
    authority_pem: String,
}

/// Why there is no identity, or no new one.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("could not make a key")]
    Key(#[source] rcgen::Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(
        "the server did not take the join token: it is unknown, used, or older than an hour; ask for a new one with `stopover agent token ENVIRONMENT`"
    )]
    Token,
    #[error("the server did not let this agent {action}: {}", .status.message())]
    Refused { action: &'static str, status: Status },
    #[error("the server gave no answer within {} s; try again, and look at its log when it stays so", DEADLINE.as_secs())]
    Slow,
    #[error("the certificate makes no sense: {why}; agent and server may be of different versions")]
    Certificate { why: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Identity {
    fn new(key_pem: String, certificate_pem: String, authority_pem: String) -> Result<Self, IdentityError> {
        let identity = ClientIdentity::from_pem(&certificate_pem, &key_pem)?;
        let facts = Facts::read(identity.certificate())?;
        Ok(Self {
            agent: facts.agent,
            environment: facts.environment,
            not_before: facts.not_before,
            not_after: facts.not_after,
            certificate_pem,
            key_pem,
            authority_pem,
        })
    }

    /// When half of the certificate's life is over, and a new one is due.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before);
        self.not_before.saturating_add(life / 2).unwrap_or(self.not_before)
    }

    #[must_use]
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// Connects to the server as this agent.
    pub async fn connect(&self, server: &ServerUrl) -> Result<Channel, ConnectError> {
        let identity = ClientIdentity::from_pem(&self.certificate_pem, &self.key_pem)?;
        connection::connect(server, &self.authority_pem, Some(&identity)).await
    }
}

/// Trades a join token for an identity.
pub async fn join(
    server: &ServerUrl,
    token: &JoinToken,
    name: &AgentName,
) -> Result<Identity, IdentityError> {
    let authority = connection::fetch_authority(server, token.authority()).await?;
    let authority_pem = certificate_pem(&authority);
    let channel = connection::connect(server, &authority_pem, None).await?;
    let (key, csr) = key_and_request()?;
    let request = v1::JoinRequest { token: token.expose(), agent: name.to_string(), csr };
    let call = async { EnrolmentClient::new(channel).join(request).await };
    let answer = tokio::time::timeout(DEADLINE, call).await.map_err(|_| IdentityError::Slow)?;
    let answer = answer.map_err(|status| match status.code() {
        Code::PermissionDenied => IdentityError::Token,
        _ => IdentityError::Refused { action: "join", status },
    })?;
    let identity = answer.into_inner().identity;
    of_answer(identity, key, Some(&authority_pem))
}

/// Trades the identity of this connection for a new one with a new key.
pub async fn renew(channel: Channel) -> Result<Identity, IdentityError> {
    let (key, csr) = key_and_request()?;
    let request = v1::RenewRequest { csr };
    let call = async { EnrolmentClient::new(channel).renew(request).await };
    let answer = tokio::time::timeout(DEADLINE, call).await.map_err(|_| IdentityError::Slow)?;
    let answer =
        answer.map_err(|status| IdentityError::Refused { action: "renew its certificate", status })?;
    of_answer(answer.into_inner().identity, key, None)
}

fn key_and_request() -> Result<(String, Vec<u8>), IdentityError> {
    let key = KeyPair::generate().map_err(IdentityError::Key)?;
    let request = CertificateParams::default().serialize_request(&key).map_err(IdentityError::Key)?;
    Ok((key.serialize_pem(), request.der().to_vec()))
}

/// When joining, the authority was proven by the token's fingerprint; another one in the answer is not believed.
fn of_answer(
    identity: Option<v1::Identity>,
    key_pem: String,
    proven_authority: Option<&str>,
) -> Result<Identity, IdentityError> {
    let invalid = |why: &str| IdentityError::Certificate { why: why.to_owned() };
    let identity = identity.ok_or_else(|| invalid("the answer holds none"))?;
    let authority = certificate_pem(&identity.authority);
    if proven_authority.is_some_and(|proven| proven != authority) {
        return Err(invalid("it is of another authority than the join token's"));
    }
    Identity::new(key_pem, certificate_pem(&identity.certificate), authority)
}

struct Facts {
    agent: AgentName,
    environment: EnvironmentName,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Facts {
    fn read(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let invalid = |why: String| IdentityError::Certificate { why };
        let (_, parsed) =
            x509_parser::parse_x509_certificate(certificate).map_err(|error| invalid(error.to_string()))?;
        let names = parsed.subject_alternative_name().map_err(|error| invalid(error.to_string()))?;
        let uri = names.iter().flat_map(|names| &names.value.general_names).find_map(|name| match name {
            x509_parser::extensions::GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        let (environment, agent) = uri
            .and_then(|uri| uri.strip_prefix("spiffe://stopover/environment/"))
            .and_then(|rest| rest.split_once("/agent/"))
            .ok_or_else(|| invalid("it does not name an agent and its environment".to_owned()))?;
        let name = |error: stopover_model::id::InvalidId| invalid(error.to_string());
        let time = |seconds: i64| Timestamp::from_second(seconds).map_err(|error| invalid(error.to_string()));
        Ok(Self {
            agent: agent.parse().map_err(name)?,
            environment: environment.parse().map_err(name)?,
            not_before: time(parsed.validity().not_before.timestamp())?,
            not_after: time(parsed.validity().not_after.timestamp())?,
        })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({} of {}, until {})", self.agent, self.environment, self.not_after)
    }
}
