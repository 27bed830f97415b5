//! Windows around a stage's migrations: the next one begins in one only, and backfills that reach the end of theirs wait.

use jiff::Timestamp;

use super::fleet::Scope;
use super::fresh::{FRESH, age, lead, look_again};
use super::prepare::prepare;
use super::{Command, Next, fleet};
use crate::deployment::{Deployment, MigrationSteps, Stage, Target};
use crate::event::StageIndex;
use crate::gate::GateWait;
use crate::gate::window::{Needed, backfills_until, closed};
use crate::plan::{Action, MigrationSummary};

/// What the stage's next migration waits for.
pub(super) fn in_front_of_next(next: &Next<'_>, stage: &Stage) -> Vec<GateWait> {
    closed(&stage.spec, &stage.gates, next_needed(next.deployment, stage), next.now)
}

/// Whether a migration may begin in what is left of a window, behind those that need so much already.
pub(super) fn has_room(next: &Next<'_>, stage: &Stage, needed: Needed) -> bool {
    closed(&stage.spec, &stage.gates, needed, next.now).is_empty()
}

/// Shortly before a window opens everything is looked at again and backed up, so that all of it is left for the
/// migrations. Whether there is anything to do.
pub(super) fn get_ready(next: &mut Next<'_>, index: StageIndex, stage: &Stage, shut: &[GateWait]) -> bool {
    let Some(opens) = shut.iter().filter_map(GateWait::until).max() else { return false };
    let from = opens.checked_sub(lead(stage)).unwrap_or(Timestamp::MIN);
    let looked_again = stage.targets.iter().any(|target| target.former.is_some());
    if next.now < from && !(looked_again && age(next, stage) <= FRESH) {
        next.commands.push(Command::WakeAt(from));
        return false;
    }
    if look_again(next, index, stage) {
        return true;
    }
    let missing = |target: &Target| target.left_out.is_none() && !target.backup.is_done();
    if !stage.targets.iter().any(missing) {
        return false;
    }
    fleet::go_through(next, stage, Scope::All, |next, target| {
        missing(target) && prepare(next, index, stage, target)
    });
    true
}

/// A running migration whose backfills the window's end holds, or will.
pub(super) fn around_running(
    next: &mut Next<'_>,
    stage: &Stage,
    migration: &MigrationSummary,
    action: Option<&Action>,
    steps: &MigrationSteps,
) {
    let Some(Action::Apply { variant, .. }) = action else { return };
    let statements = (0_u32..).zip(&migration.script(*variant).statements);
    let mut left = statements.filter(|(index, _)| !steps.migrate.statements.contains_key(index));
    if !left.any(|(_, statement)| statement.backfill.is_some()) {
        return;
    }
    match backfills_until(&stage.spec, &stage.gates, next.now) {
        Some(until) if until > next.now => next.commands.push(Command::WakeAt(until)),
        Some(_) => {
            let shut = closed(&stage.spec, &stage.gates, Needed::default(), next.now);
            next.wait_at_gates(stage, shut);
        }
        None => {}
    }
}

fn next_needed(deployment: &Deployment, stage: &Stage) -> Needed {
    let target = stage.targets.first_unfinished();
    let needed = target.and_then(|target| {
        let mut all = deployment.migrations_in(target);
        let (migration, _) = all.find(|(_, steps)| !steps.migrate.is_done())?;
        Some(Needed::by(migration, target.action(&migration.id)?))
    });
    needed.unwrap_or_default()
}
