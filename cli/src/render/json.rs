//! A deployment's state for programs. The keys are a promise: none is renamed or dropped.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use stopover_model::baseline::Comparison;
use stopover_model::deployment::{Deployment, Stage, StageStatus, StatementRun, Step, StepState, Target};
use stopover_model::digest::Digest;
use stopover_model::event::{
    Actor, DeploymentKind, DeploymentOutcome, StageIndex, StageOutcome, StepKind, Waiting,
};
use stopover_model::id::MigrationId;
use stopover_model::plan::{Estimate, TargetPlan};
use stopover_model::report::{RehearsedRun, StepError, StepReport};

use super::estimate;

#[derive(Debug, Serialize)]
pub struct Status<'a> {
    deployment: &'a str,
    kind: DeploymentKind,
    pipeline: &'a str,
    migrations: Vec<&'a str>,
    digest: Digest,
    by: &'a str,
    seq: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    outcome: Option<DeploymentOutcome>,
    waiting: Option<&'a Waiting>,
    waiting_since: Option<Timestamp>,
    paused: Option<Paused<'a>>,
    cancelling: bool,
    stages: Vec<StageView<'a>>,
}

#[derive(Debug, Serialize)]
struct Paused<'a> {
    cause: &'a str,
    by: &'a Actor,
    since: Timestamp,
}

#[derive(Debug, Serialize)]
struct StageView<'a> {
    environment: &'a str,
    state: &'static str,
    /// Of a soak.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    outcome: Option<StageOutcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollback: Option<RollbackView<'a>>,
    databases: Vec<DatabaseView<'a>>,
}

#[derive(Debug, Serialize)]
struct RollbackView<'a> {
    since: Timestamp,
    cause: &'a str,
    by: &'a Actor,
    /// The migration that stays, with those before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    /// Why it came to a stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct DatabaseView<'a> {
    database: &'a str,
    plan: Option<&'a TargetPlan>,
    refused: Option<&'a StepError>,
    /// What was counted in the soak, beside what there was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<Comparison>,
    steps: Vec<StepView<'a>>,
}

#[derive(Debug, Serialize)]
struct StepView<'a> {
    kind: StepKind,
    migration: Option<&'a str>,
    state: &'static str,
    attempts: u32,
    since: Option<Timestamp>,
    ended: Option<Timestamp>,
    report: Option<&'a StepReport>,
    error: Option<&'a StepError>,
    /// How long the plan said that it would take; for migrate steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<&'a Estimate>,
    /// What it took on the copy; for migrate steps that were rehearsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    rehearsed: Option<&'a RehearsedRun>,
    /// What its statements took, those that ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statements: Vec<StatementView>,
}

#[derive(Debug, Serialize)]
struct StatementView {
    /// From 0.
    index: u32,
    rows: u64,
    #[serde(with = "stopover_model::duration")]
    took: Duration,
}

impl<'a> Status<'a> {
    #[must_use]
    pub fn of(deployment: &'a Deployment) -> Self {
        Self {
            deployment: deployment.id.as_str(),
            kind: deployment.kind,
            pipeline: deployment.pipeline.name.as_str(),
            migrations: deployment.migrations.iter().map(|m| m.id.as_str()).collect(),
            digest: deployment.digest,
            by: deployment.by.as_str(),
            seq: deployment.seq.0,
            created_at: deployment.created_at,
            updated_at: deployment.updated_at,
            outcome: deployment.outcome,
            waiting: deployment.waiting.as_ref(),
            waiting_since: deployment.waiting_since,
            paused: deployment.paused.as_ref().map(|p| Paused { cause: &p.cause, by: &p.by, since: p.since }),
            cancelling: deployment.cancelling.is_some(),
            stages: deployment
                .indexed_stages()
                .map(|(index, stage)| stage_view(deployment, index, stage))
                .collect(),
        }
    }
}

