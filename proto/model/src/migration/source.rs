//! Where a migration's scripts come from when another tool's directory was read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a directory of migrations is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One migration of our own kind: up.sql, and optionally up.batch.sql, down.sql and migration.toml.
    Native,
    /// A directory of such directories.
    NativeMany,
    /// `NNN_x.up.sql` and `NNN_x.down.sql`.
    GolangMigrate,
    /// Directories `NNN_x` with up.sql, down.sql and metadata.toml.
    Diesel,
    /// `V1__x.sql`, `U1__x.sql` and `R__x.sql`.
    Flyway,
    /// Sections `-- migrate:up` and `-- migrate:down` in `NNN_x.sql`.
    Dbmate,
    /// Sections `-- +goose Up` and `-- +goose Down` in `NNN_x.sql`.
    Goose,
    /// `NNN_x.sql`, or `NNN_x.up.sql` and `NNN_x.down.sql`, with `-- no-transaction`.
    Sqlx,
    /// sqitch.plan with deploy/, revert/ and verify/.
    Sqitch,
    /// `NNN_x.autocommit.up.sql`, as popx names them.
    Autocommit,
    /// `NNN_x.sql`.
    Plain,
}

/// Where a generated migration's scripts were found: the `[source]` table of its migration.toml.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub layout: Layout,
    /// The file of up.sql, relative to the directory.
    pub file: String,
    /// The line of that file, from 1, with which up.sql begins.
    pub first_line: u32,
    /// The tool runs it again whenever its content has changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeatable: bool,
    /// The same of down.sql.
    #[serde(default)]
    pub down: Option<SourcePlace>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourcePlace {
    pub file: String,
    pub first_line: u32,
}

/// Whether a script's statements run in one transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionMode {
    /// In one, when every statement may.
    #[default]
    Auto,
    /// Each statement in a transaction of its own with its own row in the ledger. A BEGIN at the file's start with its
    /// COMMIT at the end still holds: the file says so itself.
    Never,
}

/// A name that is no layout's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no layout; there are {}", .0.escape_debug(), Layout::ALL.map(Layout::name).join(", "))]
pub struct UnknownLayout(String);

impl Layout {
    pub const ALL: [Self; 11] = [
        Self::Native,
        Self::NativeMany,
        Self::GolangMigrate,
        Self::Diesel,
        Self::Flyway,
        Self::Dbmate,
        Self::Goose,
        Self::Sqlx,
        Self::Sqitch,
        Self::Autocommit,
        Self::Plain,
    ];

    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::NativeMany => "native-many",
            Self::GolangMigrate => "golang-migrate",
            Self::Diesel => "diesel",
            Self::Flyway => "flyway",
            Self::Dbmate => "dbmate",
            Self::Goose => "goose",
            Self::Sqlx => "sqlx",
            Self::Sqitch => "sqitch",
            Self::Autocommit => "autocommit",
            Self::Plain => "plain",
        }
    }

    /// What its files are called.
    #[must_use]
    pub fn files(self) -> &'static str {
        match self {
            Self::Native => "up.sql, up.batch.sql, down.sql and migration.toml",
            Self::NativeMany => "NAME/up.sql, NAME/up.batch.sql, NAME/down.sql and NAME/migration.toml",
            Self::GolangMigrate => "NNN_NAME.up.sql and NNN_NAME.down.sql",
            Self::Diesel => "NNN_NAME/up.sql, NNN_NAME/down.sql and NNN_NAME/metadata.toml",
            Self::Flyway => "V1__NAME.sql, U1__NAME.sql, R__NAME.sql, and each with .conf behind it",
            Self::Dbmate | Self::Goose | Self::Plain => "NNN_NAME.sql",
            Self::Sqlx => "NNN_NAME.sql, or NNN_NAME.up.sql and NNN_NAME.down.sql",
            Self::Sqitch => "sqitch.plan, deploy/NAME.sql, revert/NAME.sql and verify/NAME.sql",
            Self::Autocommit => "NNN_NAME.up.sql and NNN_NAME.down.sql, with .autocommit before .up or .down",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Layout {
    type Err = UnknownLayout;

    fn from_str(text: &str) -> Result<Self, UnknownLayout> {
        Self::ALL
            .into_iter()
            .find(|layout| layout.name() == text)
            .ok_or_else(|| UnknownLayout(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_read_as_it_is_printed_and_as_it_is_stored() {
        for layout in Layout::ALL {
            assert_eq!(layout.to_string().parse(), Ok(layout));
            assert_eq!(serde_json::to_value(layout).unwrap(), layout.name());
        }
        let error = "rails".parse::<Layout>().unwrap_err().to_string();
        assert!(
            error.starts_with("`rails` is no layout; there are native, native-many, golang-migrate"),
            "{error}"
        );
    }
}
