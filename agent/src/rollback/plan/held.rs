//! How many rows, and how much, an object holds; and how many of those rows were written after the migration.
//!
//! A row carries the number of the transaction that wrote it (`xmin`). It is newer than the migration when that number came
//! after the one that wrote the migration into the ledger. Numbers come round after four billion: they are compared by
//! their age, and where that proves nothing it is said.

use std::time::Duration;

use stopover_model::id::MigrationId;
use stopover_model::report::StepError;
use stopover_model::rollback::{Held, WrittenSince};
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::reach::Reached;
use crate::postgres::{QueryError, Session};

/// A table up to this is read as a whole; of a larger one a part has to do.
const COUNT_UP_TO: i64 = 2 * 1024 * 1024 * 1024;
/// So much of it.
const SAMPLE_BYTES: i64 = 64 * 1024 * 1024;
/// And so it has where counting takes longer than this.
const COUNT_FOR: Duration = Duration::from_secs(5);
/// Numbers of transactions repeat after so many.
const ALL_NUMBERS: i64 = 1 << 32;
/// Two numbers further apart than half of them can't be compared. A busy database gets there in days.
const OLDEST: Duration = Duration::from_hours(5 * 24);

/// Whether, and by what, it can be told which rows are newer than a migration.
pub(super) enum Since {
    Known {
        migration: MigrationId,
        /// The server keeps the times of commits.
        by_time: bool,
        basis: String,
    },
    Unknown {
        why: String,
    },
}

/// What the ledger's own row tells.
pub(super) async fn since(session: &Session, migration: &MigrationId) -> Result<Since, StepError> {
    let row = session.client().query_typed_opt(LEDGER_ROW, &[(&migration.as_str(), Type::TEXT)]).await;
    let row =
        row.map_err(|e| session.error(e).into_step_error("look at the migration's row in the ledger"))?;
    let unknown = |why: &str| Since::Unknown { why: why.to_owned() };
    let Some(row) = row else { return Ok(unknown("the migration is not in the ledger")) };
    let (by_time, last, shared) = (row.get::<_, bool>(0), row.get::<_, i64>(1), row.get::<_, bool>(2));
    let age = Duration::from_secs(u64::try_from(row.get::<_, i64>(3)).unwrap_or_default());
    if shared {
        return Ok(unknown("the ledger was copied or restored since, so that its rows no longer tell when"));
    }
    let came_round = last >= ALL_NUMBERS;
    if came_round && age > OLDEST {
        return Ok(unknown("the database has had too many transactions since to tell"));
    }
    let basis = if by_time { "by the times of their commits" } else { "by the age of their transactions" };
    let doubt = if came_round { "; rows that were frozen long ago may count as well" } else { "" };
    Ok(Since::Known { migration: migration.clone(), by_time, basis: format!("{basis}{doubt}") })
}

/// What all of these hold together, and the bytes of the largest table among them without its indexes.
pub(super) async fn of(
    session: &Session,
    bearers: &[&Reached],
    since: &Since,
    until: Instant,
) -> Result<(Held, u64), QueryError> {
    let whole = |object| bearers.iter().any(|r| r.object == object && r.sub == 0);
    let bearers: Vec<_> = bearers.iter().filter(|r| r.sub == 0 || !whole(r.object)).collect();
    let (objects, subs): (Vec<u32>, Vec<i32>) = bearers.iter().map(|r| (r.object, r.sub)).unzip();
    let found = session.client().query(BEARERS, &[&objects, &subs]).await.map_err(|e| session.error(e))?;
    let mut all = Held { rows: 0, counted: true, bytes: 0, since: nothing(since) };
    let mut largest = 0;
    for row in &found {
        let one = Bearer::read(row);
        largest = largest.max(unsigned(one.table_bytes));
        let held = one.count(session, since, until).await?;
        all.rows = all.rows.saturating_add(held.rows);
        all.bytes = all.bytes.saturating_add(held.bytes);
        all.counted &= held.counted;
        all.since = together(all.since, held.since);
    }
    Ok((all, largest))
}

fn nothing(since: &Since) -> WrittenSince {
    match since {
        Since::Known { basis, .. } => WrittenSince::Rows { rows: 0, basis: basis.clone() },
        Since::Unknown { why } => WrittenSince::Unknown { why: why.clone() },
    }
}

fn together(one: WrittenSince, other: WrittenSince) -> WrittenSince {
    match (one, other) {
        (WrittenSince::Rows { rows, .. }, WrittenSince::Rows { rows: more, basis }) => {
            WrittenSince::Rows { rows: rows.saturating_add(more), basis }
        }
        (unknown @ WrittenSince::Unknown { .. }, _) | (_, unknown) => unknown,
    }
}

/// A table, or a column of one.
struct Bearer {
    table: String,
    column: Option<String>,
    table_bytes: i64,
    total_bytes: i64,
    /// By the statistics.
    rows: f64,
    null_fraction: f64,
    width: f64,
}

impl Bearer {
    fn read(row: &Row) -> Self {
        Self {
            table: row.get("table_name"),
            column: row.get("column_name"),
            table_bytes: row.get("table_bytes"),
            total_bytes: row.get("total_bytes"),
            rows: row.get("rows"),
            null_fraction: row.get("null_fraction"),
            width: row.get("width"),
        }
    }

