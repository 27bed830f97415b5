//! Who else is at work in the database: old transactions, and strong locks on the tables in question.

use std::time::Duration;

use stopover_model::report::{Session as OtherSession, StepError, TableLock};
use tokio_postgres::Row;

use crate::postgres::{Session, shown, step_error};

/// Transactions of others older than five seconds, the oldest first.
pub(super) async fn long_running(session: &Session) -> Result<Vec<OtherSession>, StepError> {
    let rows = session.client().query(LONG_RUNNING, &[]).await;
    let rows = rows.map_err(|error| step_error("could not look for long transactions", error))?;
    Ok(rows.iter().map(|row| other_session(row, 0)).collect())
}

/// Locks of others on these tables that block, or wait for, more than reading and writing.
pub(super) async fn strong_locks(session: &Session, tables: &[u32]) -> Result<Vec<TableLock>, StepError> {
    let rows = session.client().query(STRONG_LOCKS, &[&tables]).await;
    let rows = rows.map_err(|error| step_error("could not look for locks on the tables", error))?;
    let lock = |row: &Row| TableLock {
        table: shown(row.get(5), 200),
        mode: row.get(6),
        granted: row.get(7),
        holder: other_session(row, 0),
    };
    Ok(rows.iter().map(lock).collect())
}

fn other_session(row: &Row, from: usize) -> OtherSession {
    let text = |i: usize| shown(&row.get::<_, Option<String>>(from + i).unwrap_or_default(), 100);
    let age: Option<f64> = row.get(from + 4);
    OtherSession {
        pid: row.get(from),
        user: text(1),
        application: text(2),
        state: text(3),
        transaction_age: Duration::try_from_secs_f64(age.unwrap_or(0.0)).unwrap_or_default(),
    }
}

const LONG_RUNNING: &str = "
SELECT pid, usename::text, coalesce(nullif(application_name, ''), nullif(backend_type, 'client backend')), coalesce(state, 'active'),
       extract(epoch FROM pg_catalog.now() - xact_start)::float8
FROM pg_catalog.pg_stat_activity
WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
  AND xact_start < pg_catalog.now() - interval '5 seconds'
ORDER BY xact_start
LIMIT 20";

const STRONG_LOCKS: &str = "
SELECT l.pid, a.usename::text, coalesce(nullif(a.application_name, ''), nullif(a.backend_type, 'client backend')),
       coalesce(a.state, 'active'), extract(epoch FROM pg_catalog.now() - a.xact_start)::float8,
       l.relation::regclass::text, l.mode, l.granted
FROM pg_catalog.pg_locks l
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.relation = ANY ($1::oid[])
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
ORDER BY l.granted DESC, l.pid
LIMIT 20";
