//! One connection, checked: which server answered, whose notices it brings, and how to stop what it runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::poll_fn;
use stopover_model::report::{LogLine, Progress, ProgressUnit};
use stopover_model::sql::notice_progress;
use tokio::task::JoinHandle;
use tokio_postgres::error::DbError;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect_error::ConnectError;
use super::error::{QueryError, source_text};
use super::known::Known;
use super::pooler::started_process_id;
use super::purpose::Purpose;
use super::text::shown;
use super::unflushed::Unflushed;
use crate::step::Reporter;

const OLDEST_SERVER: i32 = 120_000;
const LONGEST_NOTICE: usize = 2_000;
const GOODBYE: Duration = Duration::from_secs(2);

/// A connection to the database. Dropping it lets the server end what it still does; [`Session::close`] waits for that.
pub struct Session {
    client: Client,
    identity: ServerIdentity,
    shared: Arc<Shared>,
    driver: JoinHandle<()>,
    tls: MakeRustlsConnect,
    known: Known,
    /// The server looks whether this side is still there while it works.
    checks_connection: bool,
    unflushed: Unflushed,
}

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerIdentity {
    /// The session's own server process.
    pub pid: i32,
    /// When that process began, in microseconds since 1970: pids come back, (pid, start) does not.
    pub backend_start: i64,
    /// "15.18 (Debian 15.18-0+deb12u1)".
    pub version: String,
    /// 150018 for 15.18.
    pub version_num: i32,
    pub in_recovery: bool,
    /// Of the cluster; None where the user may not ask.
    pub system_identifier: Option<String>,
    /// As PostgreSQL calls it.
    pub database: String,
    pub user: String,
}

#[derive(Default)]
struct Shared {
    listener: Mutex<Option<Reporter>>,
    /// Why the connection ended, when no query was there to be told.
    end: Mutex<Option<String>>,
}

type TlsStreamOf<T> = <T as MakeTlsConnect<Socket>>::Stream;

impl Session {
    pub(super) async fn open(
        client: Client,
        connection: Connection<Socket, TlsStreamOf<MakeRustlsConnect>>,
        tls: MakeRustlsConnect,
        purpose: &Purpose,
    ) -> Result<Self, ConnectError> {
        let shared = Arc::new(Shared::default());
        let driver = tokio::spawn(drive(connection, shared.clone()));
        let (identity, known) = (ServerIdentity::unknown(), Known::default());
        let unflushed = Unflushed::default();
        let mut session =
            Self { client, identity, shared, driver, tls, known, checks_connection: false, unflushed };
        match session.check_and_set(purpose).await {
            Ok(()) => Ok(session),
            Err(error) => {
                session.close().await;
                Err(error)
            }
        }
    }

    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    #[must_use]
    pub fn identity(&self) -> &ServerIdentity {
        &self.identity
    }

    /// From now on NOTICEs go there, or nowhere.
    pub fn listen(&self, reporter: Option<&Reporter>) {
        *self.shared.listener.lock().unwrap_or_else(PoisonError::into_inner) = reporter.cloned();
    }

    /// Asks the server to stop what this session runs. No answer means nothing: wait for the statement's own end.
    pub async fn cancel(&self) {
        let token = self.client.cancel_token();
        let asked = token.cancel_query(self.tls.clone());
        // Where it does not get through, the statement's end is waited for anyway.
        let _ = tokio::time::timeout(GOODBYE, asked).await;
    }

    /// The error of a query; a lost connection is given the reason that the server sent.
    #[must_use]
    pub fn error(&self, error: tokio_postgres::Error) -> QueryError {
        match QueryError::from(error) {
            QueryError::Lost(text) => QueryError::Lost(self.end_reason().unwrap_or(text)),
            error => error,
        }
    }

    /// Says goodbye, and waits a moment for it to be sent.
    pub async fn close(self) {
        let Self { client, mut driver, .. } = self;
        drop(client);
        if tokio::time::timeout(GOODBYE, &mut driver).await.is_err() {
            driver.abort();
        }
    }

    /// Cuts the wire under a statement that may never end.
    pub fn abandon(self) {
        self.driver.abort();
    }

    /// Makes the session as good as a new one for this purpose: whatever was set, prepared, locked or made temporarily is gone.
    /// `prepared`: nobody but the product can have prepared anything, which then stays.
    pub async fn renew(&self, purpose: &Purpose, prepared: bool) -> Result<(), QueryError> {
        if prepared {
            let renewed = format!("{DISCARD_BUT_PREPARED}; {}", self.settings(purpose));
            return self.client.batch_execute(&renewed).await.map_err(|e| self.error(e));
        }
        self.known.forget();
        // No other statement may stand beside this one.
        let (discarded, made) =
            tokio::join!(self.client.batch_execute("DISCARD ALL"), self.make_settings(purpose));
        discarded.map_err(|e| self.error(e)).and(made)
    }

