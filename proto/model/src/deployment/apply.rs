//! All legal transitions of a deployment, in one place.

use jiff::Timestamp;

use super::step::{Step, StepState};
use super::target::Target;
use super::{Deployment, Pause, Stage, StageStatus};
use crate::event::{DeploymentOutcome, Event, Record, StageIndex, StageOutcome, StepKey, StepKind};
use crate::id::{Attempt, DeploymentId, MigrationId, RunId, Seq};
use crate::plan::Action;
use crate::report::{Outcome, StepReport};

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
    #[error("{migration} has no down.sql, so that it can't be rolled back; restore the backup, or write the way back as a new migration")]
    NoDown { migration: MigrationId },
    #[error("nothing of this deployment is in {environment}: there is nothing to roll back")]
    NothingToRollBack { environment: String },
    #[error("a step is still running")]
    StillRunning,
    #[error("not every stage has ended well")]
    NotThrough,
}

impl Deployment {
    /// Folds one more event into the state, or says why it has no place there and changes nothing.
    pub fn apply(&mut self, record: &Record) -> Result<(), IllegalEvent> {
        if record.deployment != self.id {
            return Err(IllegalEvent::OtherDeployment { expected: self.id.clone(), got: record.deployment.clone() });
        }
        if record.seq != self.seq.next() {
            return Err(IllegalEvent::Gap { expected: self.seq.next(), got: record.seq });
        }
        self.transition(&record.event, record.at)?;
        self.seq = record.seq;
        self.updated_at = record.at;
        Ok(())
    }

    fn transition(&mut self, event: &Event, at: Timestamp) -> Result<(), IllegalEvent> {
        match event {
            Event::Created { .. } => Err(IllegalEvent::CreatedTwice),
            Event::StageStarted { stage, databases } => {
                self.going_on()?;
                self.check_stage_start(*stage, databases)?;
                let targets = databases.iter().map(|d| Target::new(d.clone(), &self.migrations)).collect();
                let stage = self.stage_mut(*stage)?;
                stage.targets = targets;
                stage.status = StageStatus::Running { since: at };
                Ok(())
            }
            Event::StepStarted { step, attempt, epoch, agent } => {
                self.check_step_start(step, *attempt)?;
                self.step_mut(step)?.start(*attempt, *epoch, agent.clone(), at);
                Ok(())
            }
            Event::StepLogged { step, attempt, run, line_number, .. } => self.log(step, *attempt, run, *line_number),
            Event::StepFinished { step, attempt, outcome } => self.finish_step(step, *attempt, outcome, at),
            Event::Planned { stage, plan } => {
                self.going_on()?;
                let target = self.plannable(*stage, &plan.database)?;
                for steps in &mut target.migrations {
                    let planned = plan.migrations.iter().find(|m| m.id == steps.id);
                    if matches!(planned.map(|m| &m.action), Some(Action::Skip)) {
                        steps.migrate.state = StepState::Skipped;
                        steps.verify.state = StepState::Skipped;
                    }
                }
                if !plan.applies_anything() {
                    target.backup.state = StepState::Skipped;
                }
                target.plan = Some(plan.clone());
                Ok(())
            }
            Event::PlanRefused { stage, database, error } => {
                self.going_on()?;
                self.plannable(*stage, database)?.refused = Some(error.clone());
                Ok(())
            }
            Event::SoakStarted { stage, until } => {
                self.going_on()?;
                let stage = self.stage_mut(*stage)?;
                if !matches!(stage.status, StageStatus::Running { .. }) || !stage.targets.iter().all(Target::is_migrated) {
                    return Err(illegal_in(stage, "the soak's start"));
                }
                stage.status = StageStatus::Soaking { since: at, until: *until };
                Ok(())
            }
            Event::RollbackStarted { stage, cause, by } => {
                self.check_rollback_start(*stage)?;
                let stage = self.stage_mut(*stage)?;
                stage.status = StageStatus::RollingBack { since: at, cause: cause.clone(), by: by.clone() };
                for target in &mut stage.targets {
                    target.rollback_backup = Step { attempts: target.rollback_backup.attempts, ..Step::default() };
                    target.migrations.iter_mut().for_each(|m| m.rollback.reopen());
                }
                self.paused = None;
                self.outcome = None;
                self.cancelling = None;
                Ok(())
            }
            Event::StageFinished { stage, outcome } => {
                self.check_stage_end(*stage, *outcome)?;
                self.stage_mut(*stage)?.status = StageStatus::Ended { outcome: *outcome, at };
                Ok(())
            }
            Event::WaitingChanged { waiting } => {
                self.not_ended()?;
                self.waiting.clone_from(waiting);
                Ok(())
            }
            Event::Paused { cause, by } => {
                self.going_on()?;
                self.paused = Some(Pause { cause: cause.clone(), by: by.clone(), since: at });
                Ok(())
            }
            Event::Resumed { .. } => {
                self.not_ended()?;
                if self.paused.take().is_none() {
                    return Err(IllegalEvent::NotPaused);
                }
                self.reopen_open_stages();
                Ok(())
            }
            Event::Resolved { step, resolution, .. } => {
                self.not_ended()?;
                let unknown = self.step_mut(step)?;
                if !matches!(unknown.state, StepState::Unknown { .. }) {
                    return Err(IllegalEvent::Step { step: step.clone(), why: "its outcome is known" });
                }
                unknown.reopen();
                unknown.resolution = Some(*resolution);
                self.paused = None;
                Ok(())
            }
            Event::CancelRequested { by } => {
                self.not_ended()?;
                if self.cancelling.is_some() {
                    return Err(IllegalEvent::Cancelling);
                }
                self.cancelling = Some(by.clone());
                self.paused = None;
                Ok(())
            }
            Event::Finished { outcome } => {
                self.not_ended()?;
                if !self.running_steps().is_empty() {
                    return Err(IllegalEvent::StillRunning);
                }
                let through = |s: &Stage| matches!(s.status, StageStatus::Ended { outcome: StageOutcome::Succeeded, .. });
                if *outcome == DeploymentOutcome::Succeeded && !self.stages.iter().all(through) {
                    return Err(IllegalEvent::NotThrough);
                }
                self.outcome = Some(*outcome);
                self.waiting = None;
                self.paused = None;
                Ok(())
            }
        }
    }

