//! Where a batch ends: the key so many rows further on, looked up in a session that only reads.
//!
//! It is looked up while the batch before runs, so a batch never waits for it; any kind of key will do, however its values
//! lie.

use stopover_model::backfill::{Batchable, KeyColumn, KeyValues, Lane, Order, Range};
use stopover_model::sql::quoted;

use super::key::Walk;
use crate::ledger::BackfillRange;
use crate::postgres::{QueryError, Session};

/// One batch's place in its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// Where the range stood.
    pub(super) from: Option<KeyValues>,
    /// Where it stands behind the batch; None: it is the last one.
    pub(super) to: Option<KeyValues>,
    /// How many rows it was meant to have, with those of all lanes.
    pub(super) size: u32,
}

impl Cut {
    /// How many of its rows a lane is meant to have: over all lanes they are those of the cut. What the last batch of a
    /// range had nobody counted.
    pub(super) fn walked(&self, lane: Option<Lane>) -> u32 {
        let Lane { number, of } = lane.unwrap_or(Lane { number: 0, of: 1 });
        let of = u32::from(of.max(1));
        let (each, more) = (self.size / of, self.size % of);
        if self.to.is_some() { each + u32::from(u32::from(number) < more) } else { 0 }
    }

    /// The rows of the batch.
    pub(super) fn rows_of<'a>(
        &'a self,
        range: &'a BackfillRange,
        order: Order,
        key: &'a [KeyColumn],
    ) -> Range<'a> {
        match order {
            Order::Ascending => Range {
                key,
                after: self.from.as_ref().or(range.after.as_ref()),
                through: Some(self.to.as_ref().unwrap_or(&range.through)),
                lane: range.lane,
            },
            Order::Descending => Range {
                key,
                after: self.to.as_ref().or(range.after.as_ref()),
                through: Some(self.from.as_ref().unwrap_or(&range.through)),
                lane: range.lane,
            },
        }
    }
}

/// Finds the end of the batch of `size` rows that begins at `from`.
pub(super) async fn cut(
    scout: &Session,
    walk: &Walk,
    order: Order,
    range: &BackfillRange,
    from: Option<&KeyValues>,
    size: u32,
) -> Result<Cut, QueryError> {
    let (direction, offset, rest) = match order {
        Order::Ascending => {
            let rest = Range {
                key: &walk.key,
                after: from.or(range.after.as_ref()),
                through: Some(&range.through),
                lane: None,
            };
            ("", size.saturating_sub(1), rest)
        }
        Order::Descending => {
            let rest = Range {
                key: &walk.key,
                after: range.after.as_ref(),
                through: Some(from.unwrap_or(&range.through)),
                lane: None,
            };
            (" DESC", size, rest)
        }
    };
    let sql = format!(
        "{} WHERE {} ORDER BY {} OFFSET {offset} LIMIT 1",
        walk.select_key(),
        rest.sql(Walk::ALIAS),
        walk.order_by(direction)
    );
    let to = first(scout, &sql).await?;
    // The range's own last key ends it.
    let to = to.filter(|to| order == Order::Descending || *to != range.through);
    Ok(Cut { from: from.cloned(), to, size })
}

/// The last key of the table, from which on nothing belongs to the backfill; None where it has no rows.
pub(super) async fn last_key(scout: &Session, walk: &Walk) -> Result<Option<KeyValues>, QueryError> {
    first(scout, &format!("{} ORDER BY {} LIMIT 1", walk.select_key(), walk.order_by(" DESC"))).await
}

/// The key of the row at a place in the table, counted from its beginning.
pub(super) async fn key_at(
    scout: &Session,
    walk: &Walk,
    place: u64,
) -> Result<Option<KeyValues>, QueryError> {
    first(scout, &format!("{} ORDER BY {} OFFSET {place} LIMIT 1", walk.select_key(), walk.order_by("")))
        .await
}

/// How many rows there are.
pub(super) async fn count(scout: &Session, walk: &Walk) -> Result<u64, QueryError> {
    let sql = format!("SELECT count(*) FROM {}", walk.from());
    let row = scout.client().query_typed_one(&sql, &[]).await.map_err(|e| scout.error(e))?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}

/// Values are read as ISO 8601 and standard intervals write them, which every session reads back the same.
async fn first(scout: &Session, sql: &str) -> Result<Option<KeyValues>, QueryError> {
    let client = scout.client();
    let (begun, found, ended) = tokio::join!(
        client.batch_execute(
            "BEGIN READ ONLY; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'iso_8601'; \
             SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 3; SET LOCAL lock_timeout = '5s'"
        ),
        client.query_typed_opt(sql, &[]),
        client.batch_execute("COMMIT"),
    );
    begun.map_err(|e| scout.error(e))?;
    let row = found.map_err(|e| scout.error(e));
    ended.map_err(|e| scout.error(e))?;
    Ok(row?.map(|row| row.get(0)))
}

impl Walk {
    /// What the table is called in the agent's own queries.
    pub(super) const ALIAS: &'static str = "walked";

    fn from(&self) -> String {
        let only = if self.only { "ONLY " } else { "" };
        format!("{only}{}.{} AS {}", quoted(&self.schema), quoted(&self.table), Self::ALIAS)
    }

    fn select_key(&self) -> String {
        let columns: Vec<_> =
            self.key.iter().map(|column| format!("{}.{}::text", Self::ALIAS, quoted(&column.name))).collect();
        format!("SELECT ARRAY[{}] FROM {}", columns.join(", "), self.from())
    }

    fn order_by(&self, direction: &str) -> String {
        let columns: Vec<_> = self
            .key
            .iter()
            .map(|column| format!("{}.{}{direction}", Self::ALIAS, quoted(&column.name)))
            .collect();
        columns.join(", ")
    }

    /// Whether a row up to a bound still meets the statement's condition.
    pub(super) fn remaining_sql(&self, batchable: &Batchable<'_>, through: &KeyValues) -> Option<String> {
        batchable.remaining_sql(&Range { key: &self.key, after: None, through: Some(through), lane: None })
    }
}
