//! All legal transitions of a deployment, in one place.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::legal::{IllegalEvent, illegal_in};
use super::step::{StatementRun, Step, StepState};
use super::target::Target;
use super::targets::Targets;
use super::{Deployment, FleetChange, Pause, Stage, StageRollback, StageStatus};
use crate::event::{
    Actor, DeploymentKind, DeploymentOutcome, Event, Record, Resolution, StageIndex, StageOutcome, StepKey,
    StepKind, Waiting,
};
use crate::gate::{Agreed, Approval, HookEnd, Rejection, Tick, Voided, WindowOverride};
use crate::id::{Attempt, DatabaseName, RunId};
use crate::plan::{Action, TargetPlan};
use crate::report::{LogLine, Outcome, StepReport};

impl Deployment {
    /// Folds one more event into the state, or says why it has no place there and changes nothing.
    pub fn apply(&mut self, record: &Record) -> Result<(), IllegalEvent> {
        if record.deployment != self.id {
            return Err(IllegalEvent::OtherDeployment {
                expected: self.id.clone(),
                got: record.deployment.clone(),
            });
        }
        if record.seq != self.seq.next() {
            return Err(IllegalEvent::Gap { expected: self.seq.next(), got: record.seq });
        }
        self.transition(&record.event, record.at)?;
        self.review(&record.event);
        self.seq = record.seq;
        self.updated_at = record.at;
        Ok(())
    }

    /// Puts the databases where they belong that an event may have changed.
    fn review(&mut self, event: &Event) {
        let (stage, database) = match event {
            Event::StepStarted { step, .. }
            | Event::StepFinished { step, .. }
            | Event::Resolved { step, .. } => (step.stage, Some(&step.database)),
            Event::Planned { stage, plan } => (*stage, Some(&plan.database)),
            Event::PlanRefused { stage, database, .. } => (*stage, Some(database)),
            Event::RollbackStarted { stage, .. } | Event::StageRefreshed { stage, .. } => (*stage, None),
            Event::Resumed { .. } => {
                return self.stages.iter_mut().for_each(|stage| stage.targets.review_all());
            }
            _ => return,
        };
        let Ok(stage) = self.stage_mut(stage) else { return };
        match database {
            Some(database) => stage.targets.review(database),
            None => stage.targets.review_all(),
        }
    }

