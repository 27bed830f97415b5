//! Opening the store by its URL, and bringing its tables up to date.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::db::Db;
use super::{Store, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

const READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 10;
/// How long a call waits for a connection, or for the file's lock, before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

const URL_HINT: &str =
    "write it as sqlite:///absolute/path/to/file.db or postgres://user:password@host:5432/database";
const SQLITE_HINT: &str =
    "see that its directory exists, that this user may write there, and that the disk has room";
const POSTGRES_HINT: &str =
    "see that PostgreSQL runs there and lets this user in; the database must exist (CREATE DATABASE)";
const TABLES_HINT: &str = "its tables could not be brought up to date; a database that a newer server has used needs \
                           that server, and PostgreSQL's user needs CREATE in the database's schema";

impl Store {
    /// Opens `sqlite:///path/file.db` (made where it is missing) or `postgres://…`, and brings its tables up to date.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let store = without_password(url);
        let unusable = |source: sqlx::Error| open_error(&store, URL_HINT, source);
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => {
                open_sqlite(&store, SqliteConnectOptions::from_str(url).map_err(unusable)?).await
            }
            Some("postgres" | "postgresql") => {
                open_postgres(&store, PgConnectOptions::from_str(url).map_err(unusable)?).await
            }
            _ => Err(open_error(&store, URL_HINT, "the URL names no kind of store that is known")),
        }
    }

    /// Opens the SQLite file at this path, whatever characters that holds; a new file is its owner's alone.
    pub async fn open_file(path: &Path) -> Result<Self, StoreError> {
        // SQLite gives the files that it puts beside this one the same mode.
        let made = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        made.map_err(|source| open_error(&path.display().to_string(), SQLITE_HINT, source))?;
        let options = SqliteConnectOptions::new().filename(path);
        open_sqlite(&path.display().to_string(), options).await
    }
}

async fn open_sqlite(store: &str, options: SqliteConnectOptions) -> Result<Store, StoreError> {
    let failed = |source: sqlx::Error| open_error(store, SQLITE_HINT, source);
    let options = options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged event survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE);
    let writer = sqlite_pool(1).connect_with(options.clone()).await.map_err(failed)?;
    migrated(store, MIGRATIONS.run(&writer).await)?;
    let readers =
        sqlite_pool(READERS).connect_with(options.pragma("query_only", "on")).await.map_err(failed)?;
    Ok(Store::new(Db::Sqlite { writer, readers }))
}

async fn open_postgres(store: &str, options: PgConnectOptions) -> Result<Store, StoreError> {
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .connect_with(options.application_name("stopover-server"))
        .await
        .map_err(|source| open_error(store, POSTGRES_HINT, source))?;
    migrated(store, MIGRATIONS.run(&pool).await)?;
    Ok(Store::new(Db::Postgres(pool)))
}

fn sqlite_pool(connections: u32) -> sqlx::pool::PoolOptions<sqlx::Sqlite> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn migrated(store: &str, result: Result<(), MigrateError>) -> Result<(), StoreError> {
    result.map_err(|source| open_error(store, TABLES_HINT, source))
}

fn open_error(
    store: &str,
    hint: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Open { store: store.to_owned(), hint, source: source.into() }
}

/// The URL as it may be shown: without the password, and without parameters, which may hold one as well.
fn without_password(url: &str) -> String {
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    match shown.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((login, host)) => {
                let user = login.split(':').next().unwrap_or_default();
                format!("{scheme}://{user}@{host}")
            }
            None => format!("{scheme}://{rest}"),
        },
        None => shown.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("postgres://me:s3cret@host:5432/db", "postgres://me@host:5432/db"),
            ("postgres://me:s3@cret@host/db?password=s3cret", "postgres://me@host/db"),
            ("postgres://host/db", "postgres://host/db"),
            ("sqlite:///var/lib/x.db", "sqlite:///var/lib/x.db"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[tokio::test]
    async fn an_unknown_url_says_what_to_write() {
        let error = Store::open("mysql://me:s3cret@host/db").await.unwrap_err().to_string();
        assert!(error.contains("mysql://me@host/db: write it as sqlite:///"), "{error}");
    }

    #[tokio::test]
    async fn a_new_file_is_private() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_file(&dir.path().join("a ?%20#é.db")).await.unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        }
        store.close().await;
        let error = Store::open_file(Path::new("/nowhere/a.db")).await.unwrap_err().to_string();
        assert!(
            error.starts_with("could not open the store /nowhere/a.db: see that its directory"),
            "{error}"
        );
    }
}
