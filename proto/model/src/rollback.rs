//! The plan of a rollback: what the down scripts would take from a database, and what stands in their way, as it is there
//! now. Nothing is run to find this out.
//!
//! What can't be told is said to be unknown, with the reason; it never counts as nothing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{DatabaseName, DeploymentId, EnvironmentName, MigrationId};
use crate::impact::StatementImpact;
use crate::report::{ErrorClass, StepError};

/// What a rollback would do to one database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RollbackPlan {
    /// In the order in which they are taken back.
    pub migrations: Vec<MigrationRollback>,
    /// Migrations of other deployments that came on top, the newest first. While there are any, nothing is taken back.
    pub later: Vec<LaterMigration>,
    /// What could not be found out.
    pub warnings: Vec<String>,
}

/// A migration that another deployment has applied on top.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaterMigration {
    pub migration: MigrationId,
    pub deployment: DeploymentId,
    /// When it was applied, or begun.
    pub at: Timestamp,
}

/// What taking back one migration would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigrationRollback {
    pub migration: MigrationId,
    /// When it was applied, or begun. None: it is not in the database's ledger, and there is nothing to take back.
    pub applied: Option<Timestamp>,
    /// In the order of its statements.
    pub takes: Vec<Taken>,
    /// The locks and the work of its statements, of which there is something to say.
    pub statements: Vec<StatementImpact>,
}

/// An object that a statement of a down script takes, and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// From 0, in down.sql.
    pub statement: u32,
    /// `column users.plan`
    pub object: String,
    pub how: Taking,
    /// The rows that hold something there. None: there are none, as of a view; or it can't be seen, which `note` says.
    pub held: Option<Held>,
    /// What goes with it: `index users_plan_idx`.
    pub along: Vec<String>,
    /// What depends on it, so that PostgreSQL refuses to take it (2BP01): `view paying_users`.
    pub in_the_way: Vec<String>,
    /// For people: functions that speak of it, or why nothing more is known.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taking {
    Dropped,
    /// Its rows go, and it stays.
    Emptied,
    /// Its values get another type, which may hold less.
    Converted,
    /// What happens to it can't be seen before it runs.
    Hidden,
}

/// How much an object holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub rows: u64,
    /// Counted, or estimated from a part of the table.
    pub counted: bool,
    pub bytes: u64,
    pub since: WrittenSince,
}

/// How many of those rows were written after the migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrittenSince {
    /// By what that is known: the age of their transactions, say.
    Rows { rows: u64, basis: String },
    /// And why.
    Unknown { why: String },
}

impl RollbackPlan {
    /// Whether rows, or values in rows, go that are not known to be none.
    #[must_use]
    pub fn loses_data(&self) -> bool {
        self.migrations.iter().flat_map(|m| &m.takes).any(Taken::loses_data)
    }

    /// Why nothing may be taken back: others have come on top.
    #[must_use]
    pub fn refusal(
        &self,
        environment: &EnvironmentName,
        database: &DatabaseName,
        deployment: &DeploymentId,
    ) -> Option<StepError> {
        let newest = self.later.first()?;
        let named: Vec<_> = self
            .later
            .iter()
            .take(5)
            .map(|m| format!("{} (deployment {})", m.migration, m.deployment))
            .collect();
        let more = match self.later.len() - named.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let message = format!(
            "in {environment}/{database} other migrations were applied on top since: {}{more}",
            named.join(", ")
        );
        let hint = format!(
            "take back what came last first: stopover rollback {} --stage {environment}; then this one: stopover rollback \
             {deployment} --stage {environment}. Or write the way back as a new migration",
            newest.deployment
        );
        Some(StepError::new(ErrorClass::Drift, message).with_hint(hint))
    }

    /// What stands in the way of some statement.
    pub fn in_the_way(&self) -> impl Iterator<Item = &String> {
        self.migrations.iter().flat_map(|m| &m.takes).flat_map(|t| &t.in_the_way)
    }
}

impl Taken {
    #[must_use]
    pub fn loses_data(&self) -> bool {
        self.how == Taking::Hidden || self.held.as_ref().is_some_and(|held| held.rows > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(how: Taking, rows: Option<u64>) -> Taken {
        let since = WrittenSince::Unknown { why: "nobody looked".into() };
        Taken {
            statement: 0,
            object: "column t.a".into(),
            how,
            held: rows.map(|rows| Held { rows, counted: true, bytes: 1, since }),
            along: Vec::new(),
            in_the_way: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn what_can_not_be_seen_may_be_lost() {
        assert!(taken(Taking::Hidden, None).loses_data());
        assert!(taken(Taking::Dropped, Some(1)).loses_data());
        assert!(!taken(Taking::Dropped, Some(0)).loses_data());
        assert!(!taken(Taking::Dropped, None).loses_data(), "an index");
    }
}
