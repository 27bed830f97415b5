//! Taking a stage back: a backup of each database, then its migrations in reverse order.

use super::stage::try_step;
use super::{Next, cancel_step, failure, running_in};
use crate::deployment::Stage;
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
    let Some(target) = stage.targets.iter().rev().find(|t| t.has_effects()) else {
        return next.append(Event::StageFinished { stage: index, outcome: StageOutcome::RolledBack });
    };
    let steps = target.migrations.iter().rev().find(|m| m.has_effect());
    let (key, step) = match steps {
        Some(steps) if target.rollback_backup.succeeded() => {
            (StepKey::migration(index, &target.database, StepKind::Rollback, &steps.id), &steps.rollback)
        }
        _ => (StepKey::target(index, &target.database, StepKind::RollbackBackup), &target.rollback_backup),
    };
    let name = steps.map_or_else(String::new, |m| format!("the rollback of {} in {}", m.id, target.database));
    if let Some(problem) = failure::of_step(step, &name) {
        if problem.unknown {
            // As with a migration: a person looks first, and says what is true.
            return next.append(Event::Paused { cause: problem.cause, by: Actor::Pipeline });
        }
        return next.append(Event::StageFinished { stage: index, outcome: StageOutcome::RollbackFailed });
    }
    try_step(next, stage, key, step);
}
