//! Hooks behind a kind of step that changes nothing: all of the stage's databases go through it first.

use super::fleet::{Scope, go_through};
use super::hooks::hold;
use super::prepare::prepare;
use super::{Next, running_in};
use crate::deployment::{Set, Stage, Target};
use crate::event::StageIndex;
use crate::pipeline::{HookPlace, HookStep};

/// Whether the stage has to stay behind a kind of step that changes nothing: all databases go through it first, but those
/// that have failed.
pub(super) fn hold_behind(next: &mut Next<'_>, index: StageIndex, stage: &Stage, step: HookStep) -> bool {
    let place = HookPlace::after(step);
    if stage.gates.hooks_passed(&stage.spec, place) {
        return false;
    }
    let (scope, is_through): (_, fn(&Target) -> bool) = match step {
        HookStep::Inspect => (Scope::Unprepared, |target| target.plan.is_some()),
        HookStep::Rehearse => (Scope::Unprepared, |target| target.rehearse.is_done()),
        // Without a rehearsal it is the last thing before the migrations, and for those that everything else is there for.
        _ => (Scope::All, |target| target.plan.is_some() && target.backup.is_done()),
    };
    let going = [Set::Working, Set::Parked].into_iter().flat_map(|set| stage.targets.that_are(set));
    if stage.targets.any(Set::Fresh) || going.into_iter().any(|target| !is_through(target)) {
        go_through(next, stage, scope, |next, target| {
            !is_through(target) && prepare(next, index, stage, target)
        });
        return true;
    }
    if !running_in(next.deployment, index).is_empty() {
        return true;
    }
    (step == HookStep::Inspect || stage.applies_anything()) && hold(next, index, stage, place)
}
