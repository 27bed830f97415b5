//! A soak's baseline: what PostgreSQL has counted of the tables that a migration touches, before it and while it rests,
//! and what has become more of it.
//!
//! The agent only reads counters; here they are compared. Counters say nothing by themselves: those that only grow are
//! compared as so many a minute, before the migration since they began, and in the soak from its beginning to its end.

mod compare;
mod limits;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use compare::{Compared, Comparison, Figure};
pub use limits::{BaselineLimits, Factor, InvalidFactor};

/// What the database's statistics say at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// By the database's clock.
    pub at: Timestamp,
    /// Since when it counts; None: that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// `since` is when the whole server began to count: the database may be younger.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub since_of_server: bool,
    /// Those that the migrations touch and that were there before them.
    pub tables: Vec<TableMetrics>,
    /// The ones that took most time in all, by `pg_stat_statements`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<StatementMetrics>,
    /// Since when those are counted, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statements_since: Option<Timestamp>,
    /// Why there are none, or not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statements_note: Option<String>,
    /// Of others, to the database, at that moment.
    pub connections: u32,
    pub deadlocks: u64,
    /// Written to temporary files.
    pub temp_bytes: u64,
}

impl Metrics {
    /// An agent tells of so many statements at most.
    pub const MOST_STATEMENTS: u16 = 200;
}

/// A table with its partitions and children.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableMetrics {
    /// It is the same table under another name too.
    pub oid: u32,
    /// With its schema.
    pub table: String,
    /// With its indexes and what is stored out of line.
    pub bytes: u64,
    /// As the statistics estimate them.
    pub rows: u64,
    pub dead_rows: u64,
    pub seq_scans: u64,
    pub indexes: Vec<IndexMetrics>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexMetrics {
    /// With its schema.
    pub index: String,
    pub bytes: u64,
    pub scans: u64,
}

/// A statement as `pg_stat_statements` knows it. Its text stays in the database: it may hold values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementMetrics {
    /// Its `queryid`.
    pub id: i64,
    pub calls: u64,
    /// All of them together.
    #[serde(with = "crate::duration")]
    pub took: Duration,
}
