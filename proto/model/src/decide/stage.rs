//! A running stage: inspect, plan, back up, migrate, verify, database by database.

use std::time::Duration;

use jiff::Timestamp;

use super::{Command, Next, failure, running_in};
use crate::deployment::{Stage, Step, Target};
use crate::event::{Event, StageIndex, StageOutcome, StepKey, StepKind, Waiting};
use crate::id::DatabaseName;
use crate::plan::TargetPlan;

/// Begins a stage as soon as it has its environment and its databases.
pub(super) fn begin(next: &mut Next<'_>, index: StageIndex, stage: &Stage) {
    let environment = stage.spec.environment.clone();
    let Some(view) = next.world.environments.get(&environment) else {
        next.waiting = Some(Waiting::EnvironmentMissing { environment });
        return;
    };
    if let Some(by) = &view.held_by {
        next.waiting = Some(Waiting::EnvironmentHeld { environment, by: by.clone() });
        return;
    }
    let databases: Vec<DatabaseName> = if stage.spec.databases.is_empty() {
        view.databases.keys().cloned().collect()
    } else {
        stage.spec.databases.clone()
    };
    let unserved = databases.iter().find(|d| !view.databases.contains_key(*d));
    if databases.is_empty() || unserved.is_some() {
        next.waiting = Some(Waiting::NoAgent { environment, database: unserved.cloned() });
        return;
    }
    next.append(Event::StageStarted { stage: index, databases });
}

/// Takes a running stage one step further.
pub(super) fn run(next: &mut Next<'_>, index: StageIndex, stage: &Stage) {
    if let Some(problem) = failure::find(stage) {
        if running_in(next.deployment, index).is_empty() {
            failure::handle(next, index, stage, problem);
        }
        return;
    }
    match stage.targets.iter().find(|t| !t.is_migrated()) {
        Some(target) => advance(next, index, stage, target),
        None if stage.spec.soak.is_zero() || !stage.targets.iter().any(Target::applies_anything) => {
            next.append(Event::StageFinished { stage: index, outcome: StageOutcome::Succeeded });
        }
        None => {
            let until = next.now.checked_add(stage.spec.soak).unwrap_or(Timestamp::MAX);
            next.append(Event::SoakStarted { stage: index, until });
        }
    }
}

fn advance(next: &mut Next<'_>, index: StageIndex, stage: &Stage, target: &Target) {
    let key = |kind| StepKey::target(index, &target.database, kind);
    if !target.inspect.succeeded() {
        return try_step(next, stage, key(StepKind::Inspect), &target.inspect);
    }
    if target.plan.is_none() {
        return plan(next, index, stage, target);
    }
    if !target.backup.is_done() {
        return try_step(next, stage, key(StepKind::Backup), &target.backup);
    }
    for steps in &target.migrations {
        let key = |kind| StepKey::migration(index, &target.database, kind, &steps.id);
        if !steps.migrate.is_done() {
            return try_step(next, stage, key(StepKind::Migrate), &steps.migrate);
        }
        if !steps.verify.is_done() {
            return try_step(next, stage, key(StepKind::Verify), &steps.verify);
        }
    }
}

fn plan(next: &mut Next<'_>, index: StageIndex, stage: &Stage, target: &Target) {
    let Some(inspection) = target.inspection() else {
        return;
    };
    let known = next.deployment.known(index, &next.world.history);
    let (database, out_of_order) = (&target.database, next.deployment.pipeline.out_of_order);
    let migrations = &next.deployment.migrations;
    let drift = &stage.spec.drift;
    let plan = TargetPlan::make(database, migrations, inspection, &known, out_of_order, drift);
    match plan.and_then(|plan| plan.linted(&stage.spec.environment, &next.deployment.lint)) {
        Ok(plan) => next.append(Event::Planned { stage: index, plan }),
        Err(error) => {
            next.append(Event::PlanRefused { stage: index, database: target.database.clone(), error });
        }
    }
}

/// Starts a step that is due, or waits for its next try. Callers have dealt with failures for good.
pub(super) fn try_step(next: &mut Next<'_>, stage: &Stage, key: StepKey, step: &Step) {
    if step.is_running() {
        return;
    }
    if let Some(failed_at) = step.passing_failure() {
        let at = failed_at.checked_add(pause_before_try(step.tries)).unwrap_or(Timestamp::MAX);
        if at > next.now {
            next.waiting = Some(Waiting::Retry { step: key, at });
            next.commands.push(Command::WakeAt(at));
            return;
        }
    }
    next.start(stage, key);
}

/// 1, 2, 4, 8 … s, at most 30 s.
fn pause_before_try(tries: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(tries.saturating_sub(1)).min(30))
}
