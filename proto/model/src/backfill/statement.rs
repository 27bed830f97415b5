//! A statement that can be run in batches, and the SQL of one of them.

use super::range::Range;
use crate::sql::{Name, quoted};

/// What a statement does to the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Update,
    Delete,
    /// INSERT ... SELECT.
    Insert,
}

/// A statement taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batchable<'a> {
    pub(super) text: &'a str,
    pub action: Action,
    /// The table whose key the batches walk along.
    pub table: Name,
    /// Its partitions and children are left out.
    pub only: bool,
    /// The table that is written; another one than `table` for INSERT ... SELECT.
    pub target: Name,
    /// How the walked table's columns are called in the statement: its alias, or its name.
    pub(super) qualifier: String,
    /// The condition behind WHERE, in bytes of the text.
    pub(super) condition: Option<std::ops::Range<usize>>,
    /// Where a WHERE would go.
    pub(super) behind_tables: usize,
    /// The columns that an UPDATE sets.
    pub set: Vec<String>,
    /// Every row that the statement has touched no longer meets its condition, so running it once more over all rows
    /// finds what came behind the batches, and nothing else.
    pub leaves: bool,
    /// Worth knowing, for people.
    pub notes: Vec<String>,
}

/// Why a statement can't be run in batches, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// Byte offset into the statement's text.
    pub at: usize,
    pub reason: String,
    pub hint: String,
}

impl Refusal {
    pub(super) fn new(at: usize, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at, reason: reason.into(), hint: hint.into() }
    }
}

impl Batchable<'_> {
    /// A key whose value the statement changes would move rows from one batch to another.
    pub fn check_key(&self, key: &[String]) -> Result<(), Refusal> {
        match self.set.iter().find(|column| key.contains(column)) {
            None => Ok(()),
            Some(column) => Err(Refusal::new(
                0,
                format!(
                    "it changes {column}, which the batches walk along: rows would be skipped or changed twice"
                ),
                "name a unique key whose columns stay as they are: `-- stopover: backfill key=...`",
            )),
        }
    }

    /// The statement over a range of the key.
    #[must_use]
    pub fn batch_sql(&self, range: &Range<'_>) -> String {
        let within = range.sql(&self.qualifier);
        match &self.condition {
            // A line comment at the end of the condition must not swallow the parenthesis.
            Some(condition) => format!(
                "{}({}\n) AND ({within}){}",
                &self.text[..condition.start],
                &self.text[condition.clone()],
                spaced(&self.text[condition.end..])
            ),
            None => format!(
                "{}\nWHERE {within}{}",
                &self.text[..self.behind_tables],
                spaced(&self.text[self.behind_tables..])
            ),
        }
    }

    /// A query for whether a row up to the bound still meets the condition; None where that says nothing.
    #[must_use]
    pub fn remaining_sql(&self, range: &Range<'_>) -> Option<String> {
        let condition = &self.text[self.condition.clone()?];
        if !self.leaves || self.action == Action::Insert {
            return None;
        }
        Some(format!(
            "SELECT 1 FROM {} WHERE ({condition}\n) AND ({}) LIMIT 1",
            self.from_sql(),
            range.sql(&self.qualifier)
        ))
    }

    /// The walked table as it stands in a FROM, under the name that the statement calls it by.
    #[must_use]
    pub fn from_sql(&self) -> String {
        let only = if self.only { "ONLY " } else { "" };
        format!("{only}{} AS {}", self.table.quoted(), self.qualifier)
    }

    /// The walked table's column as it is called in the statement.
    #[must_use]
    pub fn column_sql(&self, column: &str) -> String {
        format!("{}.{}", self.qualifier, quoted(column))
    }
}

fn spaced(rest: &str) -> String {
    let rest = rest.trim_start();
    if rest.is_empty() { String::new() } else { format!(" {rest}") }
}
