//! Hooks around a stage's migrations and its steps: those that are called, and those whose end somebody says.
//!
//! Before the migrations, what somebody says is waited for together with the other gates, and the others are called when
//! nothing else is missing. Everywhere else they go one after the other, in the pipeline's order, each once for the whole
//! stage: in front of the first step of a kind, or behind the last.

use super::{Command, Next};
use crate::deployment::Stage;
use crate::event::{Actor, Event, StageIndex};
use crate::gate::{GateWait, HookOutcome, HookRun, in_front_of};
use crate::id::Attempt;
use crate::pipeline::{Hook, HookPlace, HookStep};

/// What became of looking at some of them.
pub(super) enum Hooks {
    /// One began or ended.
    Changed,
    /// Those that are waited for; none: all have passed.
    Wait(Vec<GateWait>),
}

/// Of those before the migrations, the ones that are not called.
pub(super) fn said_by_others(next: &mut Next<'_>, index: StageIndex, stage: &Stage) -> Hooks {
    let mut waits = Vec::new();
    for hook in stage.spec.hooks_at(HookPlace::BEFORE).filter(|hook| hook.is_external()) {
        match take_on(next, index, stage, hook) {
            Hooks::Changed => return Hooks::Changed,
            Hooks::Wait(wait) => waits.extend(wait),
        }
    }
    Hooks::Wait(waits)
}

/// Whether one of those before the migrations is still to be called.
pub(super) fn call_is_due(stage: &Stage) -> bool {
    let due = |hook: &Hook| stage.gates.hooks.get(&hook.name).is_none_or(|run| run.again);
    stage.spec.hooks_at(HookPlace::BEFORE).any(|hook| !hook.is_external() && due(hook))
}

/// Of those before the migrations, the ones that are called, one after the other. What is being called goes on where
/// others may not begin.
pub(super) fn called_before(next: &mut Next<'_>, index: StageIndex, stage: &Stage, may_begin: bool) -> Hooks {
    let called = stage.spec.hooks_at(HookPlace::BEFORE).filter(|hook| !hook.is_external());
    one_by_one(next, index, stage, called, may_begin)
}

/// Directly in front of the stage's first migration, where one may begin.
pub(super) fn before_first_migration(
    next: &mut Next<'_>,
    index: StageIndex,
    stage: &Stage,
    may_begin: bool,
) -> Hooks {
    let places = in_front_of(HookStep::Migrate).iter();
    let hooks = places.flat_map(|place| stage.spec.hooks_at(*place));
    one_by_one(next, index, stage, hooks, may_begin)
}

/// Whether the stage has to stay in front of its first such step.
pub(super) fn hold_in_front(next: &mut Next<'_>, index: StageIndex, stage: &Stage, step: HookStep) -> bool {
    in_front_of(step).iter().any(|place| hold(next, index, stage, *place))
}

/// Whether the stage has to stay behind its last migration.
pub(super) fn hold_after(next: &mut Next<'_>, index: StageIndex, stage: &Stage) -> bool {
    use HookStep::{Migrate, Soak, Verify};
    let mut places = vec![HookPlace::after(Migrate), HookPlace::after(Verify), HookPlace::AFTER];
    places.extend((!stage.spec.soak.is_zero()).then_some(HookPlace::before(Soak)));
    stage.applies_anything() && places.into_iter().any(|place| hold(next, index, stage, place))
}

/// Whether the stage has to stay there: one of the hooks has not passed.
pub(super) fn hold(next: &mut Next<'_>, index: StageIndex, stage: &Stage, place: HookPlace) -> bool {
    match one_by_one(next, index, stage, stage.spec.hooks_at(place), true) {
        Hooks::Changed => true,
        Hooks::Wait(waits) if waits.is_empty() => false,
        Hooks::Wait(waits) => {
            next.wait_at_gates(stage, waits);
            true
        }
    }
}

fn one_by_one<'a>(
    next: &mut Next<'_>,
    index: StageIndex,
    stage: &Stage,
    hooks: impl Iterator<Item = &'a Hook>,
    may_begin: bool,
) -> Hooks {
    for hook in hooks {
        let is_waited_for = stage.gates.hooks.get(&hook.name).is_some_and(|run| run.ended.is_none());
        if !may_begin && !is_waited_for {
            continue;
        }
        match take_on(next, index, stage, hook) {
            Hooks::Wait(wait) if wait.is_empty() => {}
            waits_or_changed => return waits_or_changed,
        }
    }
    Hooks::Wait(Vec::new())
}

/// Begins a hook, calls it, ends it when its time is over, or says that it is waited for.
fn take_on(next: &mut Next<'_>, index: StageIndex, stage: &Stage, hook: &Hook) -> Hooks {
    let name = hook.name.clone();
    let run = match stage.gates.hooks.get(&name) {
        Some(run) if run.passed() => return Hooks::Wait(Vec::new()),
        Some(run) if run.ended.is_none() => run,
        former => {
            let attempt = Attempt(former.map_or(0, |run| run.attempt.0) + 1);
            next.append(Event::HookStarted { stage: index, hook: name, attempt });
            return Hooks::Changed;
        }
    };
    let until = run.until(hook);
    if next.now >= until {
        let (attempt, reason) = (run.attempt, late(next, hook, run));
        let outcome = HookOutcome::Failed { reason };
        let by = Actor::Pipeline;
        next.append(Event::HookFinished { stage: index, hook: name, attempt, outcome, by });
        return Hooks::Changed;
    }
    if !hook.is_external() {
        let attempt = run.attempt;
        next.commands.push(Command::CallHook { stage: index, hook: name.clone(), attempt });
    }
    Hooks::Wait(vec![GateWait::Hook { name, external: hook.is_external(), until }])
}

fn late(next: &Next<'_>, hook: &Hook, run: &HookRun) -> String {
    let time = crate::duration::human(hook.timeout);
    match next.world.hook_errors.get(&hook.name) {
        Some(error) => format!("nothing came of calling it for {time}; at last: {error}"),
        None if hook.is_external() => format!("nobody said within {time} that it is done"),
        None => format!("no answer came within {time} after {}", run.since),
    }
}
