//! A hook that has not passed.

use jiff::Timestamp;
use stopover_model::deployment::Deployment;
use stopover_model::id::HookName;

use super::super::View;
use super::super::number::{clock, relative};
use super::Closed;

pub(super) fn closed(
    deployment: &Deployment,
    name: &HookName,
    external: bool,
    until: Timestamp,
    view: View,
) -> Closed {
    let until = format!("until {} ({})", clock(until, view.now), relative(until, view.now));
    if !external {
        return Closed { what: format!("the answer of the hook {name}, {until}"), ..Closed::default() };
    }
    let id = &deployment.id;
    let ways = vec![format!("stopover pass {id} {name}"), format!("stopover fail {id} {name} --reason TEXT")];
    Closed { what: format!("somebody's word on {name}, {until}"), who: None, ways }
}
