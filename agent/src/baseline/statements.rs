//! Which statements take most time, where `pg_stat_statements` is there and may be read.

use std::time::Duration;

use jiff::Timestamp;
use stopover_model::baseline::{Metrics, StatementMetrics};
use tokio_postgres::Row;

use crate::postgres::{QueryError, Session};

pub(super) struct Statements {
    pub all: Vec<StatementMetrics>,
    pub since: Option<Timestamp>,
    /// Why there are none, or not all.
    pub note: Option<String>,
}

/// Only a lost connection is an error.
pub(super) async fn look(session: &Session) -> Result<Statements, QueryError> {
    let installed = session.client().query_typed(INSTALLED, &[]).await.map_err(|e| session.error(e))?;
    let none = |note: String| Statements { all: Vec::new(), since: None, note: Some(note) };
    let Some(extension) = installed.first() else {
        return Ok(none(
            "the times of statements are not known: pg_stat_statements is not installed in this database"
                .to_owned(),
        ));
    };
    match read(session, extension).await {
        Ok(statements) => Ok(statements),
        Err(error) if error.is_lost() => Err(error),
        Err(error) => Ok(none(format!("the times of statements are not known: {error}"))),
    }
}

async fn read(session: &Session, extension: &Row) -> Result<Statements, QueryError> {
    let schema: &str = extension.get("schema");
    let total = if extension.get("has_exec_time") { "total_exec_time" } else { "total_time" };
    // Without the texts, which are in a file.
    let sql = STATEMENTS
        .replace("{schema}", schema)
        .replace("{total}", total)
        .replace("{most}", &Metrics::MOST_STATEMENTS.to_string());
    let rows = session.client().query_typed(&sql, &[]).await.map_err(|e| session.error(e))?;
    let since = if extension.get("has_info") {
        let sql = SINCE.replace("{schema}", schema);
        let row = session.client().query_typed_one(&sql, &[]).await.map_err(|e| session.error(e))?;
        super::time(&row, "since")
    } else {
        None
    };
    let blind: bool = extension.get("blind");
    let note = blind.then(|| {
        format!(
            "the times of other roles' statements are not known: GRANT pg_read_all_stats TO {}",
            session.identity().user
        )
    });
    let statement = |row: &Row| StatementMetrics {
        id: row.get("id"),
        calls: u64::try_from(row.get::<_, i64>("calls")).unwrap_or(0),
        took: Duration::try_from_secs_f64(row.get::<_, f64>("ms") / 1_000.0).unwrap_or_default(),
    };
    Ok(Statements { all: rows.iter().map(statement).collect(), since, note })
}

/// It lies in the schema that it was created in; `total_exec_time` is there since 1.8, the time of the last reset since 1.9.
const INSTALLED: &str = "
SELECT pg_catalog.quote_ident(n.nspname) AS schema,
       pg_catalog.string_to_array(e.extversion, '.')::int[] >= ARRAY[1, 8] AS has_exec_time,
       pg_catalog.string_to_array(e.extversion, '.')::int[] >= ARRAY[1, 9] AS has_info,
       NOT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS blind
FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'";

const SINCE: &str = "SELECT (extract(epoch FROM stats_reset) * 1000000)::bigint AS since FROM {schema}.pg_stat_statements_info";

/// Of others' statements a role without `pg_read_all_stats` gets no id.
const STATEMENTS: &str = "
SELECT queryid AS id, sum(calls)::bigint AS calls, sum({total}) AS ms
FROM {schema}.pg_stat_statements(false)
WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND queryid IS NOT NULL AND calls > 0
GROUP BY queryid
ORDER BY ms DESC, id
LIMIT {most}";
