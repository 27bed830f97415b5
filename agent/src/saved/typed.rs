//! Statements that are put together, and so are never prepared for another time.

use crate::postgres::{QueryError, Session};

pub(super) async fn execute(session: &Session, sql: &str) -> Result<u64, QueryError> {
    session.client().execute_typed(sql, &[]).await.map_err(|e| session.error(e))
}

/// The count that a query gives.
pub(super) async fn number(session: &Session, sql: &str) -> Result<u64, QueryError> {
    let row = session.client().query_typed_one(sql, &[]).await.map_err(|e| session.error(e))?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}
