//! What is missing of a stage's approvals.

use stopover_model::deployment::{Deployment, Stage};
use stopover_model::pipeline::StageSpec;

use super::{Closed, stage_option};

/// With so many of those that are needed.
pub(super) fn closed(deployment: &Deployment, stage: &Stage, (have, need): (u32, u32)) -> Closed {
    let id = &deployment.id;
    let given = &stage.gates.approvals;
    let mut what = format!("{have} of {need} approval{}", if need == 1 { "" } else { "s" });
    if !given.is_empty() {
        let by: Vec<_> = given.iter().map(|a| a.by.as_str()).collect();
        what = format!("{what}, by {}", by.join(", "));
    }
    if let Some(voided) = stage.gates.voided.as_ref().filter(|_| given.is_empty()) {
        what = format!("{what}; earlier ones no longer count: {}", voided.why);
    }
    if !stage.spec.approvals.possible_without(&deployment.by) {
        let creator = &deployment.by;
        let who = format!("nobody can, since {creator} created it; let another person deploy it");
        return Closed { what, who: Some(who), ways: vec![format!("stopover cancel {id}")] };
    }
    let mut not = vec![&deployment.by];
    not.extend(given.iter().map(|a| &a.by));
    let option = stage_option(deployment, stage);
    let ways = ["approve", "reject"].map(|verb| format!("stopover {verb} {id}{option} --reason TEXT"));
    Closed { what, who: Some(stage.spec.approvals.who(&not)), ways: ways.into() }
}

pub(super) fn of_spec(spec: &StageSpec) -> Option<String> {
    let needed = spec.approvals.needed;
    let s = if needed == 1 { "" } else { "s" };
    (needed > 0).then(|| format!("{needed} approval{s}, by {}", spec.approvals.who(&[])))
}