    async fn count(&self, session: &Session, since: &Since, until: Instant) -> Result<Held, QueryError> {
        let in_time = Instant::now() < until;
        let mut why = "the time for counting was over";
        if in_time && self.table_bytes <= COUNT_UP_TO {
            match self.read_part(session, since, 100.0).await {
                Err(error) if error.is_lost() => return Err(error),
                Ok(held) => return Ok(held),
                Err(error) if error.sqlstate() == Some("42501") => {
                    return Ok(self.estimated("the agent's user may not read the table"));
                }
                Err(_) => why = "counting took too long",
            }
        }
        if Instant::now() < until {
            // A part of a table has no more decimal places than PostgreSQL reads.
            #[expect(clippy::cast_precision_loss, reason = "a percentage need not be exact")]
            let percent = (100.0 * SAMPLE_BYTES as f64 / self.table_bytes.max(1) as f64).clamp(0.001, 50.0);
            match self.read_part(session, since, percent).await {
                Err(error) if error.is_lost() => return Err(error),
                Ok(held) => return Ok(held),
                Err(_) => why = "counting took too long",
            }
        }
        Ok(self.estimated(why))
    }

    /// Counts in a transaction of its own, which a deadline may end.
    async fn read_part(&self, session: &Session, since: &Since, percent: f64) -> Result<Held, QueryError> {
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = {}",
            COUNT_FOR.as_millis()
        );
        session.client().batch_execute(&begin).await.map_err(|e| session.error(e))?;
        let row = session.client().query_typed_one(&self.sql(since, percent), &[]).await;
        let row = row.map_err(|e| session.error(e));
        session.client().batch_execute("ROLLBACK").await.map_err(|e| session.error(e))?;
        let row = row?;
        let counted = percent >= 100.0;
        let number = |place: usize| scaled(row.get(place), percent);
        let bytes = if self.column.is_some() { number(1) } else { unsigned(self.total_bytes) };
        let since = match since {
            Since::Known { basis, .. } => {
                let part = if counted { "" } else { ", from a part of the table" };
                WrittenSince::Rows { rows: number(2), basis: format!("{basis}{part}") }
            }
            Since::Unknown { why } => WrittenSince::Unknown { why: why.clone() },
        };
        Ok(Held { rows: number(0), counted, bytes, since })
    }

    fn sql(&self, since: &Since, percent: f64) -> String {
        let (rows, bytes) = match &self.column {
            Some(column) => (
                format!("pg_catalog.count(t.{column})"),
                format!("coalesce(pg_catalog.sum(pg_catalog.pg_column_size(t.{column})), 0)::bigint"),
            ),
            None => ("pg_catalog.count(*)".to_owned(), "0::bigint".to_owned()),
        };
        let newer = match since {
            Since::Known { migration, by_time, .. } => {
                format!("{rows} FILTER (WHERE {})", newer(migration, *by_time))
            }
            Since::Unknown { .. } => "0::bigint".to_owned(),
        };
        let part =
            if percent < 100.0 { format!(" TABLESAMPLE SYSTEM ({percent:.4})") } else { String::new() };
        format!("SELECT {rows}, {bytes}, {newer} FROM ONLY {} AS t{part}", self.table)
    }

    fn estimated(&self, why: &str) -> Held {
        let rows = if self.column.is_some() { self.rows * (1.0 - self.null_fraction) } else { self.rows };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
        let whole = |number: f64| number.max(0.0) as u64;
        let bytes = if self.column.is_some() { whole(rows * self.width) } else { unsigned(self.total_bytes) };
        let since = WrittenSince::Unknown { why: why.to_owned() };
        Held { rows: whole(rows), counted: false, bytes, since }
    }
}

/// A migration's id is letters, digits, '.', '-' and '_'.
fn newer(migration: &MigrationId, by_time: bool) -> String {
    let of_ledger =
        |what: &str| format!("(SELECT {what} FROM stopover.migration AS m WHERE m.id = '{migration}')");
    let by_age = format!("pg_catalog.age(t.xmin) BETWEEN 0 AND {}", of_ledger("pg_catalog.age(m.xmin) - 1"));
    if !by_time {
        return by_age;
    }
    let ledger = of_ledger("pg_catalog.pg_xact_commit_timestamp(m.xmin)");
    format!("coalesce(pg_catalog.pg_xact_commit_timestamp(t.xmin) > {ledger}, {by_age})")
}

fn scaled(number: i64, percent: f64) -> u64 {
    if percent >= 100.0 {
        return unsigned(number);
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    let whole = (number.max(0) as f64 * 100.0 / percent).round() as u64;
    whole
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Whether the times of commits are kept, the next transaction's whole number, whether rows of several migrations have been
/// written at once, and the seconds since the migration.
const LEDGER_ROW: &str = "
SELECT pg_catalog.current_setting('track_commit_timestamp')::boolean,
    pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()),
    EXISTS (SELECT FROM stopover.migration o WHERE o.xmin = m.xmin AND o.epoch <> m.epoch),
    extract(epoch FROM now() - coalesce(m.applied_at, m.started_at))::bigint
FROM stopover.migration m WHERE m.id = $1";

const BEARERS: &str = "
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS table_name, pg_catalog.quote_ident(a.attname) AS column_name,
    pg_catalog.pg_table_size(c.oid) AS table_bytes, pg_catalog.pg_total_relation_size(c.oid) AS total_bytes,
    greatest(c.reltuples, 0)::float8 AS rows, coalesce(s.null_frac, 0)::float8 AS null_fraction,
    coalesce(s.avg_width, 0)::float8 AS width
FROM ROWS FROM (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::integer[])) AS b (object, sub)
JOIN pg_catalog.pg_class c ON c.oid = b.object
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = b.sub AND b.sub > 0
LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
    AND NOT s.inherited";
