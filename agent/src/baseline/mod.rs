//! What PostgreSQL's statistics say of a database and of the tables that a migration touches. It only reads, and leaves
//! the texts of statements where they are: they may hold values.
//!
//! Of the manual's chapter 28, "Monitoring Database Activity": counters only grow, until somebody resets them or the
//! server crashes. A session adds its own to them when it is idle, at most once a second, so that what has just ended may
//! not be in them yet, and what still runs is not. In a transaction they stay as they were first read, so each look is
//! outside of one. Rows and dead rows are estimates.

mod statements;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use stopover_model::baseline::{IndexMetrics, Metrics, TableMetrics};
use stopover_model::report::{ErrorClass, Outcome, StepError, StepReport};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::postgres::{Purpose, QueryError, Session, SessionName, shown};
use crate::step::StepContext;

/// What a look at the statistics is asked for.
#[derive(Debug, Clone)]
pub struct MeasureRequest {
    /// By their oids.
    pub tables: Vec<u32>,
    /// What the inspection found; empty: not checked.
    pub system_identifier: String,
}

/// Looks at them in a session of its own.
pub async fn run(context: &StepContext, request: &MeasureRequest) -> Outcome {
    match measure(context, request).await {
        Ok(metrics) => Outcome::Succeeded { report: StepReport::Measured(metrics) },
        Err(error) => Outcome::Failed { error, report: None },
    }
}

async fn measure(context: &StepContext, request: &MeasureRequest) -> Result<Metrics, StepError> {
    let purpose =
        Purpose::reading(&SessionName::of(context)).expecting_system(Some(&request.system_identifier));
    let session = context.database.connect(&purpose).await?;
    let metrics = tokio::select! {
        metrics = bounded(&session, &request.tables) => metrics,
        () = context.cancel.cancelled() => {
            session.cancel().await;
            Err(StepError::new(ErrorClass::Cancelled, "reading the statistics was cancelled"))
        }
    };
    session.close().await;
    metrics
}

async fn bounded(session: &Session, tables: &[u32]) -> Result<Metrics, StepError> {
    let bounds = "SET lock_timeout = '1s'; SET statement_timeout = '30s'";
    let set = session.client().batch_execute(bounds).await.map_err(|e| session.error(e));
    let metrics = match set {
        Ok(()) => look(session, tables).await,
        Err(error) => Err(error),
    };
    metrics.map_err(|error| {
        // Somebody alters one of the tables, or the server has much to do: it is not so for long.
        let passing = error.is_lock() || error.sqlstate() == Some("57014");
        let mut error = error.into_step_error("could not read the database's statistics");
        if passing {
            error.class = ErrorClass::Transient;
        }
        error
    })
}

/// What is counted now. The session's own time limits hold.
pub(crate) async fn look(session: &Session, tables: &[u32]) -> Result<Metrics, QueryError> {
    let of_tables = of_tables(session, tables).await?;
    let statements = statements::look(session).await?;
    let row = session.client().query_typed_one(DATABASE, &[]).await.map_err(|e| session.error(e))?;
    let time = |column: &str| time(&row, column);
    Ok(Metrics {
        at: time("at").unwrap_or_default(),
        since: time("since").or(time("since_of_server")),
        since_of_server: time("since").is_none(),
        tables: of_tables,
        statements: statements.all,
        statements_since: statements.since,
        statements_note: statements.note,
        connections: u32::try_from(unsigned(&row, "connections")).unwrap_or(u32::MAX),
        deadlocks: unsigned(&row, "deadlocks"),
        temp_bytes: unsigned(&row, "temp_bytes"),
    })
}

async fn of_tables(session: &Session, tables: &[u32]) -> Result<Vec<TableMetrics>, QueryError> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let asked = [(&tables as &(dyn tokio_postgres::types::ToSql + Sync), Type::OID_ARRAY)];
    let mut indexes: BTreeMap<u32, Vec<IndexMetrics>> = BTreeMap::new();
    for row in session.client().query_typed(INDEXES, &asked).await.map_err(|e| session.error(e))? {
        let index = IndexMetrics {
            index: shown(row.get("name"), LONGEST_NAME),
            bytes: unsigned(&row, "bytes"),
            scans: unsigned(&row, "scans"),
        };
        indexes.entry(row.get("root")).or_default().push(index);
    }
    let rows = session.client().query_typed(TABLES, &asked).await.map_err(|e| session.error(e))?;
    let table = |row: &Row| {
        let oid = row.get("root");
        TableMetrics {
            oid,
            table: shown(row.get("name"), LONGEST_NAME),
            bytes: unsigned(row, "bytes"),
            rows: unsigned(row, "rows"),
            dead_rows: unsigned(row, "dead_rows"),
            seq_scans: unsigned(row, "seq_scans"),
            indexes: indexes.remove(&oid).unwrap_or_default(),
        }
    };
    Ok(rows.iter().map(table).collect())
}

fn time(row: &Row, column: &str) -> Option<Timestamp> {
    Timestamp::from_microsecond(row.get::<_, Option<i64>>(column)?).ok()
}

/// PostgreSQL has no unsigned numbers; what it counts is never negative.
fn unsigned(row: &Row, column: &str) -> u64 {
    u64::try_from(row.get::<_, i64>(column)).unwrap_or(0)
}

const LONGEST_NAME: usize = 200;
const DATABASE: &str = include_str!("database.sql");
const TABLES: &str = include_str!("tables.sql");
const INDEXES: &str = include_str!("indexes.sql");
