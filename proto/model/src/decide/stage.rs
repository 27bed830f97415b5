//! A running stage: inspect, plan, back up, rehearse, migrate, verify, database by database.
//!
//! Of migrations that need nothing but one transaction each, and nobody's look in between, the agent gets some before their
//! turn: it goes from one to the next while the server still writes down what came of those before.

use jiff::Timestamp;

use super::fleet::Scope;
use super::hooks::Hooks;
use super::prepare::prepare;
use super::steps::try_step;
use super::{Next, behind, failure, fleet, gates, hooks, running_in, window};
use crate::deployment::{MigrationSteps, Set, Stage, Target};
use crate::event::{DeploymentKind, Event, StageIndex, StageOutcome, StepKey, StepKind, Waiting};
use crate::follow_up::FailedFollowUp;
use crate::gate::has_gates;
use crate::gate::window::Needed;
use crate::pipeline::{HookPlace, HookStep};
use crate::plan::{Action, MigrationSummary};

/// So many migrations an agent has at most: the one that runs, and those behind it.
const MOST_AHEAD: usize = 16;
/// With more than these it gets no further ones yet: they go together, into the log and to the agent.
const FEW_AHEAD: usize = 8;

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
    if let Some(failed) = failed_elsewhere(next, stage) {
        next.waiting = Some(Waiting::FollowUp { follow_up: failed.key.clone() });
        return;
    }
    match fleet::begin(index, stage, view) {
        Ok(begin) => next.append(begin),
        Err(waiting) => next.waiting = Some(waiting),
    }
}

/// What of this deployment has failed a follow-up in another environment goes no further until somebody has a word on it.
fn failed_elsewhere<'a>(next: &Next<'a>, stage: &Stage) -> Option<&'a FailedFollowUp> {
    if next.deployment.kind == DeploymentKind::Rehearsal {
        return None;
    }
    next.world.failed_follow_ups.iter().find(|failed| {
        failed.key.environment != stage.spec.environment
            && next.deployment.migrations.iter().any(|m| m.digest == failed.digest)
    })
}

/// Takes a running stage one step further.
pub(super) fn run(next: &mut Next<'_>, index: StageIndex, stage: &Stage) {
    if stage.has_stopped() || stage.gates.failed_hook(&stage.spec).is_some() {
        return stop(next, index, stage);
    }
    if next.deployment.kind == DeploymentKind::Migration && hold_before_migrations(next, index, stage) {
        return;
    }
    if stage.targets.current_wave().is_some() {
        return fleet::go_through(next, stage, Scope::Wave, |next, target| {
            advance(next, index, stage, target);
            true
        });
    }
    if let Some(changed) = fleet::changed(next, index, stage) {
        next.append(changed);
    } else if stage.targets.any(Set::Failed) {
        fleet::hold_for_failed(next, stage);
    } else if next.deployment.kind == DeploymentKind::Migration && hooks::hold_after(next, index, stage) {
        // What is waited for is said.
    } else if stage.spec.soak.is_zero() || !stage.applies_anything() {
        next.append(Event::StageFinished { stage: index, outcome: StageOutcome::Succeeded });
    } else {
        let until = next.now.checked_add(stage.spec.soak).unwrap_or(Timestamp::MAX);
        next.append(Event::SoakStarted { stage: index, until });
    }
}

/// Whether the stage has to stay in front of its first migration: for its gates, or for a hook behind a step that all its
/// databases go through first.
fn hold_before_migrations(next: &mut Next<'_>, index: StageIndex, stage: &Stage) -> bool {
    if stage.has_begun() {
        return false;
    }
    let hold_behind = |next: &mut Next<'_>, step| behind::hold_behind(next, index, stage, step);
    // What is rehearsed is backed up before people agree to it; else that is done for those that are migrated at once.
    let rehearses = stage.spec.rehearse;
    hold_behind(next, HookStep::Inspect)
        || rehearses && (hold_behind(next, HookStep::Backup) || hold_behind(next, HookStep::Rehearse))
        || gates::hold(next, index, stage)
        || !rehearses && hold_behind(next, HookStep::Backup)
}