    fn transition(&mut self, event: &Event, at: Timestamp) -> Result<(), IllegalEvent> {
        match event {
            Event::Created { .. } => Err(IllegalEvent::CreatedTwice),
            Event::StageStarted { stage, databases, waves } => self.start_stage(*stage, databases, waves, at),
            Event::FleetChanged { stage, joined, left } => {
                self.change_fleet(*stage, FleetChange { joined: joined.clone(), left: left.clone() })
            }
            Event::DatabaseLeftOut { stage, database, by, reason } => {
                self.leave_out(*stage, database, (by, reason, at))
            }
            Event::StepStarted { step, attempt, epoch, agent } => {
                self.check_step_start(step, *attempt)?;
                let behind = self.one_before_is_running(step);
                let started = self.step_mut(step)?;
                started.start(*attempt, *epoch, agent.clone(), at);
                if behind {
                    started.stand_behind();
                }
                Ok(())
            }
            Event::StepLogged { step, attempt, run, line_number, line } => {
                self.log(step, *attempt, run, *line_number)?;
                if let LogLine::StatementFinished { index, rows, took } = line {
                    let ended = StatementRun { rows: *rows, took: *took };
                    self.step_mut(step)?.statements.insert(*index, ended);
                }
                Ok(())
            }
            Event::StepFinished { step, attempt, outcome } => self.finish_step(step, *attempt, outcome, at),
            Event::Planned { stage, plan } => self.take_plan(*stage, plan),
            Event::PlanRefused { stage, database, error } => {
                self.going_on()?;
                self.plannable(*stage, database)?.refused = Some(error.clone());
                Ok(())
            }
            Event::SoakStarted { stage, until } => self.start_soak(*stage, *until, at),
            Event::RollbackStarted { stage, cause, by, to } => {
                let rollback = StageRollback { at, cause: cause.clone(), by: by.clone(), to: to.clone() };
                self.start_rollback(*stage, rollback)
            }
            Event::RollbackFailed { stage, cause } => {
                self.check_rollback_failure(*stage)?;
                let status = StageStatus::RollbackFailed { since: at, cause: cause.clone() };
                self.stage_mut(*stage)?.status = status;
                Ok(())
            }
            Event::StageFinished { stage, outcome } => {
                self.check_stage_end(*stage, *outcome)?;
                self.stage_mut(*stage)?.status = StageStatus::Ended { outcome: *outcome, at };
                Ok(())
            }
            Event::WaitingChanged { waiting } => {
                self.not_ended()?;
                self.wait_for(waiting.clone(), at);
                Ok(())
            }
            Event::Paused { cause, by } => {
                self.going_on()?;
                self.paused = Some(Pause { cause: cause.clone(), by: by.clone(), since: at });
                Ok(())
            }
            Event::Resumed { databases, .. } if !databases.is_empty() => self.retry(databases),
            Event::Resumed { .. } => self.resume(at),
            Event::Resolved { step, resolution, by } => self.resolve(step, *resolution, by, at),
            Event::CancelRequested { by } => self.cancel(by),
            Event::Throttled { throttle, .. } => {
                self.not_ended()?;
                self.throttle.clone_from(throttle);
                Ok(())
            }
            Event::Finished { outcome } => self.finish(*outcome, at),
            Event::Approved { stage, by, groups, digest, reason } => {
                let (by, digest, reason) = (by.clone(), *digest, reason.clone());
                self.approve(*stage, groups, Approval { by, digest, reason, at })
            }
            Event::Rejected { stage, by, groups, reason } => {
                self.reject(*stage, groups, Rejection { by: by.clone(), reason: reason.clone(), at })
            }
            Event::ApprovalsVoided { stage, why } => self.void(*stage, Voided { why: why.clone(), at }),
            Event::Ticked { stage, item, by } => self.tick(*stage, item, Tick { by: by.clone(), at }),
            Event::StageRefreshed { stage, .. } => self.refresh(*stage),
            Event::WindowOverridden { stage, by, reason } => {
                let (by, reason) = (by.clone(), reason.clone());
                self.override_window(*stage, WindowOverride { by, reason, at })
            }
            Event::HookStarted { stage, hook, attempt } => self.start_hook(*stage, hook, *attempt, at),
            Event::HookFinished { stage, hook, attempt, outcome, by } => {
                let end = HookEnd { outcome: outcome.clone(), by: by.clone(), at };
                self.finish_hook(*stage, hook, *attempt, end)
            }
        }
    }

    /// Something of the same kind is waited for since it first was.
    fn wait_for(&mut self, waiting: Option<Waiting>, at: Timestamp) {
        let same = match (&self.waiting, &waiting) {
            (Some(before), Some(now)) => std::mem::discriminant(before) == std::mem::discriminant(now),
            _ => false,
        };
        if !same {
            self.waiting_since = waiting.as_ref().map(|_| at);
        }
        self.waiting = waiting;
    }

    fn start_stage(
        &mut self,
        index: StageIndex,
        databases: &[DatabaseName],
        waves: &[u32],
        at: Timestamp,
    ) -> Result<(), IllegalEvent> {
        self.going_on()?;
        self.check_stage_start(index, databases)?;
        let migrations = self.migrations.clone();
        let stage = self.stage_mut(index)?;
        let spec = &stage.spec;
        let target = |(place, d): (usize, &DatabaseName)| Target::new(d.clone(), &migrations, (spec, place));
        let targets = databases.iter().enumerate().map(target).collect();
        stage.targets = Targets::new(targets, waves);
        stage.status = StageStatus::Running { since: at };
        Ok(())
    }

    fn take_plan(&mut self, stage: StageIndex, plan: &TargetPlan) -> Result<(), IllegalEvent> {
        self.going_on()?;
        let only_rehearsed = self.kind == DeploymentKind::Rehearsal;
        let spec = self.stage(stage).map(|stage| (stage.spec.rehearse, stage.spec.drift.clone()));
        let target = self.plannable(stage, &plan.database)?;
        if let (Some((true, drift)), Some(former)) = (spec, &target.former)
            && !former.is_same(&Agreed::of(plan, target.inspection(), &drift))
        {
            // What was rehearsed is not what would run.
            target.rehearse = Step { attempts: target.rehearse.attempts, ..Step::default() };
        }
        let skipped = plan.migrations.iter().filter(|m| m.action == Action::Skip);
        let skipped: BTreeSet<_> = skipped.map(|m| &m.id).collect();
        for steps in &mut target.migrations {
            if only_rehearsed || skipped.contains(&steps.id) {
                steps.migrate.state = StepState::Skipped;
                steps.verify.state = StepState::Skipped;
            }
        }
        if !plan.applies_anything() {
            target.backup.state = StepState::Skipped;
            target.rehearse.state = StepState::Skipped;
        }
        target.plan = Some(plan.clone());
        Ok(())
    }

