//! In front of a stage's first migration: everything that people look at is there first, then its gates are waited for.

use super::fleet::Scope;
use super::fresh::look_again;
use super::hooks::Hooks;
use super::prepare::prepare;
use super::{Next, fleet, hooks, running_in, window};
use crate::deployment::{Set, Stage, Target};
use crate::event::{Event, StageIndex};
use crate::gate::has_gates;

/// Whether a stage that has not begun to migrate has to stay at its gates; what it waits for is said then.
pub(super) fn hold(next: &mut Next<'_>, index: StageIndex, stage: &Stage) -> bool {
    if !has_gates(&stage.spec) {
        return false;
    }
    let unprepared = |t: &Target| t.plan.is_none() || stage.spec.rehearse && !t.rehearse.is_done();
    if stage.targets.any(Set::Fresh) || stage.targets.that_are(Set::Working).any(unprepared) {
        fleet::go_through(next, stage, Scope::Unprepared, |next, target| {
            unprepared(target) && prepare(next, index, stage, target)
        });
        return true;
    }
    if !running_in(next.deployment, index).is_empty() {
        return true;
    }
    if !stage.applies_anything() {
        return false;
    }
    if let Some(why) = next.deployment.outdated_approvals(index) {
        next.append(Event::ApprovalsVoided { stage: index, why });
        return true;
    }
    let mut closed = stage.gates.closed(&stage.spec);
    match hooks::said_by_others(next, index, stage) {
        Hooks::Changed => return true,
        Hooks::Wait(hooks) => closed.extend(hooks),
    }
    let shut = window::in_front_of_next(next, stage);
    if closed.is_empty() && !shut.is_empty() && window::get_ready(next, index, stage, &shut) {
        return true;
    }
    closed.extend(shut);
    // What is called changes something out there: nothing else may be missing by then, and everything was looked at.
    let may_call = closed.is_empty();
    if may_call && hooks::call_is_due(stage) && look_again(next, index, stage) {
        return true;
    }
    match hooks::called_before(next, index, stage, may_call) {
        Hooks::Changed => return true,
        Hooks::Wait(hooks) => closed.extend(hooks),
    }
    // What stands in front of a step and was begun is waited for wherever the stage is by now.
    match hooks::before_first_migration(next, index, stage, false) {
        Hooks::Changed => return true,
        Hooks::Wait(hooks) => closed.extend(hooks),
    }
    if !closed.is_empty() {
        next.wait_at_gates(stage, closed);
        return true;
    }
    look_again(next, index, stage)
}
