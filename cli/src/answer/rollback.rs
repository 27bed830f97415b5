//! What taking a stage back would do.

use serde::Serialize;
use stopover_model::id::{DatabaseName, EnvironmentName};
use stopover_model::pipeline::BackupLevel;
use stopover_model::report::StepError;
use stopover_model::rollback::RollbackPlan;
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

/// The server's answer to `rollback --plan`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollbackAnswer {
    pub environment: EnvironmentName,
    /// Before anything is taken back.
    pub backup: BackupLevel,
    /// In the order in which they are taken back.
    pub databases: Vec<DatabaseRollback>,
}

/// A database, and what was found there or why it could not be looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatabaseRollback {
    pub database: DatabaseName,
    pub plan: Option<RollbackPlan>,
    pub failed: Option<StepError>,
}

impl RollbackAnswer {
    /// Rows go, or nobody can say whether they do.
    #[must_use]
    pub fn may_take_data(&self) -> bool {
        self.databases.iter().any(|d| d.plan.as_ref().is_none_or(RollbackPlan::takes_data))
    }

    /// Rows are lost, or nobody can say whether they are.
    #[must_use]
    pub fn may_lose_data(&self) -> bool {
        self.databases.iter().any(|d| d.plan.as_ref().is_none_or(RollbackPlan::loses_data))
    }

    /// Something makes a statement fail.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.plans().any(|plan| plan.in_the_way().next().is_some())
    }

    pub fn plans(&self) -> impl Iterator<Item = &RollbackPlan> {
        self.databases.iter().filter_map(|d| d.plan.as_ref())
    }
}

impl TryFrom<v1::PlanDeploymentRollbackResponse> for RollbackAnswer {
    type Error = InvalidWire;

    fn try_from(wire: v1::PlanDeploymentRollbackResponse) -> Result<Self, InvalidWire> {
        Ok(Self {
            environment: field::name::read(wire.environment, "environment")?,
            backup: field::enumeration::read(wire.backup, "backup")?,
            databases: field::messages::read(wire.databases, "databases")?,
        })
    }
}

impl TryFrom<v1::plan_deployment_rollback_response::DatabasePlan> for DatabaseRollback {
    type Error = InvalidWire;

    fn try_from(wire: v1::plan_deployment_rollback_response::DatabasePlan) -> Result<Self, InvalidWire> {
        use v1::plan_deployment_rollback_response::database_plan::Result as Wire;
        let (plan, failed) = match wire.result {
            Some(Wire::Plan(plan)) => (Some(field::direct::read(plan, "plan")?), None),
            Some(Wire::Failed(error)) => (None, Some(field::direct::read(error, "failed")?)),
            None => return Err(InvalidWire::missing("result")),
        };
        Ok(Self { database: field::name::read(wire.database, "database")?, plan, failed })
    }
}
