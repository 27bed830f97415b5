//! A database that the agent serves: how to get there, and what may go wrong on the way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use stopover_model::id::DatabaseName;
use stopover_model::wave::Labels;
use tokio_postgres::config::{Host, SslMode as WireMode};

use super::config::DatabaseConfig;
use super::connect_error::{ConnectError, HandshakeError, SESSION_DEADLINE};
use super::dsn::Dsn;
use super::error::{QueryError, source_text};
use super::invalid::InvalidDatabase;
use super::password::{PasswordError, PasswordSource};
use super::purpose::Purpose;
use super::session::Session;
use super::tls::{RootCertificate, SslMode, connector};

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// A silent peer is given up after about half a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 4;
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// One database of agent.toml.
pub struct Database {
    name: DatabaseName,
    dsn: Dsn,
    password: PasswordSource,
    ssl_mode: SslMode,
    root_certificate: Option<RootCertificate>,
    scratch: Option<Arc<Self>>,
    data_path: Option<PathBuf>,
    labels: Labels,
}

impl Database {
    pub fn new(config: &DatabaseConfig) -> Result<Self, InvalidDatabase> {
        let mut dsn = Dsn::parse(config.url.expose_secret())?;
        if dsn.config.get_hosts().is_empty() && dsn.config.get_hostaddrs().is_empty() {
            return Err(InvalidDatabase::NoHost);
        }
        if dsn.config.get_dbname().is_none_or(str::is_empty) {
            return Err(InvalidDatabase::NoDatabase);
        }
        let ssl_mode = one_of("sslmode", config.sslmode, dsn.ssl_mode)?.unwrap_or_default();
        let root = config.sslrootcert.clone().map(RootCertificate::from);
        let in_url = dsn.root_certificate.take().map(|root| root.beginning_at(&config.directory));
        let root = one_of("sslrootcert", root, in_url)?.or_else(default_root);
        if root == Some(RootCertificate::System) && ssl_mode != SslMode::VerifyFull {
            return Err(InvalidDatabase::WeakSystem);
        }
        let password = password_source(config, &dsn)?;
        if dsn.config.get_connect_timeout().is_none() {
            dsn.config.connect_timeout(CONNECT_DEADLINE);
        }
        dsn.config
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(UNACKNOWLEDGED);
        let scratch = config.scratch_url.as_ref().map(|url| of_scratch(config, url)).transpose();
        let scratch = scratch.map_err(|source| InvalidDatabase::Scratch(Box::new(source)))?.map(Arc::new);
        let (name, labels) = (config.name.clone(), config.labels.clone());
        let data_path = config.data_path.clone();
        Ok(Self { name, dsn, password, ssl_mode, root_certificate: root, scratch, data_path, labels })
    }

    /// For waves and selectors of pipelines.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// PostgreSQL's data directory, where agent.toml says that it is on this machine.
    #[must_use]
    pub fn data_path(&self) -> Option<&Path> {
        self.data_path.as_deref()
    }

    /// Where scratch databases are made, when that is another server.
    #[must_use]
    pub fn scratch(&self) -> Option<&Arc<Self>> {
        self.scratch.as_ref()
    }

    /// Another database of the same server, with this one's credentials, or with a role's own.
    #[must_use]
    pub fn beside(&self, database: &str, role: Option<(&str, SecretString)>) -> Self {
        let mut dsn = self.dsn.clone();
        dsn.config.dbname(database);
        let mut password = self.password.clone();
        if let Some((user, secret)) = role {
            dsn.config.user(user);
            password = PasswordSource::Url(secret);
        }
        Self {
            name: self.name.clone(),
            dsn,
            password,
            ssl_mode: self.ssl_mode,
            root_certificate: self.root_certificate.clone(),
            scratch: None,
            data_path: self.data_path.clone(),
            labels: self.labels.clone(),
        }
    }

    /// As deployments call it.
    #[must_use]
    pub fn name(&self) -> &DatabaseName {
        &self.name
    }

