//! Other people's sessions as rows of `pg_stat_activity`.

use std::time::Duration;

use stopover_model::report::Session as Other;
use tokio_postgres::Row;

use super::error::QueryError;
use super::session::Session;
use super::text::{shown, shown_line};

/// Of a query's text so much is shown.
const LONGEST_QUERY: usize = 200;

/// The first columns of a query over `pg_stat_activity a`, as [`read`] takes them. `show_query` is a condition.
pub(crate) fn columns(show_query: &str) -> String {
    format!(
        "a.pid, coalesce(a.usename, '')::text, \
         coalesce(nullif(a.application_name, ''), nullif(a.backend_type, 'client backend'), ''), \
         coalesce(a.state, CASE WHEN a.xact_start IS NULL THEN '' ELSE 'active' END), \
         {}, {}, CASE WHEN {show_query} THEN pg_catalog.left(a.query, 1000) END",
        milliseconds("a.xact_start"),
        milliseconds("a.query_start")
    )
}

/// The same columns of `pg_prepared_xacts p`.
pub(crate) fn prepared_columns() -> String {
    let age = milliseconds("p.prepared");
    format!("0, p.owner::text, '', pg_catalog.quote_literal(p.gid), {age}, 0::bigint, NULL::text")
}

/// How many columns they are.
pub(crate) const COLUMNS: usize = 7;

pub(crate) fn read(row: &Row) -> Other {
    let age =
        |column: usize| Duration::from_millis(u64::try_from(row.get::<_, i64>(column)).unwrap_or_default());
    let query: Option<&str> = row.get(6);
    Other {
        pid: row.get(0),
        user: shown(row.get(1), 63),
        application: shown(row.get(2), 63),
        state: shown(row.get(3), 210),
        transaction_age: age(4),
        query_age: age(5),
        query: query
            .filter(|text| !text.is_empty() && *text != "<insufficient privilege>")
            .map(|text| shown_line(text, LONGEST_QUERY)),
    }
}

/// Why this session does not see the transactions of other roles, when there are any to be seen.
pub(crate) async fn blindness(session: &Session) -> Result<Option<String>, QueryError> {
    let row = session.client().query_typed_one(BLINDNESS, &[]).await.map_err(|e| session.error(e))?;
    Ok(row.get::<_, bool>(0).then(|| {
        format!(
            "{} can't see the transactions of other roles, so that long ones may be missing here; GRANT pg_read_all_stats to it",
            session.identity().user
        )
    }))
}

fn milliseconds(since: &str) -> String {
    format!("coalesce((extract(epoch FROM pg_catalog.clock_timestamp() - {since}) * 1000)::bigint, 0)")
}

const BLINDNESS: &str = "
SELECT NOT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AND EXISTS (
    SELECT FROM pg_catalog.pg_stat_activity
    WHERE datname = pg_catalog.current_database() AND usename <> current_user AND pid <> pg_catalog.pg_backend_pid())";
