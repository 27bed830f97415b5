//! What statements took, where and with how much work: what estimates are made from.
//!
//! A deployment knows its own from its log; those of earlier ones the server keeps.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backfill::Throttle;
use crate::digest::Digest;
use crate::id::{DatabaseName, EnvironmentName, MigrationId};
use crate::impact::{StatementImpact, Work, WorkKind};
use crate::migration::Variant;

/// Below both, the way there and back and the machine's other work are most of what was measured.
pub(super) const LEAST_TIME: Duration = Duration::from_millis(10);
const LEAST_ROWS: u64 = 10_000;

/// What one statement took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    pub environment: EnvironmentName,
    pub database: DatabaseName,
    /// Of the migration.
    pub digest: Digest,
    pub variant: Variant,
    /// From 0, in the variant's summary.
    pub statement: u32,
    pub kind: MeasuredKind,
    /// That it was to go through, as far as was known before it began.
    pub rows: u64,
    pub bytes: u64,
    /// That it said it touched.
    pub touched: u64,
    pub took: Duration,
    pub at: Timestamp,
}

/// What a measured statement was busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasuredKind {
    Rewrite,
    Scan,
    BuildIndex,
    ChangeRows,
    /// Rows changed batch by batch.
    Backfill,
    /// Several of them, or something that nobody can look into. It tells of the same statement alone.
    Other,
    /// On a copy, whatever it was. It tells of the same statement in the same database alone.
    Rehearsed,
}

/// What an earlier database's run of a whole migration took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured<'a> {
    pub environment: &'a str,
    pub migration: &'a MigrationId,
    /// Of the table that the migration names; 0 where it names none.
    pub rows: u64,
    pub took: Duration,
}

/// What a plan's estimates may go by.
#[derive(Debug, Clone, Default)]
pub struct Known<'a> {
    /// The one that is planned for.
    pub environment: &'a str,
    /// Of this deployment, in order.
    pub runs: Vec<Measured<'a>>,
    /// Of this deployment's statements.
    pub own: Vec<Measurement>,
    /// Of earlier deployments: of the same migrations anywhere, and of all kinds of work in this environment.
    pub history: &'a [Measurement],
    /// How fast backfills may go, as a person has it, and as the stage has it.
    pub person: Throttle,
    pub stage: Throttle,
}

impl Measurement {
    /// Whether it is worth keeping.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        self.took >= LEAST_TIME
            || (self.touched.max(self.rows) >= LEAST_ROWS && self.kind != MeasuredKind::Other)
    }

    /// The work in the unit in which its kind is counted.
    #[must_use]
    pub(super) fn amount(&self) -> u64 {
        match Unit::of(self.kind, self.bytes) {
            Unit::Bytes => self.bytes,
            Unit::Rows => self.rows,
        }
    }

    /// The work that the time was really spent on; None where that says nothing of others: an UPDATE that touched few of
    /// the rows that it read.
    #[must_use]
    pub(super) fn paced(&self) -> Option<u64> {
        match self.kind {
            MeasuredKind::Other | MeasuredKind::Rehearsed => None,
            MeasuredKind::ChangeRows | MeasuredKind::Backfill => {
                Some(self.touched).filter(|touched| *touched > 0 && touched.saturating_mul(2) >= self.rows)
            }
            _ => Some(self.amount()).filter(|amount| *amount > 0),
        }
    }
}

/// What work is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Rows,
    Bytes,
}

impl Unit {
    pub(super) fn of(kind: MeasuredKind, bytes: u64) -> Self {
        match kind {
            MeasuredKind::Rewrite | MeasuredKind::Scan if bytes > 0 => Self::Bytes,
            _ => Self::Rows,
        }
    }
}

impl MeasuredKind {
    /// What a statement with this work is measured as.
    #[must_use]
    pub fn of(work: &[Work], backfill: bool) -> Self {
        let Some(main) = main_work(work) else { return Self::Other };
        let all: u64 = work.iter().map(weight).sum();
        let alike: u64 = work.iter().filter(|w| w.kind == main.kind).map(weight).sum();
        // A tenth of something else does not spoil it.
        if alike.saturating_mul(10) < all.saturating_mul(9) {
            return Self::Other;
        }
        match main.kind {
            WorkKind::ChangeRows if backfill => Self::Backfill,
            kind => kind.into(),
        }
    }

    /// "rewrites", as in "rewrites ran at ...".
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrites",
            Self::Scan => "scans",
            Self::BuildIndex => "index builds",
            Self::ChangeRows => "changes of rows",
            Self::Backfill => "backfills",
            Self::Other | Self::Rehearsed => "statements",
        }
    }

    /// The kind of work that an inspection would call it.
    #[must_use]
    pub fn work(self) -> Option<WorkKind> {
        match self {
            Self::Rewrite => Some(WorkKind::Rewrite),
            Self::Scan => Some(WorkKind::Scan),
            Self::BuildIndex => Some(WorkKind::BuildIndex),
            Self::ChangeRows => Some(WorkKind::ChangeRows),
            Self::Backfill | Self::Other | Self::Rehearsed => None,
        }
    }
}

impl From<WorkKind> for MeasuredKind {
    fn from(kind: WorkKind) -> Self {
        match kind {
            WorkKind::Rewrite => Self::Rewrite,
            WorkKind::Scan => Self::Scan,
            WorkKind::BuildIndex => Self::BuildIndex,
            WorkKind::ChangeRows => Self::ChangeRows,
        }
    }
}

/// The rows and bytes of a statement's work that are measured and compared; those of the table that the migration names,
/// where nobody can look into the statement.
pub(crate) fn size_of(impact: Option<&StatementImpact>, kind: MeasuredKind, table_rows: u64) -> (u64, u64) {
    let work = impact.map_or(&[][..], |impact| &impact.work);
    let Some(main) = main_work(work) else { return (table_rows, 0) };
    let alike = work.iter().filter(|w| kind == MeasuredKind::Other || w.kind == main.kind);
    alike.fold((0, 0), |(rows, bytes), w| (w.rows.saturating_add(rows), w.bytes.saturating_add(bytes)))
}

/// The work that most of the time goes into.
#[must_use]
pub fn main_work(work: &[Work]) -> Option<&Work> {
    work.iter().max_by_key(|w| weight(w))
}

/// For comparing works of different kinds; about the bytes.
fn weight(work: &Work) -> u64 {
    work.bytes.max(work.rows.saturating_mul(32)).max(1)
}
