//! Who keeps a backend from a lock, in words that say whom to ask.

use stopover_model::report::Session as Blocker;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::error::QueryError;
use super::others::{self, COLUMNS, columns, prepared_columns};
use super::session::Session;

/// Who was seen to block a backend.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blockers {
    pub(crate) sessions: Vec<Blocker>,
    /// Their transactions, as `pg_locks` knows them. A prepared one has none.
    pub(crate) transactions: Vec<String>,
    /// The table, quoted, that is waited for, when it is automatic VACUUMs alone that hold it.
    pub(crate) vacuumed: Option<String>,
}

/// Whether the backend waits for a lock at this moment. Cheap: it looks at one backend's row.
pub(crate) async fn waits(session: &Session, pid: i32) -> Result<bool, QueryError> {
    let sql = "SELECT wait_event_type = 'Lock' FROM pg_catalog.pg_stat_get_activity($1)";
    let row = session.client().query_typed_opt(sql, &[(&pid, Type::INT4)]).await;
    Ok(row.map_err(|e| session.error(e))?.and_then(|row| row.get(0)).unwrap_or(false))
}

/// The sessions that the backend waits for; none when it waits for no lock.
pub(crate) async fn blockers(
    session: &Session,
    pid: i32,
    show_queries: bool,
) -> Result<Blockers, QueryError> {
    let sql = SQL.replace("{columns}", &columns("$2")).replace("{prepared}", &prepared_columns());
    let parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
        &[(&pid, Type::INT4), (&show_queries, Type::BOOL)];
    let rows = session.client().query_typed(&sql, parameters).await.map_err(|e| session.error(e))?;
    let vacuumed = |row: &Row| row.get::<_, Option<String>>(COLUMNS + 1);
    Ok(Blockers {
        sessions: rows.iter().map(others::read).collect(),
        transactions: rows.iter().filter_map(|row| row.get(COLUMNS)).collect(),
        vacuumed: rows.first().and_then(vacuumed).filter(|_| rows.iter().all(|row| vacuumed(row).is_some())),
    })
}

/// Whether one of these transactions still runs.
pub(crate) async fn still_run(session: &Session, transactions: &[String]) -> Result<bool, QueryError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks \
               WHERE locktype = 'virtualxid' AND granted AND virtualtransaction = ANY ($1))";
    let row = session.client().query_typed_one(sql, &[(&transactions, Type::TEXT_ARRAY)]).await;
    Ok(row.map_err(|e| session.error(e))?.get(0))
}

/// To `pg_blocking_pids` every prepared transaction is 0: which of them it is, the locks say.
const SQL: &str = "
WITH b (pid) AS MATERIALIZED (
    SELECT DISTINCT pg_catalog.unnest(pg_catalog.pg_blocking_pids(me.pid))
    FROM pg_catalog.pg_stat_get_activity($1) me WHERE me.wait_event_type = 'Lock')
SELECT {columns},
    (SELECT l.virtualtransaction FROM pg_catalog.pg_locks l
     WHERE l.pid = a.pid AND l.locktype = 'virtualxid' AND l.granted
       AND l.virtualxid = l.virtualtransaction LIMIT 1),
    (SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
     FROM pg_catalog.pg_locks w JOIN pg_catalog.pg_class c ON c.oid = w.relation
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE a.backend_type = 'autovacuum worker' AND w.pid = $1 AND NOT w.granted AND w.locktype = 'relation'
     LIMIT 1)
FROM b JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid
UNION ALL
SELECT {prepared}, NULL, NULL
FROM pg_catalog.pg_prepared_xacts p
WHERE p.database = pg_catalog.current_database() AND EXISTS (SELECT FROM b WHERE b.pid = 0) AND EXISTS (
    SELECT FROM pg_catalog.pg_locks its
    JOIN pg_catalog.pg_locks held ON held.pid IS NULL AND held.virtualtransaction = its.virtualtransaction
    JOIN pg_catalog.pg_locks wanted ON
        (held.locktype, held.database, held.relation, held.page, held.tuple, held.virtualxid, held.transactionid,
         held.classid, held.objid, held.objsubid)
        IS NOT DISTINCT FROM
        (wanted.locktype, wanted.database, wanted.relation, wanted.page, wanted.tuple, wanted.virtualxid,
         wanted.transactionid, wanted.classid, wanted.objid, wanted.objsubid)
    WHERE wanted.pid = $1 AND NOT wanted.granted
      AND its.pid IS NULL AND its.locktype = 'transactionid' AND its.transactionid = p.transaction)
ORDER BY 1";
