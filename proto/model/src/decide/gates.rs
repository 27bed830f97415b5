//! In front of a stage's first migration: everything that people look at is there first, then its gates are waited for.

use std::time::Duration;

use super::fleet::Scope;
use super::hooks::Hooks;
use super::stage::prepare;
use super::{Command, Next, fleet, hooks, running_in, window};
use crate::deployment::{Set, Stage, Target};
use crate::event::{Event, StageIndex, Waiting};
use crate::gate::{GateWait, has_gates};

/// What was found longer ago than this when the gates open is looked at again.
pub(super) const FRESH: Duration = Duration::from_mins(10);

/// Whether the stage has to stay in front of its first migration; what it waits for is said then.
pub(super) fn hold(next: &mut Next<'_>, index: StageIndex, stage: &Stage) -> bool {
    if !has_gates(&stage.spec) || stage.has_begun() {
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
    if !closed.is_empty() {
        wait(next, stage, closed);
        return true;
    }
    look_again(next, index, stage)
}

/// Looks at the stage's databases again where what was found is too old to go by.
pub(super) fn look_again(next: &mut Next<'_>, index: StageIndex, stage: &Stage) -> bool {
    let age = stage.prepared_at().and_then(|at| Duration::try_from(next.now.duration_since(at)).ok());
    let Some(age) = age.filter(|age| *age > window::fresh_for(stage)) else { return false };
    let why = format!("what was found there is {} old", crate::duration::human(age));
    next.append(Event::StageRefreshed { stage: index, why });
    true
}

/// Says what is waited for, and looks again when the first of it ends by itself.
pub(super) fn wait(next: &mut Next<'_>, stage: &Stage, gates: Vec<GateWait>) {
    if let Some(at) = gates.iter().filter_map(GateWait::until).min() {
        next.commands.push(Command::WakeAt(at));
    }
    next.waiting = Some(Waiting::Gates { environment: stage.spec.environment.clone(), gates });
}