    fn log(&mut self, step: &StepKey, attempt: Attempt, run: &RunId, line_number: u64) -> Result<(), IllegalEvent> {
        match &mut self.step_mut(step)?.state {
            StepState::Running { attempt: current, logged, .. } if *current == attempt => {
                if logged.as_ref().is_some_and(|(last_run, last)| last_run == run && *last >= line_number) {
                    return Err(IllegalEvent::DuplicateLine { step: step.clone(), run: run.clone(), line_number });
                }
                *logged = Some((run.clone(), line_number));
                Ok(())
            }
            _ => Err(not_running(step)),
        }
    }

    fn finish_step(
        &mut self,
        key: &StepKey,
        attempt: Attempt,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), IllegalEvent> {
        let report = match outcome {
            Outcome::Succeeded { report } => Some(report),
            Outcome::Failed { report, .. } => report.as_ref(),
            Outcome::Unknown { .. } => None,
        };
        if report.is_some_and(|r| !belongs(r, key.kind)) {
            return Err(IllegalEvent::Step { step: key.clone(), why: "the report is another step's" });
        }
        let step = self.step_mut(key)?;
        let began = match &step.state {
            StepState::Running { attempt: current, since, .. } if *current == attempt => *since,
            _ => return Err(not_running(key)),
        };
        step.finish(outcome.clone(), at);
        if let (StepKind::Monitor, Outcome::Succeeded { report: StepReport::Verified(report) }) = (key.kind, outcome) {
            let passed: Vec<_> = report.checks.iter().filter(|c| c.passed).map(|c| c.name.clone()).collect();
            let target = self.target_mut(key)?;
            if let Some(steps) = target.migrations.iter_mut().find(|m| Some(&m.id) == key.migration.as_ref()) {
                steps.monitored.extend(passed.into_iter().map(|name| (name, began)));
            }
        }
        Ok(())
    }

    fn check_stage_start(&self, index: StageIndex, databases: &[crate::id::DatabaseName]) -> Result<(), IllegalEvent> {
        let stage = self.stage(index).ok_or(IllegalEvent::NoStage(index))?;
        let earlier_through = self
            .indexed_stages()
            .take_while(|(i, _)| *i < index)
            .all(|(_, s)| matches!(s.status, StageStatus::Ended { outcome: StageOutcome::Succeeded, .. }));
        let mut unique = databases.to_vec();
        unique.sort();
        unique.dedup();
        if stage.status != StageStatus::Pending || !earlier_through || databases.is_empty() || unique.len() != databases.len() {
            return Err(illegal_in(stage, "its start"));
        }
        Ok(())
    }

