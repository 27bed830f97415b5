//! One way to talk to both databases: the same SQL text with `$n`, the same arguments, the same rows.
//!
//! Knows nothing of what the tables mean.

use std::error::Error;
use std::str::FromStr;

use jiff::Timestamp;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Postgres, Row as _, Sqlite, Transaction};

use super::error::Cause;

/// An open database.
#[derive(Debug, Clone)]
pub(super) enum Db {
    Sqlite {
        /// One connection, so that writers queue here and not at the file's lock.
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// An open transaction that may write. Dropped without [`Tx::commit`], it is rolled back.
pub(super) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// A statement with its arguments.
pub(super) struct Sql<'q> {
    text: &'static str,
    arguments: Vec<Argument<'q>>,
}

pub(super) enum Argument<'q> {
    Text(&'q str),
    OwnedText(String),
    OptionalText(Option<String>),
    Integer(i64),
    OptionalInteger(Option<i64>),
    Bytes(&'q [u8]),
}

pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// `($1, $2), ($3, $4)` and so on: each statement is a way to the store's own thread and back, so that one takes many rows.
pub(super) fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let places: Vec<String> =
            (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

pub(super) fn sql<'q>(text: &'static str) -> Sql<'q> {
    Sql { text, arguments: Vec::new() }
}

impl<'q> Sql<'q> {
    /// Gives the next `$n` its value.
    pub(super) fn bind(mut self, value: impl Into<Argument<'q>>) -> Self {
        self.arguments.push(value.into());
        self
    }
}

/// A query of either database; they differ in type alone.
macro_rules! query {
    ($sql:expr) => {{
        let Sql { text, arguments } = $sql;
        arguments.into_iter().fold(sqlx::query(text), |query, argument| match argument {
            Argument::Text(value) => query.bind(value),
            Argument::OwnedText(value) => query.bind(value),
            Argument::OptionalText(value) => query.bind(value),
            Argument::Integer(value) => query.bind(value),
            Argument::OptionalInteger(value) => query.bind(value),
            Argument::Bytes(value) => query.bind(value),
        })
    }};
}

impl Db {
    pub(super) async fn begin(&self) -> Result<Tx, Cause> {
        Ok(match self {
            // A transaction that reads first and then writes would fail where another has written meanwhile.
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// A statement that writes, on its own.
    pub(super) async fn write(&self, sql: Sql<'_>) -> Result<Vec<Row>, Cause> {
        let mut tx = self.begin().await?;
        let rows = tx.all(sql).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// A statement that only reads.
    pub(super) async fn read(&self, sql: Sql<'_>) -> Result<Vec<Row>, Cause> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                query!(sql).fetch_all(readers).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(pool) => {
                query!(sql).fetch_all(pool).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    pub(super) async fn execute(&mut self, sql: Sql<'_>) -> Result<u64, Cause> {
        Ok(match self {
            Self::Sqlite(tx) => query!(sql).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => query!(sql).execute(&mut **tx).await?.rows_affected(),
        })
    }

    pub(super) async fn all(&mut self, sql: Sql<'_>) -> Result<Vec<Row>, Cause> {
        Ok(match self {
            Self::Sqlite(tx) => {
                query!(sql).fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(tx) => {
                query!(sql).fetch_all(&mut **tx).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    pub(super) async fn first(&mut self, sql: Sql<'_>) -> Result<Option<Row>, Cause> {
        Ok(self.all(sql).await?.into_iter().next())
    }

    pub(super) async fn commit(self) -> Result<(), Cause> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

/// A column's value as the database driver gives it.
macro_rules! column {
    ($row:expr, $column:expr) => {
        match $row {
            Row::Sqlite(row) => row.try_get($column),
            Row::Postgres(row) => row.try_get($column),
        }
        .map_err(|error| Cause::row($column, error))
    };
}

impl Row {
    pub(super) fn text(&self, column: &'static str) -> Result<String, Cause> {
        column!(self, column)
    }

    pub(super) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, Cause> {
        column!(self, column)
    }

    pub(super) fn optional_text(&self, column: &'static str) -> Result<Option<String>, Cause> {
        column!(self, column)
    }

    /// An id, a digest: anything that is checked as it is read.
    pub(super) fn parsed<T>(&self, column: &'static str) -> Result<T, Cause>
    where
        T: FromStr<Err: Error + Send + Sync + 'static>,
    {
        self.text(column)?.parse().map_err(|error: T::Err| Cause::row(column, error))
    }

    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Result<T, Cause> {
        serde_json::from_str(&self.text(column)?).map_err(|error| Cause::row(column, error))
    }

    /// A number that counts something.
    pub(super) fn count(&self, column: &'static str) -> Result<u64, Cause> {
        let number: i64 = column!(self, column)?;
        u64::try_from(number).map_err(|error| Cause::row(column, error))
    }

    pub(super) fn time(&self, column: &'static str) -> Result<Timestamp, Cause> {
        let micros: i64 = column!(self, column)?;
        Timestamp::from_microsecond(micros).map_err(|error| Cause::row(column, error))
    }

    pub(super) fn optional_time(&self, column: &'static str) -> Result<Option<Timestamp>, Cause> {
        let micros: Option<i64> = column!(self, column)?;
        micros.map(Timestamp::from_microsecond).transpose().map_err(|error| Cause::row(column, error))
    }
}

impl<'q> From<&'q str> for Argument<'q> {
    fn from(value: &'q str) -> Self {
        Self::Text(value)
    }
}

impl From<String> for Argument<'_> {
    fn from(value: String) -> Self {
        Self::OwnedText(value)
    }
}

impl From<Option<String>> for Argument<'_> {
    fn from(value: Option<String>) -> Self {
        Self::OptionalText(value)
    }
}

impl From<Timestamp> for Argument<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Integer(value.as_microsecond())
    }
}

impl From<Option<Timestamp>> for Argument<'_> {
    fn from(value: Option<Timestamp>) -> Self {
        Self::OptionalInteger(value.map(Timestamp::as_microsecond))
    }
}

impl From<u32> for Argument<'_> {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u64> for Argument<'_> {
    fn from(value: u64) -> Self {
        // Nothing here is counted to 2^63.
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<stopover_model::id::Seq> for Argument<'_> {
    fn from(value: stopover_model::id::Seq) -> Self {
        value.0.into()
    }
}

impl<'q> From<&'q [u8]> for Argument<'q> {
    fn from(value: &'q [u8]) -> Self {
        Self::Bytes(value)
    }
}
