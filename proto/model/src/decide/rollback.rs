//! Taking a stage back: a backup of each database, then its migrations in reverse order.

use super::stage::try_step;
use super::{Next, cancel_step, failure, running_in};
use crate::deployment::{Set, Stage, Target};
use crate::event::{Actor, Event, StageIndex, StageOutcome, StepKey, StepKind};

pub(super) fn run(next: &mut Next<'_>, index: StageIndex, stage: &Stage) {
    let is_undo = |k: &StepKey| matches!(k.kind, StepKind::RollbackBackup | StepKind::Rollback);
    let (undoing, forward): (Vec<_>, Vec<_>) =
        running_in(next.deployment, index).into_iter().partition(is_undo);
    if !forward.is_empty() {
        return forward.into_iter().for_each(|step| cancel_step(next, step));
    }
    if !undoing.is_empty() {
        return;
    }
    let left = |target: &&Target| stage.left_to_take_back(target).next().is_some();
    let Some(target) = stage.targets.that_are(Set::Affected).rev().find(left) else {
        return next.append(Event::StageFinished { stage: index, outcome: StageOutcome::RolledBack });
    };
    let steps = stage.left_to_take_back(target).next();
    let (key, step) = match steps {
        Some(steps) if target.rollback_backup.succeeded() => {
            (StepKey::migration(index, &target.database, StepKind::Rollback, &steps.id), &steps.rollback)
        }
        _ => (StepKey::target(index, &target.database, StepKind::RollbackBackup), &target.rollback_backup),
    };
    let kind = key.kind;
    let name = || match (kind, steps) {
        (StepKind::Rollback, Some(m)) => format!("the rollback of {} in {}", m.id, target.database),
        _ => format!("the backup of {} before the rollback", target.database),
    };
    if let Some(problem) = failure::of_step(step, name) {
        if problem.unknown {
            // As with a migration: a person looks first, and says what is true.
            return next.append(Event::Paused { cause: problem.cause, by: Actor::Pipeline });
        }
        return next.append(Event::RollbackFailed { stage: index, cause: problem.cause });
    }
    try_step(next, stage, key, step);
}