    fn start_soak(&mut self, index: StageIndex, until: Timestamp, at: Timestamp) -> Result<(), IllegalEvent> {
        self.going_on()?;
        let stage = self.stage_mut(index)?;
        if !matches!(stage.status, StageStatus::Running { .. }) || stage.targets.unfinished() > 0 {
            return Err(illegal_in(stage, "the soak's start"));
        }
        stage.status = StageStatus::Soaking { since: at, until };
        Ok(())
    }

    fn start_rollback(&mut self, index: StageIndex, rollback: StageRollback) -> Result<(), IllegalEvent> {
        self.check_rollback_start(index, rollback.to.as_ref())?;
        let at = rollback.at;
        // A stage that a cancellation left before anything happened in it must not go on after the rollback.
        for stage in self.stages.iter_mut().filter(|s| s.is_open()) {
            stage.status = StageStatus::Ended { outcome: StageOutcome::Failed, at };
        }
        let stage = self.stage_mut(index)?;
        stage.status = StageStatus::RollingBack { since: at };
        stage.rollback = Some(rollback);
        for target in stage.targets.all_mut() {
            target.rollback_backup = Step { attempts: target.rollback_backup.attempts, ..Step::default() };
            target.migrations.iter_mut().for_each(|m| m.rollback.reopen());
        }
        self.paused = None;
        self.outcome = None;
        self.cancelling = None;
        Ok(())
    }

