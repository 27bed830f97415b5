//! Who keeps a backend from a lock, in words that say whom to ask: never what they run.

use std::time::Duration;

use stopover_model::report::Session as Blocker;
use tokio_postgres::types::Type;

use super::error::QueryError;
use super::session::Session;
use super::text::shown;

/// The sessions that the backend waits for; none when it waits for no lock.
pub(crate) async fn blockers(session: &Session, pid: i32) -> Result<Vec<Blocker>, QueryError> {
    let rows =
        session.client().query_typed(BLOCKERS, &[(&pid, Type::INT4)]).await.map_err(|e| session.error(e))?;
    let read = rows.iter().map(|row| Blocker {
        pid: row.get(0),
        user: shown(row.get(1), 63),
        application: shown(row.get(2), 63),
        state: shown(row.get(3), 63),
        transaction_age: Duration::from_millis(u64::try_from(row.get::<_, i64>(4)).unwrap_or_default()),
    });
    Ok(read.collect())
}

/// "pid 12 (report as bob, idle in transaction for 3m 05s)"
pub(crate) fn describe_blocker(blocker: &Blocker) -> String {
    let application =
        if blocker.application.is_empty() { "no application name" } else { &blocker.application };
    format!(
        "pid {} ({application} as {}, {} for {})",
        blocker.pid,
        blocker.user,
        blocker.state,
        stopover_model::duration::human(blocker.transaction_age)
    )
}

const BLOCKERS: &str = "
SELECT DISTINCT a.pid, coalesce(a.usename, '')::text, coalesce(a.application_name, ''), coalesce(a.state, ''),
    coalesce((extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start) * 1000)::bigint, 0)
FROM pg_catalog.pg_stat_activity me
CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(me.pid)) AS b (pid)
JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid
WHERE me.pid = $1 AND me.wait_event_type = 'Lock' ORDER BY 1";
