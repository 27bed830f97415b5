//! Reads one history table, with a query for each tool that asks for the same columns.

use jiff::Timestamp;
use stopover_model::history::{HistoryRow, HistoryTable, Tool};
use stopover_model::report::StepError;
use stopover_model::sql::quoted;
use tokio_postgres::Row;

use super::find::Found;
use crate::postgres::{QueryError, Session};

pub(super) async fn table(session: &Session, found: Found) -> Result<HistoryTable, StepError> {
    let Found { tool, table } = found;
    let rows = session.client().query_typed(&query(tool, &table), &[]).await;
    let rows = rows.map_err(|e| not_read(session, session.error(e), tool, &table))?;
    let rows = rows.iter().map(|row| read(tool, row)).collect();
    Ok(HistoryTable { tool, table, rows })
}

fn read(tool: Tool, row: &Row) -> HistoryRow {
    let at: Option<i64> = row.get("at");
    HistoryRow {
        version: row.get("version"),
        name: row.get("name"),
        scope: row.get("scope"),
        state: tool.row_state(row.get::<_, Option<&str>>("kind").unwrap_or_default(), row.get("ok")),
        at: at.and_then(|at| Timestamp::from_microsecond(at).ok()),
        checksum: row.get("checksum"),
    }
}

/// In the tool's own order.
fn query(tool: Tool, table: &str) -> String {
    let mut columns = Columns {
        version: "version::text",
        name: NONE,
        scope: NONE,
        kind: "''",
        ok: "true",
        at: "",
        checksum: NONE,
    };
    let rest = match tool {
        Tool::GolangMigrate => {
            columns.ok = "NOT dirty";
            "ORDER BY version"
        }
        Tool::Rails | Tool::Dbmate => "ORDER BY version",
        Tool::Flyway => {
            columns.name = "description";
            columns.kind = "type";
            columns.ok = "success";
            columns.at = "installed_on";
            columns.checksum = "checksum::text";
            // It made the schema, which is no migration.
            "WHERE type <> 'SCHEMA' ORDER BY installed_rank"
        }
        Tool::Sqlx => {
            columns.name = "description";
            columns.ok = "success";
            columns.at = "installed_on";
            columns.checksum = "encode(checksum, 'hex')";
            "ORDER BY version"
        }
        Tool::Diesel => {
            columns.at = "run_on";
            "ORDER BY version"
        }
        Tool::Goose => {
            columns.version = "version_id::text";
            columns.ok = "is_applied";
            columns.at = "tstamp";
            "ORDER BY id"
        }
        Tool::Liquibase => {
            columns.version = "id";
            columns.name = "author";
            columns.scope = "filename";
            columns.kind = "exectype";
            columns.at = "dateexecuted";
            columns.checksum = "md5sum";
            "ORDER BY orderexecuted, dateexecuted"
        }
        Tool::Sqitch => {
            columns.version = "change";
            columns.scope = "project";
            columns.at = "committed_at";
            columns.checksum = "script_hash";
            "ORDER BY committed_at"
        }
    };
    format!("SELECT {} FROM {table} AS history {rest}", columns.sql())
}

const NONE: &str = "NULL";

/// An expression for each.
struct Columns {
    version: &'static str,
    name: &'static str,
    scope: &'static str,
    kind: &'static str,
    ok: &'static str,
    /// Empty: the tool writes no time.
    at: &'static str,
    checksum: &'static str,
}

impl Columns {
    fn sql(&self) -> String {
        let Self { version, name, scope, kind, ok, at, checksum } = self;
        let at = if at.is_empty() {
            "NULL".to_owned()
        } else {
            format!("CASE WHEN isfinite({at}) THEN extract(epoch FROM {at}::timestamptz) * 1000000 END")
        };
        format!(
            "({version})::text AS version, ({name})::text AS name, ({scope})::text AS scope, ({kind})::text AS kind, \
             coalesce(({ok})::boolean, false) AS ok, ({at})::bigint AS at, ({checksum})::text AS checksum"
        )
    }
}

fn not_read(session: &Session, error: QueryError, tool: Tool, table: &str) -> StepError {
    let denied = error.sqlstate() == Some("42501");
    let mut error = error.into_step_error(&format!("read the history of {tool} in {table}"));
    if denied {
        let user = quoted(&session.identity().user);
        error.hint = Some(format!("GRANT SELECT ON {table} TO {user} (and USAGE on its schema)"));
    }
    error
}