    fn resume(&mut self, at: Timestamp) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        if self.cancelling.is_some() {
            return Err(IllegalEvent::Cancelling);
        }
        let stopped = self.stages.iter().any(Stage::rollback_failed);
        if self.paused.take().is_none() && !stopped {
            return Err(IllegalEvent::NotPaused);
        }
        for stage in &mut self.stages {
            stage.gates.rejection = None;
            stage.gates.excuse_hooks();
        }
        self.roll_back_on(at);
        self.reopen_open_stages();
        Ok(())
    }

    /// What came to a stop goes on.
    fn roll_back_on(&mut self, at: Timestamp) {
        for stage in self.stages.iter_mut().filter(|s| s.rollback_failed()) {
            stage.status = StageStatus::RollingBack { since: at };
        }
    }

    fn resolve(
        &mut self,
        key: &StepKey,
        resolution: Resolution,
        by: &Actor,
        at: Timestamp,
    ) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        let failed = self.failed_rollbacks().contains(key);
        let step = self.step_mut(key)?;
        if !failed && !matches!(step.state, StepState::Unknown { .. }) {
            return Err(IllegalEvent::Step { step: key.clone(), why: "its outcome is known" });
        }
        step.reopen();
        step.resolution = Some(resolution);
        if failed {
            step.by_hand = Some(by.clone()).filter(|_| resolution == Resolution::Applied);
            self.roll_back_on(at);
        }
        self.paused = None;
        Ok(())
    }

    fn cancel(&mut self, by: &Actor) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        if self.cancelling.is_some() {
            return Err(IllegalEvent::Cancelling);
        }
        self.cancelling = Some(by.clone());
        self.paused = None;
        Ok(())
    }

    fn finish(&mut self, outcome: DeploymentOutcome, at: Timestamp) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        if !self.running_steps().is_empty() {
            return Err(IllegalEvent::StillRunning);
        }
        let through =
            |s: &Stage| matches!(s.status, StageStatus::Ended { outcome: StageOutcome::Succeeded, .. });
        if outcome == DeploymentOutcome::Succeeded && !self.stages.iter().all(through) {
            return Err(IllegalEvent::NotThrough);
        }
        // It was given up: another stage may be taken back all the same.
        for stage in self.stages.iter_mut().filter(|s| s.rollback_failed()) {
            stage.status = StageStatus::Ended { outcome: StageOutcome::RollbackFailed, at };
        }
        self.outcome = Some(outcome);
        self.wait_for(None, at);
        self.paused = None;
        Ok(())
    }

    fn log(
        &mut self,
        step: &StepKey,
        attempt: Attempt,
        run: &RunId,
        line_number: u64,
    ) -> Result<(), IllegalEvent> {
        match &mut self.step_mut(step)?.state {
            StepState::Running { attempt: current, logged, .. } if *current == attempt => {
                if logged.as_ref().is_some_and(|(last_run, last)| last_run == run && *last >= line_number) {
                    return Err(IllegalEvent::DuplicateLine {
                        step: step.clone(),
                        run: run.clone(),
                        line_number,
                    });
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
            Outcome::Unknown { .. } | Outcome::NotBegun { .. } => None,
        };
        if report.is_some_and(|r| !key.kind.reports(r)) {
            return Err(IllegalEvent::Step { step: key.clone(), why: "the report is another step's" });
        }
        let step = self.step_mut(key)?;
        let began = match &step.state {
            StepState::Running { attempt: current, since, .. } if *current == attempt => *since,
            _ => return Err(not_running(key)),
        };
        step.finish(outcome.clone(), at);
        if matches!((key.kind, outcome), (StepKind::Migrate, Outcome::Succeeded { .. })) {
            self.skip_empty_verification(key)?;
            self.give_turn_behind(key, at)?;
        }
        if key.kind == StepKind::Monitor {
            self.take_evidence(key, outcome, (began, at))?;
        }
        if let (StepKind::Measure, Outcome::Succeeded { report: StepReport::Measured(metrics) }) =
            (key.kind, outcome)
        {
            self.target_mut(key)?.baseline.take(metrics.clone(), at);
        }
        Ok(())
    }

    /// The migration itself has seen that it is in the database: without checks there is nothing more to look at.
    fn skip_empty_verification(&mut self, migrate: &StepKey) -> Result<(), IllegalEvent> {
        let Some(id) = &migrate.migration else { return Ok(()) };
        let no_checks = self.migration(id).is_some_and(|m| m.manifest.verify.is_empty());
        let verify = StepKey { kind: StepKind::Verify, ..migrate.clone() };
        let step = self.step_mut(&verify)?;
        if no_checks && step.is_pending() {
            step.state = StepState::Skipped;
        }
        Ok(())
    }

    /// A migration has succeeded: the agent goes on with the one that it has behind it.
    fn give_turn_behind(&mut self, migrate: &StepKey, at: Timestamp) -> Result<(), IllegalEvent> {
        let target = self.target_mut(migrate)?;
        let next =
            target.migrations.iter_mut().skip_while(|m| Some(&m.id) != migrate.migration.as_ref()).nth(1);
        if let Some(steps) = next.filter(|m| m.migrate.is_behind()) {
            steps.migrate.take_turn(at);
        }
        Ok(())
    }

    fn reopen_open_stages(&mut self) {
        for stage in self.stages.iter_mut().filter(|s| s.is_open()) {
            for target in stage.targets.all_mut() {
                target.reopen();
            }
        }
    }

    fn plannable(&mut self, stage: StageIndex, database: &DatabaseName) -> Result<&mut Target, IllegalEvent> {
        let key = StepKey::target(stage, database, StepKind::Inspect);
        let target = self.target_mut(&key)?;
        if target.inspect.succeeded() && target.plan.is_none() && target.refused.is_none() {
            Ok(target)
        } else {
            Err(IllegalEvent::Step { step: key, why: "a plan follows one inspection" })
        }
    }

    pub(super) fn stage_mut(&mut self, index: StageIndex) -> Result<&mut Stage, IllegalEvent> {
        self.stages.get_mut(index.0 as usize).ok_or(IllegalEvent::NoStage(index))
    }

    pub(super) fn target_mut(&mut self, key: &StepKey) -> Result<&mut Target, IllegalEvent> {
        let stage = self.stage_mut(key.stage)?;
        stage.targets.named_mut(&key.database).ok_or_else(|| IllegalEvent::NoStep(key.clone()))
    }

    fn step_mut(&mut self, key: &StepKey) -> Result<&mut Step, IllegalEvent> {
        self.target_mut(key)?.step_mut(key).ok_or_else(|| IllegalEvent::NoStep(key.clone()))
    }
}

fn not_running(step: &StepKey) -> IllegalEvent {
    IllegalEvent::Step { step: step.clone(), why: "this attempt is not running" }
}
