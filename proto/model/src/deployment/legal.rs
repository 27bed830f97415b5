//! What may follow a state, and the error of what may not.

use std::collections::BTreeSet;

use super::step::StepState;
use super::target::{MigrationSteps, Target};
use super::{Deployment, Stage, StageStatus};
use crate::event::{DeploymentKind, DeploymentOutcome, StageIndex, StageOutcome, StepKey, StepKind};
use crate::gate::GateRefusal;
use crate::id::{Attempt, DatabaseName, DeploymentId, MigrationId, RunId, Seq};
use crate::pipeline::HookStep;

/// An event that can't follow the state. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEvent {
    #[error("event {got} came where {expected} was due")]
    Gap { expected: Seq, got: Seq },
    #[error("an event of deployment {got} came into the log of {expected}")]
    OtherDeployment { expected: DeploymentId, got: DeploymentId },
    #[error("a log begins with the deployment's creation")]
    NotCreated,
    #[error("the deployment was created already")]
    CreatedTwice,
    #[error("the deployment's digest is not that of its pipeline and migrations")]
    Digest,
    #[error("a deployment needs a stage and a migration")]
    Empty,
    #[error("the deployment has ended: {0}")]
    Ended(DeploymentOutcome),
    #[error("the deployment is paused")]
    PausedNow,
    #[error("the deployment is not paused")]
    NotPaused,
    #[error("the deployment is being cancelled")]
    Cancelling,
    #[error("there is no stage {0:?}")]
    NoStage(StageIndex),
    #[error("the stage {environment} {is}, where {event} has no place")]
    Stage { environment: String, is: &'static str, event: &'static str },
    #[error("there is no step {0}")]
    NoStep(StepKey),
    #[error("step {step}: {why}")]
    Step { step: StepKey, why: &'static str },
    #[error("step {step}: attempt {got} came where {expected} was due")]
    Attempt { step: StepKey, expected: u32, got: Attempt },
    #[error("step {step}: line {line_number} of run {run} is in the log already")]
    DuplicateLine { step: StepKey, run: RunId, line_number: u64 },
    #[error(
        "{migration} has no down.sql, so that it can't be rolled back; restore the backup, or write the way back as a new migration"
    )]
    NoDown { migration: MigrationId },
    #[error("nothing of this deployment is in {environment}: there is nothing to roll back")]
    NothingToRollBack { environment: String },
    #[error("the deployment has no migration {migration}; its migrations are {migrations}")]
    NoMigration { migration: MigrationId, migrations: String },
    #[error("nothing behind {migration} is in {environment}: there is nothing to roll back to it")]
    NothingBehind { migration: MigrationId, environment: String },
    #[error(
        "the deployment was cancelled in {environment}, and some of it is there; roll that back first: --stage {environment}"
    )]
    OtherFirst { environment: String },
    /// Somebody may not open a gate.
    #[error(transparent)]
    Gate(#[from] GateRefusal),
    #[error("a person holds the deployment; stopover resume without a database lets all of it go on")]
    HeldByPerson,
    #[error(
        "nothing has failed in {database}, so there is nothing to try again; stopover status names what has failed"
    )]
    NotFailed { database: DatabaseName },
    #[error("{environment} has no database {database} in this deployment; stopover status --json lists them")]
    NoDatabase { database: DatabaseName, environment: String },
    #[error("it does not go on without {database}: {why}")]
    StaysIn { database: DatabaseName, why: &'static str },
    #[error("a step is still running")]
    StillRunning,
    #[error("not every stage has ended well")]
    NotThrough,
}

