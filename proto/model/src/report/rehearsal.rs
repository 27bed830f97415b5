//! What came of a rehearsal: each migration up, down and up again on a copy of the very database, before the real one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::CheckResult;
use crate::id::MigrationId;
use crate::impact::LockMode;
use crate::migration::Variant;
use crate::plan::{Estimate, StatementEstimate, grouped};

/// What was tried on a copy, and how it went. There is one of a failed rehearsal too: what it found by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalReport {
    /// Of what: "the backup that was restored just before".
    pub copy_of: String,
    /// All of it, with what it took to restore the copy anew where that was gone.
    #[serde(with = "crate::duration")]
    pub took: Duration,
    /// Those that were to be applied, in order, as far as it came.
    pub migrations: Vec<RehearsedMigration>,
}

/// What one migration did on the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedMigration {
    pub migration: MigrationId,
    pub variant: Variant,
    /// Why it did not run; then nothing else is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<RehearsedRun>,
    /// None as well where there is no way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<RehearsedRun>,
    /// Up again, behind the way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<RehearsedRun>,
    /// The migration's own, after the last time up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckResult>,
    /// Whether the way back left the schema as it was; None where it was not tried, or could not be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_restored: Option<bool>,
    /// The objects that differ, when it did not: "index `public.users_i` is new".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// Tables whose rows are not what they were before, behind the way back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_rows: Vec<ChangedRows>,
    /// How many tables' rows were compared.
    #[serde(default)]
    pub tables_compared: u32,
    /// What nobody can say, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One script from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedRun {
    #[serde(with = "crate::duration")]
    pub took: Duration,
    /// That the statements said they touched.
    pub rows: u64,
    /// What the server has written to its log meanwhile; where others work on it, their part is in it.
    pub wal_bytes: u64,
    /// In order.
    pub statements: Vec<RehearsedStatement>,
    /// On what was there before, the strongest of each, those that block the most and the longest first.
    pub locks: Vec<HeldLock>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedStatement {
    /// From 0, in the script.
    pub index: u32,
    pub rows: u64,
    #[serde(with = "crate::duration")]
    pub took: Duration,
    /// As [`RehearsedRun::wal_bytes`].
    pub wal_bytes: u64,
}

/// A lock that was seen on a relation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLock {
    /// As SQL would name it: `public.users`.
    pub relation: String,
    pub mode: LockMode,
    /// The statement that took it, from 0.
    pub statement: u32,
    /// The longest that it was held in one transaction: until its end.
    #[serde(with = "crate::duration")]
    pub held: Duration,
}

/// Rows of a table that are not what they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedRows {
    /// As SQL would name it.
    pub table: String,
    pub rows_before: u64,
    pub rows_after: u64,
    /// Rows of before that are no longer there as they were.
    pub differ: u64,
}

impl RehearsalReport {
    #[must_use]
    pub fn of(&self, migration: &MigrationId) -> Option<&RehearsedMigration> {
        self.migrations.iter().find(|m| m.migration == *migration)
    }
}

impl RehearsedMigration {
    /// One of which nothing is known yet.
    #[must_use]
    pub fn new(migration: MigrationId, variant: Variant) -> Self {
        Self {
            migration,
            variant,
            not_run: None,
            up: None,
            down: None,
            again: None,
            checks: Vec::new(),
            schema_restored: None,
            differences: Vec::new(),
            changed_rows: Vec::new(),
            tables_compared: 0,
            notes: Vec::new(),
        }
    }

    /// What the real run should take, as far as the first way there tells; `when` it was, in words.
    #[must_use]
    pub fn estimate(&self, when: &str) -> Option<Estimate> {
        let up = self.up.as_ref()?;
        let basis = format!("rehearsed on a copy of this database{when}");
        let statement = |s: &RehearsedStatement| StatementEstimate {
            index: s.index,
            duration: s.took,
            spread: None,
            basis: basis.clone(),
        };
        let statements = up.statements.iter().map(statement).collect();
        Some(Estimate { statements, ..Estimate::new(up.took, basis.clone()) })
    }

    /// The way there, the way back and the way there again went well.
    #[must_use]
    pub fn came_back(&self) -> bool {
        self.again.is_some() && self.schema_restored == Some(true)
    }
}

impl RehearsedRun {
    /// The lock that those who use the database would feel the most.
    #[must_use]
    pub fn worst_lock(&self) -> Option<&HeldLock> {
        self.locks.iter().find(|lock| lock.mode.blocks_writes())
    }
}

impl std::fmt::Display for ChangedRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, rows_before, rows_after, differ } = self;
        if rows_before == rows_after {
            return write!(
                f,
                "{table}: {} of {} rows are not as they were",
                grouped(*differ),
                grouped(*rows_before)
            );
        }
        write!(
            f,
            "{table}: {} rows, {} before; {} of those are not as they were",
            grouped(*rows_after),
            grouped(*rows_before),
            grouped(*differ)
        )
    }
}
