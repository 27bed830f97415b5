//! Taking a stage back: a backup of each database, then its migrations in reverse order.

use super::steps::try_step;
use super::{Command, Next, cancel_step, failure, running_in};
use crate::deployment::{Set, Stage, Step, Target};
use crate::event::{Actor, Event, StageIndex, StageOutcome, StepKey, StepKind};

pub(super) fn run(next: &mut Next<'_>, index: StageIndex, stage: &Stage) {
    let is_undo = |k: &StepKey| matches!(k.kind, StepKind::RollbackBackup | StepKind::Rollback);
    let (undoing, forward): (Vec<_>, Vec<_>) =
        running_in(next.deployment, index).into_iter().partition(is_undo);
    if !forward.is_empty() {
        return forward.into_iter().for_each(|step| cancel_step(next, step));
    }
    let left = |target: &&Target| stage.left_to_take_back(target).next().is_some();
    let mut targets = stage.targets.that_are(Set::Affected).rev().filter(left).peekable();
    if targets.peek().is_none() {
        if undoing.is_empty() {
            next.append(Event::StageFinished { stage: index, outcome: StageOutcome::RolledBack });
        }
        return;
    }
    if let Some(problem) = targets.clone().find_map(|target| problem(index, stage, target)) {
        // What is under way ends first.
        if undoing.is_empty() {
            next.append(if problem.unknown {
                // As with a migration: a person looks first, and says what is true.
                Event::Paused { cause: problem.cause, by: Actor::Pipeline }
            } else {
                Event::RollbackFailed { stage: index, cause: problem.cause }
            });
        }
        return;
    }
    let parallel = stage.spec.fleet.max_parallel as usize;
    for target in targets.take(parallel) {
        let (key, step) = due(index, stage, target);
        try_step(next, stage, key, step);
    }
    let goes_on = next.commands.iter().any(|c| matches!(c, Command::Start { .. })) || !undoing.is_empty();
    if parallel > 1 && goes_on {
        // One that waits for another try holds nobody up.
        next.waiting = None;
    }
}

/// What comes next in a database: the backup, or the rollback of the last migration that is there.
fn due<'a>(index: StageIndex, stage: &'a Stage, target: &'a Target) -> (StepKey, &'a Step) {
    match stage.left_to_take_back(target).next() {
        Some(steps) if target.rollback_backup.succeeded() => {
            (StepKey::migration(index, &target.database, StepKind::Rollback, &steps.id), &steps.rollback)
        }
        _ => (StepKey::target(index, &target.database, StepKind::RollbackBackup), &target.rollback_backup),
    }
}

fn problem(index: StageIndex, stage: &Stage, target: &Target) -> Option<failure::Problem> {
    let (key, step) = due(index, stage, target);
    failure::of_step(step, || match &key.migration {
        Some(id) => format!("the rollback of {id} in {}", target.database),
        None => format!("the backup of {} before the rollback", target.database),
    })
}
