//! What agent.toml says about one database.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use stopover_model::id::DatabaseName;

use super::tls::SslMode;

/// One `[[database]]` of agent.toml.
///
/// ```toml
/// [[database]]
/// name = "users"
/// url = "postgresql://stopover@db.internal/users?sslmode=verify-full&sslrootcert=/etc/stopover/db-ca.pem"
/// password_command = ["aws", "rds", "generate-db-auth-token", "..."]   # or password_file
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// How deployments call it.
    pub name: DatabaseName,
    /// `postgresql://user@host:port/database?sslmode=…`, or libpq's `key=value` pairs.
    pub url: SecretString,
    /// Its first line is the password; read again for each connection.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A program and its arguments that print the password; run again for each connection.
    #[serde(default)]
    pub password_command: Option<Vec<String>>,
    /// As libpq means it; also accepted in the url.
    #[serde(default)]
    pub sslmode: Option<SslMode>,
    /// A file of PEM certificates, or `system`; also accepted in the url.
    #[serde(default)]
    pub sslrootcert: Option<String>,
    /// Where a relative `sslrootcert` in the url begins: agent.toml's directory. Empty: at the current directory.
    #[serde(skip)]
    pub directory: PathBuf,
}

/// A `[[database]]` that can't be used. Never shows the url, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDatabase {
    #[error("the url can't be read; write postgresql://user@host:port/database?sslmode=verify-full")]
    Url { source: tokio_postgres::Error },
    #[error("the url holds a %-escape that is none; write %25 for the percent sign itself")]
    Encoding,
    #[error(
        "the url is neither postgresql://… nor pairs of key=value; quote values with blanks as key='value'"
    )]
    Pairs,
    #[error("sslmode is one of disable, allow, prefer, require, verify-ca and verify-full")]
    SslMode,
    #[error(
        "the url names no host; write postgresql://user@HOST/database, or ?host=/run/postgresql for a socket"
    )]
    NoHost,
    #[error("the url names no database; write postgresql://user@host/DATABASE")]
    NoDatabase,
    #[error("{first} and {second} both give the password; keep one of them")]
    TwoPasswords { first: &'static str, second: &'static str },
    #[error("password_command is empty; write [\"program\", \"argument\"]")]
    NoCommand,
    #[error("{key} is in the url and beside it; keep one of them")]
    Twice { key: &'static str },
    #[error(
        "sslrootcert = \"system\" trusts every certificate authority of the machine, so it needs sslmode = \"verify-full\""
    )]
    WeakSystem,
}
