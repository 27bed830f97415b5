//! What each statement of a script would do to the database that was looked at: the locks that it takes, the rows and
//! bytes that it goes through, and the triggers that fire.
//!
//! Nothing was run to find this out but what a [`Sample`] says. What can't be seen from outside (the body of a function
//! that a statement calls) is said in a note.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::MigrationId;
use crate::migration::Variant;

/// One script of a migration that is still to be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptImpact {
    pub migration: MigrationId,
    pub variant: Variant,
    /// Those of which there is something to say, in order.
    pub statements: Vec<StatementImpact>,
}

/// One statement of a [`ScriptImpact`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementImpact {
    /// From 0, in the variant's summary.
    pub index: u32,
    /// The strongest on each relation, the strongest first. What the script itself has created before is left out.
    pub locks: Vec<LockTaken>,
    /// What takes time with the size of a relation; none where only the catalog changes.
    pub work: Vec<Work>,
    /// Of people, not those that keep foreign keys.
    pub triggers: Vec<FiringTrigger>,
    /// For people: why a rewrite is needed, or what can't be known.
    pub notes: Vec<String>,
    /// What a part of the rows took, in a transaction that was rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// It may lock and change what is not named here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockTaken {
    /// As SQL would name it: `public.users`.
    pub relation: String,
    pub mode: LockMode,
    /// Why the statement locks a relation that it does not name: "referenced by the foreign key f".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// PostgreSQL's table-level locks (its manual, 13.3.1), the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

/// What takes time with the size of a relation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    pub kind: WorkKind,
    /// As SQL would name it.
    pub relation: String,
    /// The statistics' estimate of the rows that are read or changed: all of the relation's, where a WHERE leaves open how
    /// many.
    pub rows: u64,
    /// That are read or written.
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkKind {
    /// The table is written anew, and all of its indexes.
    Rewrite,
    /// All rows are read, to check them.
    Scan,
    /// An index is built from all rows.
    BuildIndex,
    /// Rows are changed, deleted or inserted.
    ChangeRows,
}

/// A trigger that a statement would fire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiringTrigger {
    pub name: String,
    /// As SQL would name it.
    pub table: String,
    /// For each row, or once for the statement.
    pub for_each_row: bool,
    /// What it calls: `audit.log_change()`.
    pub function: String,
}

/// What a part of the rows took, in a transaction that was rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Of [`Work::rows`].
    pub rows: u64,
    #[serde(with = "crate::duration")]
    pub took: Duration,
    /// The part of it that does not grow with the rows.
    #[serde(default, with = "crate::duration")]
    pub fixed: Duration,
}

/// Which statements are to be tried on a copy of a few rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleWish {
    /// Of these migrations: the others have been measured as they are.
    pub migrations: Vec<MigrationId>,
    /// Statements that only do work of these kinds are left out: how fast they go in the database is known.
    pub measured: Vec<WorkKind>,
}

impl LockMode {
    /// All, the weakest first.
    pub const ALL: [Self; 8] = [
        Self::AccessShare,
        Self::RowShare,
        Self::RowExclusive,
        Self::ShareUpdateExclusive,
        Self::Share,
        Self::ShareRowExclusive,
        Self::Exclusive,
        Self::AccessExclusive,
    ];

    /// As the manual and LOCK TABLE spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessShare => "ACCESS SHARE",
            Self::RowShare => "ROW SHARE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// Whether a plain SELECT has to wait.
    #[must_use]
    pub fn blocks_reads(self) -> bool {
        self == Self::AccessExclusive
    }

    /// Whether INSERT, UPDATE and DELETE have to wait.
    #[must_use]
    pub fn blocks_writes(self) -> bool {
        self >= Self::Share
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_block_what_the_manual_says() {
        let blocking =
            |blocks: fn(LockMode) -> bool| LockMode::ALL.into_iter().filter(|mode| blocks(*mode)).count();
        assert_eq!((blocking(LockMode::blocks_reads), blocking(LockMode::blocks_writes)), (1, 4));
        assert!(LockMode::ALL.is_sorted());
        assert_eq!(format!("{:>24}|", LockMode::ShareUpdateExclusive), "  SHARE UPDATE EXCLUSIVE|");
    }
}
