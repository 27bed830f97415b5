//! What is asked for when something is put back, what a batch of it has done, and the checkpoint behind it.

use stopover_model::id::SavedId;
use stopover_model::sql::Name;
use tokio_postgres::types::Type;

use super::manifest::Entry;
use super::since::Since;
use crate::postgres::{QueryError, Session};

/// What to put back, and how.
#[derive(Debug, Clone)]
pub struct RestoreWork {
    pub id: SavedId,
    pub by: String,
    /// Into another table; one that is not there is made of nothing but the saved values.
    pub into: Option<Name>,
    /// What the rows hold by now is replaced.
    pub overwrite: bool,
    /// It goes on where a call before it has ended.
    pub goes_on: bool,
}

/// What may be replaced of that which the rows hold by now.
#[derive(Debug, Clone)]
pub(super) enum Replace {
    /// NULL, and what a row has when nobody says otherwise.
    Nothing,
    /// What nobody has written since.
    Older(Since),
    Everything,
}

/// What a batch has done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Batch {
    pub(super) restored: u64,
    pub(super) kept: u64,
    pub(super) missing: u64,
}

/// The checkpoint. What a first batch restores is counted anew.
pub(super) async fn note(
    session: &Session,
    entry: &Entry,
    work: &RestoreWork,
    rows: u64,
    through: Option<i64>,
    first: bool,
) -> Result<(), QueryError> {
    let sql = "UPDATE stopover_saved.manifest SET restored_at = clock_timestamp(), restored_by = $2, restored_through = $4, \
                   restored_rows = CASE WHEN $5 THEN 0 ELSE coalesce(restored_rows, 0) END + $3 WHERE id = $1";
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    session
        .execute(
            sql,
            &[
                (&entry.saved.id.as_str(), Type::TEXT),
                (&work.by.as_str(), Type::TEXT),
                (&rows, Type::INT8),
                (&through, Type::INT8),
                (&first, Type::BOOL),
            ],
        )
        .await
        .map(|_| ())
}