    fn check_step_start(&self, key: &StepKey, attempt: Attempt) -> Result<(), IllegalEvent> {
        self.going_on()?;
        let stage = self.stage(key.stage).ok_or(IllegalEvent::NoStage(key.stage))?;
        let target = stage.target(&key.database).ok_or_else(|| IllegalEvent::NoStep(key.clone()))?;
        let step = target.step(key).ok_or_else(|| IllegalEvent::NoStep(key.clone()))?;
        if attempt.0 != step.attempts + 1 {
            return Err(IllegalEvent::Attempt { step: key.clone(), expected: step.attempts + 1, got: attempt });
        }
        let startable = match step.state {
            StepState::Pending | StepState::Failed { .. } | StepState::Unknown { .. } => true,
            StepState::Succeeded { .. } => key.kind == StepKind::Monitor,
            StepState::Running { .. } | StepState::Skipped => false,
        };
        if !startable {
            return Err(IllegalEvent::Step { step: key.clone(), why: "it is running, or done" });
        }
        let phase_fits = match key.kind {
            StepKind::Inspect | StepKind::Backup | StepKind::Migrate | StepKind::Verify => {
                matches!(stage.status, StageStatus::Running { .. })
            }
            StepKind::Monitor => matches!(stage.status, StageStatus::Soaking { .. }),
            StepKind::RollbackBackup | StepKind::Rollback => matches!(stage.status, StageStatus::RollingBack { .. }),
        };
        if !phase_fits {
            return Err(illegal_in(stage, key.kind.as_str()));
        }
        if prerequisites_met(target, key) {
            Ok(())
        } else {
            Err(IllegalEvent::Step { step: key.clone(), why: "what must be done before it is not" })
        }
    }

    fn check_rollback_start(&self, index: StageIndex) -> Result<(), IllegalEvent> {
        let stage = self.stage(index).ok_or(IllegalEvent::NoStage(index))?;
        if matches!(stage.status, StageStatus::RollingBack { .. }) {
            return Err(illegal_in(stage, "a second rollback"));
        }
        if self.indexed_stages().any(|(i, s)| i != index && s.is_open()) {
            return Err(illegal_in(stage, "a rollback while another stage is open; cancel the deployment first"));
        }
        let affected: Vec<_> = stage.targets.iter().flat_map(|t| &t.migrations).filter(|m| m.has_effect()).collect();
        if affected.is_empty() {
            return Err(IllegalEvent::NothingToRollBack { environment: stage.spec.environment.to_string() });
        }
        match affected.iter().find(|m| self.migration(&m.id).is_some_and(|m| m.down.is_none())) {
            Some(steps) => Err(IllegalEvent::NoDown { migration: steps.id.clone() }),
            None => Ok(()),
        }
    }