    /// Opens a session, and checks that the right server answers and is fit for the purpose.
    pub async fn connect(&self, purpose: &Purpose) -> Result<Session, ConnectError> {
        match tokio::time::timeout(SESSION_DEADLINE, self.connect_by_mode(purpose)).await {
            Ok(session) => session,
            Err(_) => Err(ConnectError::Slow { place: self.place() }),
        }
    }

    /// The password of now; None where none is configured.
    pub async fn password(&self) -> Result<Option<SecretString>, PasswordError> {
        self.password.get().await
    }

    /// The host names, addresses or socket directories, in the order in which they are tried.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        let named = self.dsn.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let named: Vec<_> = named.collect();
        if named.is_empty() { self.host_addresses() } else { named }
    }

    /// libpq's `hostaddr`, which spares the name lookup.
    #[must_use]
    pub fn host_addresses(&self) -> Vec<String> {
        self.dsn.config.get_hostaddrs().iter().map(ToString::to_string).collect()
    }

    /// One for all hosts, or one for each.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        match self.dsn.config.get_ports() {
            [] => vec![5432],
            ports => ports.to_vec(),
        }
    }

    /// None: the agent's own user name, as libpq does.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.dsn.config.get_user()
    }

    /// As PostgreSQL calls the database. It may hold any character: `pg_dump` takes a name with `=` for a connection string.
    #[must_use]
    pub fn database(&self) -> &str {
        self.dsn.config.get_dbname().unwrap_or_default()
    }

    #[must_use]
    pub fn ssl_mode(&self) -> SslMode {
        self.ssl_mode
    }

    /// What libpq takes as `sslrootcert`: a file, or `system`.
    #[must_use]
    pub fn root_certificate(&self) -> Option<&Path> {
        self.root_certificate.as_ref().map(|root| match root {
            RootCertificate::File(path) => path.as_path(),
            RootCertificate::System => Path::new("system"),
        })
    }

    /// What is worth a word when the agent starts.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let name = &self.name;
        match &self.password {
            PasswordSource::Url(_) => vec![format!(
                "database {name}: the password stands in the url; keep agent.toml readable by the agent alone (0600), or use password_file"
            )],
            PasswordSource::File(path) if is_open_to_others(path) => {
                vec![format!("database {name}: others may read {}; chmod 0600 it", path.display())]
            }
            _ => Vec::new(),
        }
    }

    /// Host and port, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        let ports = self.ports();
        let places = self.hosts().into_iter().enumerate().map(|(i, host)| {
            let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
            format!("{host}:{port}")
        });
        places.collect::<Vec<_>>().join(",")
    }

    async fn connect_by_mode(&self, purpose: &Purpose) -> Result<Session, ConnectError> {
        let password = self.password.get().await?;
        let password = password.as_ref();
        if self.is_local() {
            return self.try_connect(purpose, password, WireMode::Disable).await;
        }
        let (first, second) = match self.ssl_mode {
            SslMode::Disable => (WireMode::Disable, None),
            SslMode::Allow => (WireMode::Disable, Some(WireMode::Require)),
            SslMode::Prefer => (WireMode::Prefer, Some(WireMode::Disable)),
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => (WireMode::Require, None),
        };
        let failed = match self.try_connect(purpose, password, first).await {
            Err(error) if may_differ(&error) => error,
            result => return result,
        };
        match second {
            // The first error is the telling one when neither way works.
            Some(mode) => self.try_connect(purpose, password, mode).await.map_err(|_| failed),
            None => Err(failed),
        }
    }

    async fn try_connect(
        &self,
        purpose: &Purpose,
        password: Option<&SecretString>,
        mode: WireMode,
    ) -> Result<Session, ConnectError> {
        let tls = connector(self.ssl_mode, self.root_certificate.as_ref())?;
        let mut config = self.dsn.config.clone();
        config.ssl_mode(mode).application_name(&purpose.application_name);
        if let Some(password) = password {
            config.password(password.expose_secret());
        }
        let (client, connection) = config.connect(tls.clone()).await.map_err(|e| self.refused(&e))?;
        Session::open(client, connection, tls, purpose).await
    }

    fn refused(&self, error: &tokio_postgres::Error) -> ConnectError {
        let place = self.place();
        if let Some(found) = error.as_db_error() {
            let source = QueryError::Database(Box::new(found.into()));
            return ConnectError::Refused { place, source };
        }
        // The library has no accessor for the kind of an error.
        if error.to_string().contains("TLS") {
            let source = HandshakeError(source_text(error));
            return ConnectError::Handshake { place, mode: self.ssl_mode, source };
        }
        let said = source_text(error);
        if said.contains("password missing") {
            let source = QueryError::Database(Box::new(super::error::DatabaseError {
                sqlstate: "28P01".to_owned(),
                message: "the server asks for a password, and none is configured".to_owned(),
                hint: None,
                position: None,
                block_line: None,
            }));
            return ConnectError::Refused { place, source };
        }
        ConnectError::Unreachable { place, reason: reason_alone(&said).to_owned() }
    }

    /// Whether it is reached by a socket alone: its server is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let hosts = self.dsn.config.get_hosts();
        !hosts.is_empty() && hosts.iter().all(|host| matches!(host, Host::Unix(_)))
    }
}