    /// Its commits that may not be on the server's disk yet.
    #[must_use]
    pub fn unflushed(&self) -> &Unflushed {
        &self.unflushed
    }

    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    fn end_reason(&self) -> Option<String> {
        self.shared.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn check_and_set(&mut self, purpose: &Purpose) -> Result<(), ConnectError> {
        let token = self.client.cancel_token();
        let (identity, system_identifier, started) = tokio::join!(
            self.client.simple_query(IDENTITY),
            self.client.simple_query("SELECT system_identifier FROM pg_catalog.pg_control_system()"),
            started_process_id(&token),
        );
        let failed = |source| ConnectError::Check { source };
        let rows = identity.map_err(|e| failed(self.error(e)))?;
        self.identity = ServerIdentity::read(&rows)
            .ok_or_else(|| failed(QueryError::Answer("the server's identity".to_owned())))?;
        self.identity.system_identifier =
            system_identifier.ok().and_then(|rows| first_row(&rows)?.get(0).map(str::to_owned));
        self.identity.check(purpose, started)?;
        let settings = self.settings(purpose);
        let (set, checks) =
            tokio::join!(self.client.batch_execute(&settings), self.client.batch_execute(CHECK_CONNECTION));
        self.checks_connection = checks.is_ok();
        set.map_err(|e| failed(self.error(e)))
    }

    /// What a session begins with; a script's DISCARD ALL takes it all away.
    pub async fn make_settings(&self, purpose: &Purpose) -> Result<(), QueryError> {
        self.client.batch_execute(&self.settings(purpose)).await.map_err(|e| self.error(e))
    }

    fn settings(&self, purpose: &Purpose) -> String {
        let mut set = settings(purpose, self.identity.version_num);
        if self.checks_connection {
            set.push_str(CHECK_CONNECTION);
        }
        set
    }
}

/// What DISCARD ALL is, by the manual, less what it does to prepared statements and to plans.
const DISCARD_BUT_PREPARED: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// Servers before 14, and on systems that can't look at a socket, refuse it. TCP keepalives are there as well.
const CHECK_CONNECTION: &str = "SET client_connection_check_interval = '1s'";

const IDENTITY: &str = "SELECT pg_catalog.pg_backend_pid(), \
    (SELECT (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_catalog.pg_stat_activity \
     WHERE pid = pg_catalog.pg_backend_pid()), \
    pg_catalog.current_setting('server_version'), pg_catalog.current_setting('server_version_num'), \
    pg_catalog.pg_is_in_recovery(), pg_catalog.current_database(), current_user";

/// What the work relies on, whatever the role's and the database's defaults are. `synchronous_commit` is raised where it
/// is weaker than `on`, and left where it is stricter.
fn settings(purpose: &Purpose, version_num: i32) -> String {
    let mut set = String::from(
        // To set the session's user back takes away the role that the user begins with.
        "RESET role; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '5s'; \
         SET default_transaction_isolation = 'read committed'; SET standard_conforming_strings = on; \
         SET client_min_messages = notice; \
         SELECT pg_catalog.set_config('synchronous_commit', 'on', false) \
         WHERE pg_catalog.current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');",
    );
    // A peer that has fallen silent is given up by the server too, else its locks stay for two hours.
    set.push_str(
        "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4; \
                  SET tcp_user_timeout = '30s';",
    );
    if version_num >= 140_000 {
        set.push_str("SET idle_session_timeout = 0;");
    }
    if !purpose.writes {
        set.push_str("SET default_transaction_read_only = on;");
    }
    set
}

impl ServerIdentity {
    fn unknown() -> Self {
        Self {
            pid: 0,
            backend_start: 0,
            version: String::new(),
            version_num: 0,
            in_recovery: false,
            system_identifier: None,
            database: String::new(),
            user: String::new(),
        }
    }

    fn read(rows: &[tokio_postgres::SimpleQueryMessage]) -> Option<Self> {
        let row = first_row(rows)?;
        Some(Self {
            pid: row.get(0)?.parse().ok()?,
            backend_start: row.get(1)?.parse().ok()?,
            version: row.get(2)?.to_owned(),
            version_num: row.get(3)?.parse().ok()?,
            in_recovery: row.get(4)? == "t",
            system_identifier: None,
            database: row.get(5)?.to_owned(),
            user: row.get(6)?.to_owned(),
        })
    }

    fn check(&self, purpose: &Purpose, started: Option<i32>) -> Result<(), ConnectError> {
        if started.is_some_and(|pid| pid != self.pid) {
            return Err(ConnectError::Pooler);
        }
        if self.version_num < OLDEST_SERVER {
            return Err(ConnectError::TooOld { version: self.version.clone() });
        }
        if purpose.writes && self.in_recovery {
            return Err(ConnectError::Standby);
        }
        match (&purpose.system_identifier, &self.system_identifier) {
            (Some(expected), Some(found)) if expected != found => {
                Err(ConnectError::OtherSystem { expected: expected.clone(), found: found.clone() })
            }
            (Some(_), None) => Err(ConnectError::NoSystemIdentifier { user: self.user.clone() }),
            _ => Ok(()),
        }
    }
}

fn first_row(rows: &[tokio_postgres::SimpleQueryMessage]) -> Option<&tokio_postgres::SimpleQueryRow> {
    rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}

/// Moves the bytes, and hands on notices in their order: each one before the answer of the statement that raised it.
async fn drive(mut connection: Connection<Socket, TlsStreamOf<MakeRustlsConnect>>, shared: Arc<Shared>) {
    let mut messages = poll_fn(move |cx| connection.poll_message(cx));
    while let Some(message) = messages.next().await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                let listener = shared.listener.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(reporter) = listener {
                    report(&reporter, &notice);
                }
            }
            Ok(_) => {}
            Err(error) => {
                let reason = match error.as_db_error() {
                    Some(error) => shown(error.message(), 500),
                    None => source_text(&error),
                };
                *shared.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                return;
            }
        }
    }
}

fn report(reporter: &Reporter, notice: &DbError) {
    let text = shown(notice.message(), LONGEST_NOTICE);
    if let Some((done, total)) = notice_progress(&text) {
        reporter.progress(Progress {
            doing: text.clone(),
            done,
            total,
            unit: ProgressUnit::Rows,
            backfill: None,
        });
    }
    let severity = notice.parsed_severity().map_or_else(|| shown(notice.severity(), 20), |s| s.to_string());
    reporter.line(LogLine::Notice { severity, code: notice.code().code().to_owned(), text });
}