impl Deployment {
    pub(super) fn check_stage_start(
        &self,
        index: StageIndex,
        databases: &[DatabaseName],
    ) -> Result<(), IllegalEvent> {
        let stage = self.stage(index).ok_or(IllegalEvent::NoStage(index))?;
        let earlier_through = self
            .indexed_stages()
            .take_while(|(i, _)| *i < index)
            .all(|(_, s)| matches!(s.status, StageStatus::Ended { outcome: StageOutcome::Succeeded, .. }));
        let mut unique = databases.to_vec();
        unique.sort();
        unique.dedup();
        if stage.status != StageStatus::Pending
            || !earlier_through
            || databases.is_empty()
            || unique.len() != databases.len()
        {
            return Err(illegal_in(stage, "its start"));
        }
        Ok(())
    }

    pub(super) fn check_step_start(&self, key: &StepKey, attempt: Attempt) -> Result<(), IllegalEvent> {
        self.going_on()?;
        let stage = self.stage(key.stage).ok_or(IllegalEvent::NoStage(key.stage))?;
        let target = stage.target(&key.database).ok_or_else(|| IllegalEvent::NoStep(key.clone()))?;
        let step = target.step(key).ok_or_else(|| IllegalEvent::NoStep(key.clone()))?;
        if attempt.0 != step.attempts + 1 {
            return Err(IllegalEvent::Attempt {
                step: key.clone(),
                expected: step.attempts + 1,
                got: attempt,
            });
        }
        let startable = match step.state {
            StepState::Pending | StepState::Failed { .. } | StepState::Unknown { .. } => true,
            StepState::Succeeded { .. } => matches!(key.kind, StepKind::Monitor | StepKind::Measure),
            // Earlier versions asked an agent about no checks as well, and their logs say so.
            StepState::Skipped => {
                let applied = target.migrations.iter().find(|m| Some(&m.id) == key.migration.as_ref());
                key.kind == StepKind::Verify && applied.is_some_and(|m| m.migrate.succeeded())
            }
            StepState::Running { .. } => false,
        };
        if !startable {
            return Err(IllegalEvent::Step { step: key.clone(), why: "it is running, or done" });
        }
        if self.kind == DeploymentKind::Rehearsal && !is_part_of_rehearsal(key.kind) {
            let why = "this is a rehearsal, which changes nothing in the database itself";
            return Err(IllegalEvent::Step { step: key.clone(), why });
        }
        let phase_fits = match key.kind {
            StepKind::Inspect
            | StepKind::Backup
            | StepKind::Rehearse
            | StepKind::Migrate
            | StepKind::Verify => matches!(stage.status, StageStatus::Running { .. }),
            StepKind::Monitor | StepKind::Measure => {
                matches!(stage.status, StageStatus::Soaking { .. })
            }
            StepKind::RollbackBackup | StepKind::Rollback => {
                matches!(stage.status, StageStatus::RollingBack { .. })
            }
        };
        if !phase_fits {
            return Err(illegal_in(stage, key.kind.as_str()));
        }
        if key.kind == StepKind::Migrate && !self.is_agreed_to(key.stage) {
            let why = "the stage's gates are closed";
            return Err(IllegalEvent::Step { step: key.clone(), why });
        }
        let asked_before = asked_before(key.kind);
        if asked_before.is_some_and(|step| !stage.gates.hooks_in_front_passed(&stage.spec, step)) {
            let why = "a hook in front of it has not passed";
            return Err(IllegalEvent::Step { step: key.clone(), why });
        }
        if self.prerequisites_met(stage, target, key) {
            Ok(())
        } else {
            Err(IllegalEvent::Step { step: key.clone(), why: "what must be done before it is not" })
        }
    }

