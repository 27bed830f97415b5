//! Beside whom nothing should begin: dumps, which hold a lock on every table and a snapshot for hours, and transactions
//! that are old already.

use std::time::Duration;

use stopover_model::report::Session as Other;
use tokio_postgres::types::Type;

use super::error::QueryError;
use super::others::{self, COLUMNS, columns, prepared_columns};
use super::session::Session;

/// Somebody beside whom nothing should begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Company {
    pub(crate) session: Other,
    pub(crate) why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// `pg_dump`, the product's own backups included.
    Dump,
    /// A transaction older than it may be.
    Old,
}

/// Whom the session finds in its database, the oldest first; sessions named as this one is are its own.
pub(crate) async fn company(session: &Session, oldest: Duration) -> Result<Vec<Company>, QueryError> {
    let sql = SQL.replace("{columns}", &columns("false")).replace("{prepared}", &prepared_columns());
    let oldest = oldest.as_secs_f64();
    let rows = session.query(&sql, &[(&oldest, Type::FLOAT8)]).await?;
    let read = |row: &tokio_postgres::Row| Company {
        session: others::read(row),
        why: if row.get(COLUMNS) { Why::Dump } else { Why::Old },
    };
    Ok(rows.iter().map(read).collect())
}

/// A dump is known by its name, which everybody may see; one under another name by its transaction of many queries that
/// copies tables out as only `pg_dump` writes it. Backups of this product carry its name, and so do their sessions that
/// only look: these have no transaction for longer than a query.
///
/// What VACUUM holds does not keep anybody from anything for long: whoever waits for an automatic one ends it.
const SQL: &str = r"
SELECT * FROM (
    SELECT {columns},
        coalesce(a.application_name LIKE 'pg\_dump%' AND (a.xact_start IS NOT NULL OR a.backend_type IS NULL)
            OR a.application_name ~ '^stopover/[^/]+/(rollback-)?backup/' AND (
                a.backend_type IS NULL OR a.state LIKE 'idle in %'
                OR a.xact_start < pg_catalog.clock_timestamp() - interval '20 ms')
            OR a.query ~ '^COPY .* TO stdout;$' AND a.backend_xmin IS NOT NULL
                AND a.xact_start < a.query_start - interval '20 ms', false) AS dump,
        a.xact_start AS since
    FROM pg_catalog.pg_stat_activity a
    WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()
      AND coalesce(a.backend_type, '') NOT IN ('autovacuum worker', 'parallel worker')
      AND a.application_name IS DISTINCT FROM pg_catalog.current_setting('application_name')
    UNION ALL
    SELECT {prepared}, false, p.prepared
    FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database()
) found
WHERE dump OR since < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $1)
ORDER BY since NULLS FIRST LIMIT 20";
