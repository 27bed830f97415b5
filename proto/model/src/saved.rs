//! What a migration or a rollback has dropped and Stopover has kept, in the schema `stopover_saved` of the database.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{DeploymentId, MigrationId, SavedId};

/// One object, or several columns of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    pub id: SavedId,
    pub at: Timestamp,
    pub deployment: DeploymentId,
    pub migration: MigrationId,
    /// The rollback dropped it; else the migration did.
    pub by_rollback: bool,
    pub what: SavedWhat,
    /// As people write it: without `public.`.
    pub table: String,
    /// Those that were dropped; of a table, all.
    pub columns: Vec<SavedColumn>,
    /// By which a row is found again. None: whole rows were kept.
    pub key: Vec<String>,
    /// With a value.
    pub rows: u64,
    pub bytes: u64,
    /// The table in `stopover_saved`; None where there was no value.
    pub holder: Option<String>,
    pub restored: Option<SavedRestored>,
    pub purged: Option<SavedPurged>,
    /// What brings the object back, where that was asked for.
    #[serde(default)]
    pub definition: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SavedWhat {
    Columns,
    Table,
    /// The rows of a table that stayed.
    Emptied,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedColumn {
    pub name: String,
    pub type_name: String,
}

/// When and by whom values were put back last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedRestored {
    pub at: Timestamp,
    pub by: String,
    pub rows: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPurged {
    pub at: Timestamp,
    pub by: String,
}

/// How far putting values back has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredValues {
    /// Rows that have their values back, by this call.
    pub restored: u64,
    /// Rows that hold another value by now, which was left.
    pub kept: u64,
    /// Saved rows that are not in the table any more.
    pub missing: u64,
    /// It goes on with another call.
    pub more: bool,
    /// The table that was made anew.
    pub made: Option<String>,
    /// What could not be brought back with it: a foreign key to a table that is gone, say.
    pub notes: Vec<String>,
}

impl SavedWhat {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::Table => "table",
            Self::Emptied => "emptied",
        }
    }

    /// Of the word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Columns, Self::Table, Self::Emptied].into_iter().find(|what| what.as_str() == word)
    }
}

impl Saved {
    /// For people: `users.note`, `orders`.
    #[must_use]
    pub fn name(&self) -> String {
        saved_name(self.what, &self.table, self.columns.iter().map(|column| column.name.as_str()))
    }

    /// Its values are there, and can be put back.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.purged.is_none() && (self.holder.is_some() || self.what == SavedWhat::Table)
    }
}

/// How something saved is called: `users.note`, `users (a, b)`, `orders`.
#[must_use]
pub fn saved_name<'a>(what: SavedWhat, table: &str, columns: impl Iterator<Item = &'a str>) -> String {
    let mut columns: Vec<&str> = columns.collect();
    match (what, columns.len()) {
        (SavedWhat::Columns, 1) => format!("{table}.{}", columns.remove(0)),
        (SavedWhat::Columns, _) => format!("{table} ({})", columns.join(", ")),
        _ => table.to_owned(),
    }
}

impl fmt::Display for SavedWhat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
