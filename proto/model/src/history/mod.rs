//! What another tool's history table says was applied, held against the migrations of a directory.
//!
//! The agent reads the table's rows as they are; which of them still count, which migration each one stands for and
//! whether its file is still what was applied is decided here. Nothing is read or written.
//!
//! ```text
//! rows -> which count (undone, deleted, baselines) -> each migration of the directory: applied | pending | problem
//! ```

mod adoption;
mod baseline;
mod checksum;
mod key;
mod liquibase;
mod record;
mod tool;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use adoption::{Adoption, Basis, Mark, Options, Problem, Trouble, adopt};
pub use baseline::{NoSuchMigration, baseline};
pub use record::{AppliedMigration, Histories, Origin, Recorded};
pub use tool::{Tool, UnknownTool};

/// A history table, found in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryTable {
    pub tool: Tool,
    /// With its schema, as SQL names it.
    pub table: String,
    /// In the tool's own order, the oldest first.
    pub rows: Vec<HistoryRow>,
}

/// A row, as far as its tool writes these things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// The version, the changeset's id, the change's name. None: Flyway's repeatable scripts have none.
    pub version: Option<String>,
    /// The description; Liquibase's author.
    pub name: Option<String>,
    /// In what the version is told apart: sqitch's project, Liquibase's file.
    pub scope: Option<String>,
    pub state: RowState,
    pub at: Option<Timestamp>,
    /// Of the file, in the tool's own way of writing it.
    pub checksum: Option<String>,
}

/// What a row says happened last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    Applied,
    /// It was taken back, or the tool was told to forget it.
    NotApplied,
    /// Everything up to this version was there before the tool came.
    Baseline,
    /// It was tried, and did not succeed.
    Failed,
    /// It began, and nobody knows how it ended.
    Dirty,
}

#[cfg(test)]
mod tests;
