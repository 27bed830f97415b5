//! What went wrong in TLS, in words that say what to do. The reasons lie deep inside the errors of the transport.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// Why agent and server did not trust each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    #[error(
        "the server's certificate is for {presented}, not for `{expected}`; use one of these names, or add the name to the \
         server's configuration"
    )]
    WrongName { expected: String, presented: String },
    #[error(
        "the server's certificate was not signed by the authority that this agent knows; if the server was set up anew, let \
         the agent join again, else somebody is in between"
    )]
    UnknownAuthority,
    #[error(
        "the server does not show the authority that the join token is for; check the address, and take a token of this very \
         server, else somebody is in between"
    )]
    NotPinned,
    #[error(
        "the server's certificate is not valid at this time; check the clocks of this machine and of the server"
    )]
    ServerExpired,
    #[error(
        "the server refused this agent's certificate because its time is over; let the agent join again with a new token, \
         and check the clocks"
    )]
    AgentExpired,
    #[error(
        "the server refused this agent's certificate; it was not signed by this server's authority: let the agent join again \
         with a new token"
    )]
    AgentRefused,
    #[error("what answers there does not speak TLS; check the address and the port")]
    NotTls,
    #[error(
        "{0}; check that the address is a Stopover server's and that nothing in between changes the connection"
    )]
    Other(String),
}

/// Finds out whether an error, of connecting or of a call, comes from TLS.
#[must_use]
pub fn tls_problem(error: &(dyn Error + 'static)) -> Option<TlsProblem> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(classify(error));
        }
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inside {
            // The source of an I/O error is the source of what is inside, which would skip the very error that is sought.
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    None
}

fn classify(error: &rustls::Error) -> TlsProblem {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(problem) => classify_server(problem),
        E::AlertReceived(AlertDescription::CertificateExpired) => TlsProblem::AgentExpired,
        E::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnsupportedCertificate,
        ) => TlsProblem::AgentRefused,
        E::InvalidMessage(_) => TlsProblem::NotTls,
        other => TlsProblem::Other(other.to_string()),
    }
}

fn classify_server(problem: &CertificateError) -> TlsProblem {
    match problem {
        CertificateError::NotValidForNameContext { expected, presented } => TlsProblem::WrongName {
            expected: expected.to_str().into_owned(),
            presented: if presented.is_empty() { "nothing".to_owned() } else { presented.join(", ") },
        },
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => TlsProblem::ServerExpired,
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsProblem::UnknownAuthority,
        CertificateError::Other(other) => match other.0.downcast_ref::<TlsProblem>() {
            Some(known) => known.clone(),
            None => TlsProblem::Other(problem.to_string()),
        },
        other => TlsProblem::Other(other.to_string()),
    }
}
