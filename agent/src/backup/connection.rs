//! How `pg_dump` and `pg_restore` get to a database: by variables that libpq takes for nothing else, and by private files.

use std::ffi::OsString;
use std::path::Path;

use secrecy::ExposeSecret as _;
use stopover_model::report::{ErrorClass, StepError};

use super::secret_file::SecretFile;
use crate::connection::certificate_pem;
use crate::postgres::{ConnectError, Database, SslMode};

/// As a connection string, in which libpq finds what no variable can say. It names no database.
pub(super) const KEEPALIVES: &str =
    "--dbname=keepalives_idle=10 keepalives_interval=5 keepalives_count=4 tcp_user_timeout=30000";

/// The variables, and the files that they name, which are gone when it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) environment: Vec<(&'static str, OsString)>,
    _password: Option<SecretFile>,
    _roots: Option<SecretFile>,
}

impl Connection {
    /// `name` is what the sessions are called.
    pub(super) async fn of(database: &Database, name: &str, scratch: &Path) -> Result<Self, StepError> {
        let password = database.password().await.map_err(ConnectError::from)?;
        let password = password.map(|p| SecretFile::password(scratch, p.expose_secret())).transpose()?;
        let mut environment = place(database);
        environment.extend([
            ("PGAPPNAME", name.into()),
            ("PGGSSENCMODE", "disable".into()),
            ("PGCONNECT_TIMEOUT", "10".into()),
            // Without a home directory libpq finds no file of defaults, certificates or services there.
            ("HOME", "/nonexistent".into()),
            (
                "PGPASSFILE",
                password.as_ref().map_or_else(|| "/nonexistent".into(), |file| file.path().into()),
            ),
        ]);
        let roots = roots(database, scratch, &mut environment)?;
        if environment.iter().any(|(_, value)| value.as_encoded_bytes().contains(&0)) {
            return Err(StepError::new(ErrorClass::Setup, "the database's url holds a NUL character"));
        }
        Ok(Self { environment, _password: password, _roots: roots })
    }
}

/// Where the database is.
pub(super) fn place(database: &Database) -> Vec<(&'static str, OsString)> {
    let ports: Vec<String> = database.ports().iter().map(u16::to_string).collect();
    let hosts = database.hosts();
    let mut place: Vec<(&'static str, OsString)> = vec![
        ("PGHOST", hosts.join(",").into()),
        ("PGPORT", ports.join(",").into()),
        ("PGDATABASE", database.database().into()),
        ("PGSSLMODE", database.ssl_mode().as_str().into()),
    ];
    if hosts.len() > 1 {
        // The one that is going to be migrated, not one of its standbys.
        place.push(("PGTARGETSESSIONATTRS", "read-write".into()));
    }
    let addresses = database.host_addresses();
    if !addresses.is_empty() {
        place.push(("PGHOSTADDR", addresses.join(",").into()));
    }
    if let Some(user) = database.user() {
        place.push(("PGUSER", user.into()));
    }
    place
}

/// Names the trusted authorities where they count. Only libpq from 16 on knows what `system` means, so that it gets a file
/// of what this machine trusts.
fn roots(
    database: &Database,
    scratch: &Path,
    environment: &mut Vec<(&'static str, OsString)>,
) -> Result<Option<SecretFile>, StepError> {
    let counts = matches!(database.ssl_mode(), SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull);
    let Some(root) = database.root_certificate().filter(|_| counts) else { return Ok(None) };
    if root != Path::new("system") {
        environment.push(("PGSSLROOTCERT", root.into()));
        return Ok(None);
    }
    let trusted = rustls_native_certs::load_native_certs().certs;
    let text: String = trusted.iter().map(|certificate| certificate_pem(certificate)).collect();
    let file = SecretFile::write(scratch, "roots", &text)?;
    environment.push(("PGSSLROOTCERT", file.path().into()));
    Ok(Some(file))
}