/// Too much has failed: nothing further begins but what a person has asked for by name. What is under way ends.
fn stop(next: &mut Next<'_>, index: StageIndex, stage: &Stage) {
    if stage.targets.any(Set::ByItself) && stage.gates.failed_hook(&stage.spec).is_none() {
        let agreed = !has_gates(&stage.spec) || stage.has_begun();
        return fleet::go_through(next, stage, Scope::ByItself, |next, target| {
            if agreed {
                advance(next, index, stage, target);
            } else {
                prepare(next, index, stage, target);
            }
            true
        });
    }
    if let Some(problem) = failure::find(next.deployment, stage)
        && running_in(next.deployment, index).is_empty()
    {
        failure::handle(next, index, stage, problem);
    }
}

fn advance(next: &mut Next<'_>, index: StageIndex, stage: &Stage, target: &Target) {
    if prepare(next, index, stage, target) || next.deployment.kind == DeploymentKind::Rehearsal {
        return;
    }
    let all = next.deployment.migrations_in(target);
    let mut undone = all.skip_while(|(_, m)| m.migrate.is_done() && m.verify.is_done()).peekable();
    let Some((migration, first)) = undone.peek().copied() else { return };
    let key = |kind, steps: &MigrationSteps| StepKey::migration(index, &target.database, kind, &steps.id);
    if first.migrate.is_done() {
        let held = is_migrated(stage) && hooks::hold(next, index, stage, HookPlace::after(HookStep::Migrate))
            || hooks::hold_in_front(next, index, stage, HookStep::Verify);
        if !held {
            try_step(next, stage, key(StepKind::Verify, first), &first.verify);
        }
        return;
    }
    let needs = |migration: &MigrationSummary| {
        target.action(&migration.id).map(|action| Needed::by(migration, action)).unwrap_or_default()
    };
    let mut needed = needs(migration);
    if first.migrate.is_running() {
        window::around_running(next, stage, migration, target.action(&migration.id), first);
    } else {
        let mut closed = window::in_front_of_next(next, stage);
        if !stage.has_begun() {
            match hooks::before_first_migration(next, index, stage, closed.is_empty()) {
                Hooks::Changed => return,
                Hooks::Wait(hooks) => closed.extend(hooks),
            }
        }
        if !closed.is_empty() {
            return next.wait_at_gates(stage, closed);
        }
        if !try_step(next, stage, key(StepKind::Migrate, first), &first.migrate) {
            return;
        }
    }
    if undone.clone().filter(|(_, m)| m.migrate.is_running()).count() > FEW_AHEAD {
        return;
    }
    let queueing = next
        .world
        .environments
        .get(&stage.spec.environment)
        .is_some_and(|e| e.queueing.contains(&target.database));
    let mut before = migration;
    for (migration, steps) in undone.skip(1).take(if queueing { MOST_AHEAD - 1 } else { 0 }) {
        if !may_be_followed(target, before) {
            return;
        }
        needed = needed.and(needs(migration));
        let starts = steps.migrate.is_pending()
            && may_be_followed(target, migration)
            && window::has_room(next, stage, needed);
        let is_there =
            steps.migrate.is_running() || starts && next.start(stage, key(StepKind::Migrate, steps));
        if !is_there {
            return;
        }
        before = migration;
    }
}

/// Whether every migration of the stage is there, but for databases that have failed; not yet verified maybe.
fn is_migrated(stage: &Stage) -> bool {
    if stage.gates.hooks_passed(&stage.spec, HookPlace::after(HookStep::Migrate)) {
        return false;
    }
    let mut going = [Set::Working, Set::Parked].into_iter().flat_map(|set| stage.targets.that_are(set));
    !stage.targets.any(Set::Fresh)
        && going.all(|target| target.plan.is_some() && target.migrations.iter().all(|m| m.migrate.is_done()))
}

/// Whether the next migration needs nothing but this one's success: one transaction, and no checks.
fn may_be_followed(target: &Target, migration: &MigrationSummary) -> bool {
    let Some(Action::Apply { variant, .. }) = target.action(&migration.id) else { return false };
    migration.manifest.verify.is_empty() && migration.script(*variant).one_transaction
}
