//! What agent.toml says about one database.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use stopover_model::id::DatabaseName;
use stopover_model::wave::Labels;

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
    /// Where scratch databases are made, in the form of `url`: another server, which must not be older. By default the
    /// database's own. Where it has no password, this database's is used.
    #[serde(default)]
    pub scratch_url: Option<SecretString>,
    /// PostgreSQL's data directory on this machine, where the agent works on the same one: how much is free on its disk is
    /// looked at before a migration. By default asked of PostgreSQL where it is reached by a socket.
    #[serde(default)]
    pub data_path: Option<PathBuf>,
    /// For waves and selectors of pipelines.
    #[serde(default)]
    pub labels: Labels,
    /// Where a relative `sslrootcert` in the url begins: agent.toml's directory. Empty: at the current directory.
    #[serde(skip)]
    pub directory: PathBuf,
}
