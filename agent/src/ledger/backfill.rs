//! How far a backfill has got: a row for each range of the key, changed in the transaction of each batch.

use stopover_model::backfill::{KeyValues, Lane};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::write::StatementKey;
use crate::postgres::{Parameters, QueryError, Session};

/// A range of the key, or a lane of one, and how much of it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillRange {
    /// From 0.
    pub range: i32,
    /// The names of the key's columns.
    pub key: Vec<String>,
    /// The range begins behind this; None: with the first row.
    pub after: Option<KeyValues>,
    /// Fixed at the start, so that the backfill ends: the last key of the range.
    pub through: KeyValues,
    /// Where the next batch begins in this pass; None: at the range's beginning.
    pub at: Option<KeyValues>,
    /// From 1; a further one looks for rows that came behind the batches.
    pub pass: i32,
    pub done: bool,
    /// Rows that the batches touched.
    pub rows: i64,
    /// Rows that the batches of the first pass walked over.
    pub walked: i64,
    pub batches: i64,
    /// The size that the last batch had found right.
    pub batch_rows: i32,
    /// The rows of the range that are meant; none: all of them.
    pub lane: Option<Lane>,
}

/// The ranges of a statement's backfill, in order; none when it has not begun.
pub async fn backfill_ranges(
    session: &Session,
    statement: StatementKey<'_>,
) -> Result<Vec<BackfillRange>, QueryError> {
    let sql = "SELECT range, key, after, through, at, pass, done, rows, walked, batches, batch_rows, lane, lanes \
               FROM stopover.backfill WHERE migration = $1 AND direction = $2 AND index = $3 ORDER BY range";
    let parameters: Parameters<'_> = &[
        (&statement.id.as_str(), Type::TEXT),
        (&statement.direction.as_str(), Type::TEXT),
        (&statement.index(), Type::INT4),
    ];
    let rows = session.client().query_typed(sql, parameters).await.map_err(|e| session.error(e))?;
    Ok(rows.iter().map(BackfillRange::read).collect())
}

/// Writes the ranges of a backfill that begins.
pub async fn add_backfill(
    session: &Session,
    statement: StatementKey<'_>,
    ranges: &[BackfillRange],
) -> Result<(), QueryError> {
    let sql = "INSERT INTO stopover.backfill \
               (migration, direction, index, range, key, after, through, batch_rows, lane, lanes) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    for range in ranges {
        let lane = range.lane.unwrap_or(Lane { number: 0, of: 1 });
        session
            .execute(
                sql,
                &[
                    (&statement.id.as_str(), Type::TEXT),
                    (&statement.direction.as_str(), Type::TEXT),
                    (&statement.index(), Type::INT4),
                    (&range.range, Type::INT4),
                    (&range.key, Type::TEXT_ARRAY),
                    (&range.after, Type::TEXT_ARRAY),
                    (&range.through, Type::TEXT_ARRAY),
                    (&range.batch_rows, Type::INT4),
                    (&i16::from(lane.number), Type::INT2),
                    (&i16::from(lane.of), Type::INT2),
                ],
            )
            .await?;
    }
    Ok(())
}

/// What a batch has done, for its row.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub range: i32,
    pub pass: i32,
    /// Where the batch began; the row must still say so.
    pub from: Option<&'a KeyValues>,
    /// Where the next one begins; None: it was the last of the range.
    pub to: Option<&'a KeyValues>,
    pub rows: i64,
    pub walked: i64,
    pub batch_rows: i32,
}

/// Moves a range's place in the transaction of the batch; false when somebody else has moved it.
pub async fn advance_backfill(
    session: &Session,
    statement: StatementKey<'_>,
    batch: Batch<'_>,
) -> Result<bool, QueryError> {
    let sql = "UPDATE stopover.backfill SET at = coalesce($7, at), done = $7 IS NULL, rows = rows + $8, \
               walked = walked + CASE WHEN pass = 1 THEN $9 ELSE 0 END, batches = batches + 1, batch_rows = $10, \
               updated_at = clock_timestamp() \
               WHERE migration = $1 AND direction = $2 AND index = $3 AND range = $4 AND pass = $5 AND NOT done \
               AND at IS NOT DISTINCT FROM $6";
    let changed = session
        .execute(
            sql,
            &[
                (&statement.id.as_str(), Type::TEXT),
                (&statement.direction.as_str(), Type::TEXT),
                (&statement.index(), Type::INT4),
                (&batch.range, Type::INT4),
                (&batch.pass, Type::INT4),
                (&batch.from, Type::TEXT_ARRAY),
                (&batch.to, Type::TEXT_ARRAY),
                (&batch.rows, Type::INT8),
                (&batch.walked, Type::INT8),
                (&batch.batch_rows, Type::INT4),
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Begins another pass over all ranges.
pub async fn next_backfill_pass(session: &Session, statement: StatementKey<'_>) -> Result<(), QueryError> {
    let sql = "UPDATE stopover.backfill SET pass = pass + 1, at = NULL, done = false \
               WHERE migration = $1 AND direction = $2 AND index = $3";
    let parameters: Parameters<'_> = &[
        (&statement.id.as_str(), Type::TEXT),
        (&statement.direction.as_str(), Type::TEXT),
        (&statement.index(), Type::INT4),
    ];
    session.execute(sql, parameters).await.map(|_| ())
}

impl BackfillRange {
    /// A range in which nothing is done.
    #[must_use]
    pub fn new(range: i32, key: Vec<String>, after: Option<KeyValues>, through: KeyValues) -> Self {
        Self {
            range,
            key,
            after,
            through,
            at: None,
            pass: 1,
            done: false,
            rows: 0,
            walked: 0,
            batches: 0,
            batch_rows: 0,
            lane: None,
        }
    }

    /// Whether it has got as far as another lane of the same range.
    #[must_use]
    pub fn is_level_with(&self, other: &Self) -> bool {
        (self.done, &self.at) == (other.done, &other.at)
    }

    fn read(row: &Row) -> Self {
        Self {
            range: row.get("range"),
            key: row.get("key"),
            after: row.get("after"),
            through: row.get("through"),
            at: row.get("at"),
            pass: row.get("pass"),
            done: row.get("done"),
            rows: row.get("rows"),
            walked: row.get("walked"),
            batches: row.get("batches"),
            batch_rows: row.get("batch_rows"),
            lane: lane(row.get("lane"), row.get("lanes")),
        }
    }
}

fn lane(number: i16, of: i16) -> Option<Lane> {
    let (number, of) = (u8::try_from(number).ok()?, u8::try_from(of).ok()?);
    (of > 1).then_some(Lane { number, of })
}
