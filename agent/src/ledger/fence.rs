//! The newest epoch that has written here. A work transaction of an older one reads no row, and stops.

use tokio_postgres::types::Type;

use super::Author;
use crate::postgres::{Parameters, QueryError, Session};

/// Makes the author's run the one that may write; false when a newer epoch is there. Take the session lock first: an
/// orphan's transaction holds the row, and this waits for it.
pub async fn take_fence(session: &Session, author: &Author) -> Result<bool, QueryError> {
    let sql = "INSERT INTO stopover.fence AS fence (epoch, run) VALUES ($1, $2) \
               ON CONFLICT (only_row) DO UPDATE SET epoch = $1, run = $2, taken_at = clock_timestamp() \
               WHERE fence.epoch <= $1 RETURNING fence.epoch";
    let parameters: Parameters<'_> = &[(&author.epoch(), Type::INT8), (&author.run.as_str(), Type::TEXT)];
    let rows = session.query(sql, parameters).await?;
    Ok(!rows.is_empty())
}

/// Inside a work transaction: whether the author's run may still write. True holds until the transaction's end.
pub async fn hold_fence(session: &Session, author: &Author) -> Result<bool, QueryError> {
    let sql = "SELECT 1 FROM stopover.fence WHERE epoch = $1 AND run = $2 FOR SHARE";
    let parameters: Parameters<'_> = &[(&author.epoch(), Type::INT8), (&author.run.as_str(), Type::TEXT)];
    let rows = session.query(sql, parameters).await?;
    Ok(!rows.is_empty())
}
