//! One pass: copies of so many rows, the statements on them, and all of it rolled back.

use std::time::{Duration, Instant};

use super::copy::Source;
use super::statements::Runnable;
use crate::postgres::{QueryError, Session};

/// What a statement took on the copies.
pub(super) struct Timing {
    pub(super) index: u32,
    /// Of each source, in their order.
    pub(super) rows: Vec<u32>,
    pub(super) took: Duration,
}

/// A lost connection, or an agent that is killed, leaves a transaction that the server soon rolls back.
const SETTINGS: &str = "SET LOCAL statement_timeout = '500ms'; SET LOCAL lock_timeout = '100ms'; \
                        SET LOCAL idle_in_transaction_session_timeout = '5s'; SET LOCAL client_min_messages = error";

/// The times of the statements that ran, and what ended them early.
pub(super) async fn run(
    session: &Session,
    sources: &[Source],
    runnable: &Runnable,
    rows: u32,
) -> Result<(Vec<Timing>, Option<QueryError>), QueryError> {
    let mut timings = Vec::new();
    let tried = try_all(session, sources, runnable, rows, &mut timings).await;
    let ended = session.client().batch_execute("ROLLBACK").await.map_err(|e| session.error(e));
    ended.map(|()| (timings, tried.err()))
}

async fn try_all(
    session: &Session,
    sources: &[Source],
    Runnable { schema, statements, .. }: &Runnable,
    rows: u32,
    timings: &mut Vec<Timing>,
) -> Result<(), QueryError> {
    let client = session.client();
    let execute = async |sql: &str| client.batch_execute(sql).await.map_err(|e| session.error(e));
    execute(&format!("BEGIN READ WRITE; {SETTINGS}; CREATE SCHEMA {schema}")).await?;
    let mut filled = Vec::new();
    for source in sources {
        execute(&source.create(schema)).await?;
        let rows = client.execute(&source.fill(schema, rows), &[]).await.map_err(|e| session.error(e))?;
        filled.push(u32::try_from(rows).unwrap_or(u32::MAX));
    }
    execute(&format!("SET LOCAL search_path = {schema}")).await?;
    for statement in statements {
        let began = Instant::now();
        execute(&statement.text).await?;
        timings.push(Timing { index: statement.index, rows: filled.clone(), took: began.elapsed() });
    }
    Ok(())
}
