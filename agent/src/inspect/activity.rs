//! Who else is at work in the database: dumps, old transactions, and strong locks on the tables in question.

use std::time::Duration;

use stopover_model::report::{Session as OtherSession, StepError, TableLock};
use tokio_postgres::Row;

use crate::postgres::{Session, company, read_session, session_columns, shown, step_error};

const LONG: Duration = Duration::from_secs(5);

/// Transactions of others older than five seconds, and dumps of any age, the oldest first.
pub(super) async fn long_running(session: &Session) -> Result<Vec<OtherSession>, StepError> {
    let found = company(session, LONG).await;
    let found = found.map_err(|error| error.into_step_error("could not look for long transactions"))?;
    Ok(found.into_iter().map(|company| company.session).collect())
}

/// Locks of others on these tables that block, or wait for, more than reading and writing.
pub(super) async fn strong_locks(session: &Session, tables: &[u32]) -> Result<Vec<TableLock>, StepError> {
    let sql = STRONG_LOCKS.replace("{columns}", &session_columns("false"));
    let rows = session.client().query(&sql, &[&tables]).await;
    let rows = rows.map_err(|error| step_error("could not look for locks on the tables", error))?;
    let lock = |row: &Row| TableLock {
        table: shown(row.get("table"), 200),
        mode: row.get("mode"),
        granted: row.get("granted"),
        holder: read_session(row),
    };
    Ok(rows.iter().map(lock).collect())
}

const STRONG_LOCKS: &str = "
SELECT {columns}, l.relation::regclass::text AS table, l.mode, l.granted
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.relation = ANY ($1::oid[])
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
ORDER BY l.granted DESC, l.pid
LIMIT 20";