fn stage_view<'a>(deployment: &'a Deployment, index: StageIndex, stage: &'a Stage) -> StageView<'a> {
    let (word, until, outcome) = match &stage.status {
        StageStatus::Pending => ("pending", None, None),
        StageStatus::Running { .. } => ("running", None, None),
        StageStatus::Soaking { .. } => ("soaking", deployment.soak_end(stage), None),
        StageStatus::RollingBack { .. } => ("rolling_back", None, None),
        StageStatus::RollbackFailed { .. } => ("rollback_failed", None, None),
        StageStatus::Ended { outcome, .. } => ("ended", None, Some(*outcome)),
    };
    let databases = stage.targets.iter().map(|target| database_view(index, stage, target)).collect();
    let environment = stage.spec.environment.as_str();
    StageView { environment, state: word, until, outcome, rollback: rollback_view(stage), databases }
}

fn rollback_view(stage: &Stage) -> Option<RollbackView<'_>> {
    let rollback = stage.rollback.as_ref()?;
    let failed = match &stage.status {
        StageStatus::RollbackFailed { cause, .. } => Some(cause.as_str()),
        _ => None,
    };
    let to = rollback.to.as_ref().map(MigrationId::as_str);
    Some(RollbackView { since: rollback.at, cause: &rollback.cause, by: &rollback.by, to, failed })
}

fn database_view<'a>(index: StageIndex, stage: &Stage, target: &'a Target) -> DatabaseView<'a> {
    let steps = target.keys(index).into_iter().filter_map(|key| {
        let migration = target.migrations.iter().find(|m| Some(&m.id) == key.migration.as_ref());
        let step = step_view(key.kind, migration.map(|m| m.id.as_str()), target.step(&key)?);
        let (estimate, rehearsed) = (estimate::planned(target, &key), estimate::rehearsed(target, &key));
        Some(StepView { estimate, rehearsed: rehearsed.and_then(|(m, _)| m.up.as_ref()), ..step })
    });
    DatabaseView {
        database: target.database.as_str(),
        plan: target.plan.as_ref(),
        refused: target.refused.as_ref(),
        baseline: stage.compared(target),
        steps: steps.collect(),
    }
}

fn step_view<'a>(kind: StepKind, migration: Option<&'a str>, step: &'a Step) -> StepView<'a> {
    let statement =
        |(index, run): (&u32, &StatementRun)| StatementView { index: *index, rows: run.rows, took: run.took };
    let (state, since, ended) = match &step.state {
        StepState::Pending | StepState::Running { behind: true, .. } => ("pending", None, None),
        StepState::Running { since, .. } => ("running", Some(*since), None),
        StepState::Succeeded { since, at, .. } => ("succeeded", Some(*since), Some(*at)),
        StepState::Failed { since, at, .. } => ("failed", Some(*since), Some(*at)),
        StepState::Unknown { since, at, .. } => ("unknown", Some(*since), Some(*at)),
        StepState::Skipped => ("skipped", None, None),
    };
    StepView {
        kind,
        migration,
        state,
        attempts: step.attempts,
        since,
        ended,
        report: step.report(),
        error: step.error(),
        estimate: None,
        rehearsed: None,
        statements: step.statements.iter().map(statement).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Story;
    use super::*;

    #[test]
    fn a_program_finds_stages_databases_and_steps() {
        let story = Story::begun().staging_through().backed_up(1).start(1, "migrate");
        let json = serde_json::to_value(Status::of(&story.deployment)).unwrap();
        assert_eq!(json["deployment"], "4k2m9x0c1d");
        assert_eq!(json["stages"][0]["outcome"], "succeeded");
        let steps = &json["stages"][1]["databases"][0]["steps"];
        assert_eq!(steps[2]["kind"], "migrate");
        assert_eq!(steps[2]["state"], "running");
        assert_eq!(steps[1]["report"]["level"], "decoded");
    }
}
