//! What would happen where.

use serde::Serialize;
use stopover_model::digest::Digest;
use stopover_model::id::{DatabaseName, EnvironmentName};
use stopover_model::pipeline::Pipeline;
use stopover_model::plan::{MigrationSummary, TargetPlan};
use stopover_model::report::{Inspection, StepError};
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

use super::LintAnswer;

/// The server's answer to `plan`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanAnswer {
    pub digest: Digest,
    pub pipeline: Pipeline,
    pub migrations: Vec<MigrationSummary>,
    pub stages: Vec<StagePlan>,
    pub lint: LintAnswer,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StagePlan {
    pub environment: EnvironmentName,
    /// Why nothing is known of this stage's databases.
    pub unavailable: Option<String>,
    pub targets: Vec<TargetAnswer>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetAnswer {
    pub database: DatabaseName,
    pub inspection: Option<Inspection>,
    #[serde(flatten)]
    pub result: PlanResult,
    /// Why the stage refuses the scripts that the plan would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lint_refusal: Option<StepError>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanResult {
    Plan(TargetPlan),
    /// Nothing may happen there, or it could not be inspected.
    Refused(StepError),
}

impl PlanAnswer {
    /// Whether some database forbids the deployment.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let refuses =
            |t: &TargetAnswer| t.lint_refusal.is_some() || matches!(t.result, PlanResult::Refused(_));
        self.stages.iter().flat_map(|s| &s.targets).any(refuses)
    }
}

impl TryFrom<v1::PlanResponse> for PlanAnswer {
    type Error = InvalidWire;

    fn try_from(wire: v1::PlanResponse) -> Result<Self, InvalidWire> {
        Ok(Self {
            digest: field::digest::read(wire.digest, "digest")?,
            pipeline: field::message::read(wire.pipeline, "pipeline")?,
            migrations: field::messages::read(wire.migrations, "migrations")?,
            stages: field::messages::read(wire.stages, "stages")?,
            lint: field::or_default::read(wire.lint, "lint")?,
        })
    }
}

impl TryFrom<v1::plan_response::StagePlan> for StagePlan {
    type Error = InvalidWire;

    fn try_from(wire: v1::plan_response::StagePlan) -> Result<Self, InvalidWire> {
        Ok(Self {
            environment: field::name::read(wire.environment, "environment")?,
            unavailable: field::optional_text::read(wire.unavailable, "unavailable")?,
            targets: field::messages::read(wire.targets, "targets")?,
        })
    }
}

impl TryFrom<v1::plan_response::TargetResult> for TargetAnswer {
    type Error = InvalidWire;

    fn try_from(wire: v1::plan_response::TargetResult) -> Result<Self, InvalidWire> {
        use v1::plan_response::target_result::Result as Wire;
        let result = match wire.result {
            Some(Wire::Plan(plan)) => PlanResult::Plan(field::direct::read(plan, "plan")?),
            Some(Wire::Refused(error)) => PlanResult::Refused(field::direct::read(error, "refused")?),
            None => return Err(InvalidWire::missing("result")),
        };
        Ok(Self {
            database: field::name::read(wire.database, "database")?,
            inspection: field::optional_message::read(wire.inspection, "inspection")?,
            result,
            lint_refusal: field::optional_message::read(wire.lint_refusal, "lint_refusal")?,
        })
    }
}
