//! The tools whose histories are understood.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::RowState;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    GolangMigrate,
    Rails,
    Dbmate,
    Flyway,
    Sqlx,
    Diesel,
    Goose,
    Liquibase,
    Sqitch,
}

/// A name that is no tool's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no history is read of `{}`; there are {}", .0.escape_debug(), Tool::ALL.map(Tool::name).join(", "))]
pub struct UnknownTool(String);

impl Tool {
    pub const ALL: [Self; 9] = [
        Self::GolangMigrate,
        Self::Rails,
        Self::Dbmate,
        Self::Flyway,
        Self::Sqlx,
        Self::Diesel,
        Self::Goose,
        Self::Liquibase,
        Self::Sqitch,
    ];

    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GolangMigrate => "golang-migrate",
            Self::Rails => "rails",
            Self::Dbmate => "dbmate",
            Self::Flyway => "flyway",
            Self::Sqlx => "sqlx",
            Self::Diesel => "diesel",
            Self::Goose => "goose",
            Self::Liquibase => "liquibase",
            Self::Sqitch => "sqitch",
        }
    }

    /// What it calls its table when nobody names another.
    #[must_use]
    pub fn usual_table(self) -> &'static str {
        match self {
            Self::GolangMigrate | Self::Rails | Self::Dbmate => "schema_migrations",
            Self::Flyway => "flyway_schema_history",
            Self::Sqlx => "_sqlx_migrations",
            Self::Diesel => "__diesel_schema_migrations",
            Self::Goose => "goose_db_version",
            Self::Liquibase => "databasechangelog",
            Self::Sqitch => "changes",
        }
    }

    /// What a row says, from the kind that the tool gives it (Flyway's type, Liquibase's exectype; empty for the others)
    /// and whether it is marked as done well.
    #[must_use]
    pub fn row_state(self, kind: &str, ok: bool) -> RowState {
        match (self, kind) {
            (Self::GolangMigrate | Self::Sqlx, _) if !ok => RowState::Dirty,
            (Self::Flyway, _) if !ok => RowState::Failed,
            (Self::Flyway, kind) if kind == "DELETE" || kind.starts_with("UNDO") => RowState::NotApplied,
            (Self::Flyway, kind) if kind.ends_with("BASELINE") => RowState::Baseline,
            (Self::Goose, _) if !ok => RowState::NotApplied,
            (Self::Liquibase, "SKIPPED") => RowState::NotApplied,
            (Self::Liquibase, "FAILED") => RowState::Failed,
            _ => RowState::Applied,
        }
    }

    /// How its own users get rid of a row that failed or did not end.
    pub(super) fn repair(self, table: &str, version: &str) -> String {
        let look = "look what of it is in the database, and finish it or take it back by hand";
        match self {
            Self::GolangMigrate => format!(
                "{look}; then say so with golang-migrate: migrate force {version}, or the version before it"
            ),
            Self::Flyway => format!("{look}; then let flyway repair remove the row"),
            Self::Sqlx => format!(
                "{look}; then UPDATE {table} SET success = true WHERE version = {version}, or DELETE its row"
            ),
            _ => format!("{look}; then correct its row in {table}"),
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Tool {
    type Err = UnknownTool;

    fn from_str(text: &str) -> Result<Self, UnknownTool> {
        Self::ALL.into_iter().find(|tool| tool.name() == text).ok_or_else(|| UnknownTool(text.to_owned()))
    }
}
