//! The plan of a rollback: what the down scripts would take from a database, and what stands in their way, as it is there
//! now. Nothing is run to find this out.
//!
//! What can't be told is said to be unknown, with the reason; it never counts as nothing.

pub(crate) mod taken;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{DatabaseName, DeploymentId, EnvironmentName, MigrationId};
use crate::impact::StatementImpact;
use crate::report::{ErrorClass, StepError};

pub use taken::{Fate, Held, Taken, Taking, WrittenSince};

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

impl RollbackPlan {
    /// Whether rows, or values in rows, go that are not known to be none.
    #[must_use]
    pub fn takes_data(&self) -> bool {
        self.takes().any(Taken::takes_data)
    }

    /// Whether some of them are not saved.
    #[must_use]
    pub fn loses_data(&self) -> bool {
        self.takes().any(Taken::loses_data)
    }

    /// All that is taken, in the order in which it goes.
    pub fn takes(&self) -> impl Iterator<Item = &Taken> {
        self.migrations.iter().flat_map(|m| &m.takes)
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
        self.takes().flat_map(|t| &t.in_the_way)
    }
}
