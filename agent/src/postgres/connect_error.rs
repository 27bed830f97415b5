//! What may go wrong on the way to a database, and the way out.

use std::time::Duration;

use stopover_model::report::{ErrorClass, StepError};

use super::error::{QueryError, source_text};
use super::password::PasswordError;
use super::tls::{SslMode, TlsError};

/// With authentication, which a busy server may take its time for.
pub(super) const SESSION_DEADLINE: Duration = Duration::from_secs(20);

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("get the database's password")]
    Password(#[from] PasswordError),
    #[error("set up TLS to the database")]
    Tls(#[from] TlsError),
    #[error("connect to the database at {place}")]
    Refused { place: String, source: QueryError },
    /// There was no connection that a server could refuse.
    #[error("could not connect to the database at {place}: {reason}")]
    Unreachable { place: String, reason: String },
    #[error("connect to the database at {place}: no answer within {} s", SESSION_DEADLINE.as_secs())]
    Slow { place: String },
    #[error("the database at {place} did not complete the TLS handshake")]
    Handshake { place: String, mode: SslMode, source: HandshakeError },
    #[error("look at the database that answered")]
    Check { source: QueryError },
    #[error(
        "the url leads to a connection pooler (PgBouncer, say), which gives each transaction to another session"
    )]
    Pooler,
    #[error("PostgreSQL {version} is too old")]
    TooOld { version: String },
    #[error("the database is a standby (in recovery), where nothing can be written")]
    Standby,
    #[error(
        "another database cluster answered than the one that was inspected: system identifier {found}, expected {expected}"
    )]
    OtherSystem { expected: String, found: String },
    #[error(
        "the user {user} may not read the cluster's system identifier, so nothing proves that it is the one that was inspected"
    )]
    NoSystemIdentifier { user: String },
}

/// What the TLS library said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HandshakeError(pub(super) String);

impl From<ConnectError> for StepError {
    fn from(error: ConnectError) -> Self {
        let message = source_text(&error);
        let (class, hint) = class_and_hint(&error);
        let sqlstate = match &error {
            ConnectError::Refused { source, .. } | ConnectError::Check { source } => source.sqlstate(),
            _ => None,
        };
        let mut step = StepError::new(class, message);
        step.sqlstate = sqlstate.map(str::to_owned);
        step.hint = hint.map(str::to_owned);
        step
    }
}

fn class_and_hint(error: &ConnectError) -> (ErrorClass, Option<&'static str>) {
    let setup = |hint| (ErrorClass::Setup, Some(hint));
    match error {
        ConnectError::Password(_) => (ErrorClass::Setup, None),
        ConnectError::Tls(_) => setup("see sslmode and sslrootcert of the database in agent.toml"),
        ConnectError::Handshake { mode, source, .. } => setup(handshake_hint(*mode, &source.0)),
        ConnectError::Slow { .. } => (
            ErrorClass::Transient,
            Some("check that the database runs, and that nothing on the way swallows its packets"),
        ),
        ConnectError::Pooler => {
            setup("give the agent PostgreSQL's own host and port: session locks need a session")
        }
        ConnectError::TooOld { .. } => setup("PostgreSQL 12 is the oldest that is supported"),
        ConnectError::Standby => setup(
            "point the agent's url at the primary: add target_session_attrs=read-write, or its own host",
        ),
        ConnectError::OtherSystem { .. } => (
            ErrorClass::Drift,
            Some("the url leads elsewhere than at the inspection; check it in agent.toml, then deploy anew"),
        ),
        ConnectError::NoSystemIdentifier { .. } => setup(
            "as a superuser: GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO the agent's user",
        ),
        ConnectError::Check { source } => match source {
            QueryError::Database(_) | QueryError::Answer(_) => (ErrorClass::Setup, None),
            QueryError::Lost(_) => (ErrorClass::Transient, None),
        },
        ConnectError::Refused { source, .. } => match source.sqlstate() {
            Some("28P01") => {
                setup("check the user in the url, and its password_file or password_command, in agent.toml")
            }
            Some("28000") => {
                setup("pg_hba.conf of the server does not let this user in from here in this way")
            }
            Some("3D000") => setup("check the database's name in the url in agent.toml"),
            Some("53300") => (
                ErrorClass::Transient,
                Some("the server has no connection left; raise max_connections, or end some"),
            ),
            Some(state) if state.starts_with("57P") => (ErrorClass::Transient, None),
            _ => (ErrorClass::Setup, None),
        },
        ConnectError::Unreachable { .. } => {
            (ErrorClass::Transient, Some("check that the database runs and can be reached from the agent"))
        }
    }
}

fn handshake_hint(mode: SslMode, said: &str) -> &'static str {
    if said.contains("server does not support TLS") {
        "turn on `ssl` in the server, or choose a weaker sslmode in agent.toml"
    } else if said.contains("NotValidForName") || said.contains("not valid for name") {
        "the certificate is another host's: use the host name that stands in its subjectAltName, or sslmode = \"verify-ca\""
    } else if said.contains("UnknownIssuer") || said.contains("BadSignature") {
        "sslrootcert is not the authority that signed the server's certificate"
    } else if said.contains("Expired") || said.contains("expired") {
        "the server's certificate has expired; renew it"
    } else if matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull) {
        "check sslrootcert, and the server's certificate: openssl s_client -starttls postgres -connect HOST:PORT"
    } else {
        "look at the server's log; TLS 1.2 is the oldest version that is spoken"
    }
}