    fn check_stage_end(&self, index: StageIndex, outcome: StageOutcome) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        let stage = self.stage(index).ok_or(IllegalEvent::NoStage(index))?;
        if self.running_steps().iter().any(|key| key.stage == index) {
            return Err(IllegalEvent::StillRunning);
        }
        let fits = match (&stage.status, outcome) {
            (StageStatus::Running { .. }, StageOutcome::Succeeded) => {
                stage.targets.iter().all(Target::is_migrated)
                    && (stage.spec.soak.is_zero() || !stage.targets.iter().any(Target::applies_anything))
            }
            (StageStatus::Soaking { .. }, StageOutcome::Succeeded) => {
                stage.targets.iter().flat_map(|t| &t.migrations).all(|m| m.monitor.error().is_none())
            }
            (StageStatus::Running { .. }, StageOutcome::Failed) => !stage.has_effects(),
            (StageStatus::RollingBack { .. }, StageOutcome::RolledBack) => !stage.has_effects(),
            (StageStatus::RollingBack { .. }, StageOutcome::RollbackFailed) => true,
            _ => false,
        };
        if fits { Ok(()) } else { Err(illegal_in(stage, "this end")) }
    }

    fn reopen_open_stages(&mut self) {
        for stage in self.stages.iter_mut().filter(|s| s.is_open()) {
            for target in &mut stage.targets {
                if target.refused.take().is_some() {
                    let attempts = target.inspect.attempts;
                    target.inspect = Step { attempts, ..Step::default() };
                }
                for step in [&mut target.inspect, &mut target.backup, &mut target.rollback_backup] {
                    step.reopen();
                }
                for steps in &mut target.migrations {
                    for step in [&mut steps.migrate, &mut steps.verify, &mut steps.monitor, &mut steps.rollback] {
                        step.reopen();
                    }
                }
            }
        }
    }

    fn not_ended(&self) -> Result<(), IllegalEvent> {
        self.outcome.map_or(Ok(()), |outcome| Err(IllegalEvent::Ended(outcome)))
    }

    /// Neither ended, paused nor being cancelled.
    fn going_on(&self) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        if self.paused.is_some() {
            return Err(IllegalEvent::PausedNow);
        }
        if self.cancelling.is_some() {
            return Err(IllegalEvent::Cancelling);
        }
        Ok(())
    }

    fn plannable(
        &mut self,
        stage: StageIndex,
        database: &crate::id::DatabaseName,
    ) -> Result<&mut Target, IllegalEvent> {
        let key = StepKey::target(stage, database, StepKind::Inspect);
        let target = self.target_mut(&key)?;
        if target.inspect.succeeded() && target.plan.is_none() && target.refused.is_none() {
            Ok(target)
        } else {
            Err(IllegalEvent::Step { step: key, why: "a plan follows one inspection" })
        }
    }

    fn stage_mut(&mut self, index: StageIndex) -> Result<&mut Stage, IllegalEvent> {
        self.stages.get_mut(index.0 as usize).ok_or(IllegalEvent::NoStage(index))
    }

    fn target_mut(&mut self, key: &StepKey) -> Result<&mut Target, IllegalEvent> {
        let stage = self.stage_mut(key.stage)?;
        stage.targets.iter_mut().find(|t| t.database == key.database).ok_or_else(|| IllegalEvent::NoStep(key.clone()))
    }

    fn step_mut(&mut self, key: &StepKey) -> Result<&mut Step, IllegalEvent> {
        self.target_mut(key)?.step_mut(key).ok_or_else(|| IllegalEvent::NoStep(key.clone()))
    }
}

fn prerequisites_met(target: &Target, key: &StepKey) -> bool {
    let this = target.migrations.iter().position(|m| Some(&m.id) == key.migration.as_ref());
    match (key.kind, this) {
        (StepKind::Inspect, _) => true,
        (StepKind::Backup, _) => target.applies_anything(),
        (StepKind::Migrate, Some(i)) => {
            let earlier = &target.migrations[..i];
            target.backup.succeeded() && earlier.iter().all(|m| m.migrate.is_done() && m.verify.is_done())
        }
        (StepKind::Verify, Some(i)) => target.migrations[i].migrate.succeeded(),
        (StepKind::Monitor, Some(i)) => target.migrations[i].verify.is_done(),
        (StepKind::RollbackBackup, _) => target.has_effects(),
        (StepKind::Rollback, Some(i)) => {
            let later = &target.migrations[i + 1..];
            target.rollback_backup.succeeded()
                && target.migrations[i].has_effect()
                && later.iter().all(|m| !m.has_effect())
        }
        (_, None) => false,
    }
}

fn belongs(report: &StepReport, kind: StepKind) -> bool {
    match report {
        StepReport::Inspected(_) => kind == StepKind::Inspect,
        StepReport::BackedUp(_) => matches!(kind, StepKind::Backup | StepKind::RollbackBackup),
        StepReport::Migrated(_) => kind == StepKind::Migrate,
        StepReport::Verified(_) => matches!(kind, StepKind::Verify | StepKind::Monitor),
        StepReport::RolledBack(_) => kind == StepKind::Rollback,
    }
}

fn not_running(step: &StepKey) -> IllegalEvent {
    IllegalEvent::Step { step: step.clone(), why: "this attempt is not running" }
}

fn illegal_in(stage: &Stage, event: &'static str) -> IllegalEvent {
    let is = match stage.status {
        StageStatus::Pending => "has not begun",
        StageStatus::Running { .. } => "is running",
        StageStatus::Soaking { .. } => "is soaking",
        StageStatus::RollingBack { .. } => "is rolling back",
        StageStatus::Ended { .. } => "has ended",
    };
    IllegalEvent::Stage { environment: stage.spec.environment.to_string(), is, event }
}
