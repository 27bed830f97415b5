//! A hook that has not passed, and those that a stage has.

use jiff::Timestamp;
use stopover_model::deployment::{Deployment, Stage};
use stopover_model::id::HookName;
use stopover_model::pipeline::{Hook, HookWay, StageSpec};

use super::super::View;
use super::super::number::{clock, exact, relative};
use super::Closed;

pub(super) fn closed(
    (deployment, stage): (&Deployment, &Stage),
    name: &HookName,
    external: bool,
    until: Timestamp,
    view: View,
) -> Closed {
    let hook = stage.spec.hooks.iter().find(|hook| hook.name == *name);
    let place = hook.filter(|hook| hook.step.is_some());
    let place = place.map(|hook| format!(" ({})", hook.place().words())).unwrap_or_default();
    let until = format!("until {} ({})", clock(until, view.now), relative(until, view.now));
    if !external {
        return Closed {
            what: format!("the answer of the hook {name}{place}, {until}"),
            ..Closed::default()
        };
    }
    let id = &deployment.id;
    let ways = vec![format!("stopover pass {id} {name}"), format!("stopover fail {id} {name} --reason TEXT")];
    Closed { what: format!("somebody's word on {name}{place}, {until}"), who: None, ways }
}

/// Those of a stage, in the order in which the pipeline has them.
pub(super) fn of_spec(spec: &StageSpec) -> impl Iterator<Item = String> {
    let one = |hook: &Hook| {
        let (name, place, time) = (&hook.name, hook.place().words(), exact(hook.timeout));
        match hook.way {
            HookWay::Webhook { .. } => format!("{name} is called {place}, and has {time}"),
            HookWay::External => format!("{name} is waited for {place}, for {time}"),
        }
    };
    spec.hooks.iter().map(one)
}