/// "error connecting to server: Connection refused (os error 111)" without what the message around it says anyway.
fn reason_alone(said: &str) -> &str {
    let reason = said.strip_prefix("error connecting to server: ").unwrap_or(said);
    reason.split_once(" (os error ").map_or(reason, |(reason, _)| reason)
}

/// `pg_hba.conf` may ask for TLS or forbid it, and a handshake may fail: then the other way is worth a try.
fn may_differ(error: &ConnectError) -> bool {
    match error {
        ConnectError::Refused { source, .. } => source.sqlstate() == Some("28000"),
        ConnectError::Handshake { .. } => true,
        _ => false,
    }
}

/// What the scratch's url does not say is as it is for the database itself.
fn of_scratch(config: &DatabaseConfig, url: &SecretString) -> Result<Database, InvalidDatabase> {
    let own = Dsn::parse(url.expose_secret())?;
    let mut config = DatabaseConfig { url: url.clone(), scratch_url: None, ..config.clone() };
    if own.config.get_password().is_some() {
        (config.password_file, config.password_command) = (None, None);
    }
    config.sslmode = config.sslmode.filter(|_| own.ssl_mode.is_none());
    config.sslrootcert = config.sslrootcert.filter(|_| own.root_certificate.is_none());
    Database::new(&config)
}

fn one_of<T>(key: &'static str, beside: Option<T>, in_url: Option<T>) -> Result<Option<T>, InvalidDatabase> {
    match (beside, in_url) {
        (Some(_), Some(_)) => Err(InvalidDatabase::Twice { key }),
        (beside, in_url) => Ok(beside.or(in_url)),
    }
}

/// Where libpq looks when nothing is said.
fn default_root() -> Option<RootCertificate> {
    let path = PathBuf::from(std::env::var_os("HOME")?).join(".postgresql/root.crt");
    path.is_file().then_some(RootCertificate::File(path))
}

fn password_source(config: &DatabaseConfig, dsn: &Dsn) -> Result<PasswordSource, InvalidDatabase> {
    let in_url = dsn.config.get_password().map(|p| String::from_utf8_lossy(p).into_owned());
    let given: Vec<(&'static str, PasswordSource)> = [
        in_url.map(|p| ("the url", PasswordSource::Url(p.into()))),
        config.password_file.clone().map(|path| ("password_file", PasswordSource::File(path))),
        config.password_command.clone().map(|command| ("password_command", PasswordSource::Command(command))),
    ]
    .into_iter()
    .flatten()
    .collect();
    match &given[..] {
        [] => Ok(PasswordSource::None),
        [(_, PasswordSource::Command(command))] if command.is_empty() => Err(InvalidDatabase::NoCommand),
        [(_, source)] => Ok(source.clone()),
        [(first, _), (second, _), ..] => Err(InvalidDatabase::TwoPasswords { first, second }),
    }
}

fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}