    #[expect(clippy::match_same_arms, reason = "each kind is said for itself")]
    fn prerequisites_met(&self, stage: &Stage, target: &Target, key: &StepKey) -> bool {
        let this = target.migrations.iter().position(|m| Some(&m.id) == key.migration.as_ref());
        match (key.kind, this) {
            (StepKind::Inspect, _) => true,
            (StepKind::Backup, _) => target.applies_anything(),
            (StepKind::Rehearse, _) => target.backup.succeeded(),
            (StepKind::Migrate, Some(i)) => {
                let earlier = &target.migrations[..i];
                target.backup.succeeded()
                    && target.rehearse.is_done()
                    && earlier
                        .iter()
                        .all(|m| (m.migrate.is_done() && m.verify.is_done()) || self.may_be_followed(m))
            }
            (StepKind::Verify, Some(i)) => target.migrations[i].migrate.succeeded(),
            (StepKind::Monitor, Some(i)) => target.migrations[i].verify.is_done(),
            (StepKind::Monitor, None) => true,
            (StepKind::Measure, _) => target.is_measured(),
            (StepKind::RollbackBackup, _) => stage.left_to_take_back(target).next().is_some(),
            (StepKind::Rollback, Some(i)) => {
                let next = stage.left_to_take_back(target).next();
                target.rollback_backup.succeeded() && next.is_some_and(|m| m.id == target.migrations[i].id)
            }
            (_, None) => false,
        }
    }

    /// Whether an agent may have the next migration already while this one runs: nobody has to look in between.
    fn may_be_followed(&self, steps: &MigrationSteps) -> bool {
        steps.migrate.is_running() && self.migration(&steps.id).is_some_and(|m| m.manifest.verify.is_empty())
    }

    /// Whether the migration just before this one is under way.
    pub(crate) fn one_before_is_running(&self, key: &StepKey) -> bool {
        let target = self.stage(key.stage).and_then(|s| s.target(&key.database));
        let before = target.and_then(|t| t.before(key));
        key.kind == StepKind::Migrate && before.is_some_and(|m| m.migrate.is_running())
    }

    pub(super) fn check_rollback_start(
        &self,
        index: StageIndex,
        to: Option<&MigrationId>,
    ) -> Result<(), IllegalEvent> {
        let stage = self.stage(index).ok_or(IllegalEvent::NoStage(index))?;
        // What was open when the deployment ended is open no longer: a cancelled rollback can be asked for again.
        let goes_on = self.outcome.is_none();
        if goes_on && matches!(stage.status, StageStatus::RollingBack { .. }) {
            return Err(illegal_in(stage, "a second rollback"));
        }
        let other = self.indexed_stages().find(|(i, s)| *i != index && s.is_open()).map(|(_, s)| s);
        if goes_on && other.is_some() {
            return Err(illegal_in(
                stage,
                "a rollback while another stage is open; cancel the deployment first",
            ));
        }
        if let Some(left) = other.filter(|s| s.has_effects()) {
            return Err(IllegalEvent::OtherFirst { environment: left.spec.environment.to_string() });
        }
        self.check_way_back(index, to)
    }

    /// Whether there is something to take back, and a way to.
    pub(super) fn check_way_back(
        &self,
        index: StageIndex,
        to: Option<&MigrationId>,
    ) -> Result<(), IllegalEvent> {
        let stage = self.stage(index).ok_or(IllegalEvent::NoStage(index))?;
        if let Some(to) = to.filter(|to| self.migration(to).is_none()) {
            let ids: Vec<_> = self.migrations.iter().map(|m| m.id.as_str()).collect();
            return Err(IllegalEvent::NoMigration { migration: to.clone(), migrations: ids.join(", ") });
        }
        let affected: Vec<_> = stage.targets.iter().flat_map(|t| t.to_take_back(to)).collect();
        if affected.is_empty() {
            let environment = stage.spec.environment.to_string();
            return Err(match to.filter(|_| stage.has_effects()) {
                Some(to) => IllegalEvent::NothingBehind { migration: to.clone(), environment },
                None => IllegalEvent::NothingToRollBack { environment },
            });
        }
        match self.without_way_back(affected) {
            Some(migration) => Err(IllegalEvent::NoDown { migration: migration.clone() }),
            None => Ok(()),
        }
    }

    /// The first of these migrations that can't be taken back.
    pub(crate) fn without_way_back<'a>(
        &self,
        affected: impl IntoIterator<Item = &'a MigrationSteps>,
    ) -> Option<&'a MigrationId> {
        let without = self.migrations.iter().filter(|m| m.down.is_none());
        let without: BTreeSet<&MigrationId> = without.map(|m| &m.id).collect();
        affected.into_iter().map(|steps| &steps.id).find(|id| without.contains(id))
    }

    pub(super) fn check_rollback_failure(&self, index: StageIndex) -> Result<(), IllegalEvent> {
        self.going_on()?;
        let stage = self.stage(index).ok_or(IllegalEvent::NoStage(index))?;
        if !matches!(stage.status, StageStatus::RollingBack { .. }) {
            return Err(illegal_in(stage, "a failed rollback"));
        }
        if self.running_steps().iter().any(|key| key.stage == index) {
            return Err(IllegalEvent::StillRunning);
        }
        Ok(())
    }

    pub(super) fn check_stage_end(
        &self,
        index: StageIndex,
        outcome: StageOutcome,
    ) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        let stage = self.stage(index).ok_or(IllegalEvent::NoStage(index))?;
        if self.running_steps().iter().any(|key| key.stage == index) {
            return Err(IllegalEvent::StillRunning);
        }
        let fits = match (&stage.status, outcome) {
            (StageStatus::Running { .. }, StageOutcome::Succeeded) => {
                stage.targets.unfinished() == 0 && (stage.spec.soak.is_zero() || !stage.applies_anything())
            }
            (StageStatus::Soaking { .. }, StageOutcome::Succeeded) => {
                let of_migrations = stage.targets.iter().flat_map(|t| &t.migrations).map(|m| &m.monitor);
                let mut all = of_migrations.chain(stage.targets.iter().map(|t| &t.monitor));
                all.all(|step| step.error().is_none())
            }
            (StageStatus::Running { .. }, StageOutcome::Failed) => !stage.has_effects(),
            (StageStatus::RollingBack { .. }, StageOutcome::RolledBack) => stage.is_taken_back(),
            // As earlier versions ended it; now a person decides first.
            (StageStatus::RollingBack { .. }, StageOutcome::RollbackFailed) => true,
            _ => false,
        };
        if fits { Ok(()) } else { Err(illegal_in(stage, "this end")) }
    }

    pub(super) fn not_ended(&self) -> Result<(), IllegalEvent> {
        self.outcome.map_or(Ok(()), |outcome| Err(IllegalEvent::Ended(outcome)))
    }

    /// Neither ended, paused nor being cancelled.
    pub(super) fn going_on(&self) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        if self.paused.is_some() {
            return Err(IllegalEvent::PausedNow);
        }
        if self.cancelling.is_some() {
            return Err(IllegalEvent::Cancelling);
        }
        Ok(())
    }
}

/// The kind of step as hooks know it, where they are asked for it alone: of migrations together with the stage's gates.
fn asked_before(kind: StepKind) -> Option<HookStep> {
    match kind {
        StepKind::Inspect => Some(HookStep::Inspect),
        StepKind::Backup => Some(HookStep::Backup),
        StepKind::Rehearse => Some(HookStep::Rehearse),
        StepKind::Verify => Some(HookStep::Verify),
        _ => None,
    }
}

/// What a deployment that only rehearses may do.
fn is_part_of_rehearsal(kind: StepKind) -> bool {
    matches!(kind, StepKind::Inspect | StepKind::Backup | StepKind::Rehearse)
}

pub(super) fn illegal_in(stage: &Stage, event: &'static str) -> IllegalEvent {
    let is = match stage.status {
        StageStatus::Pending => "has not begun",
        StageStatus::Running { .. } => "is running",
        StageStatus::Soaking { .. } => "is soaking",
        StageStatus::RollingBack { .. } => "is rolling back",
        StageStatus::RollbackFailed { .. } => "could not be rolled back",
        StageStatus::Ended { .. } => "has ended",
    };
    IllegalEvent::Stage { environment: stage.spec.environment.to_string(), is, event }
}
