//! What is missing of a stage's checklist.

use stopover_model::deployment::{Deployment, Stage};
use stopover_model::pipeline::StageSpec;

use super::{Closed, stage_option};

pub(super) fn closed(deployment: &Deployment, stage: &Stage, items: &[String]) -> Closed {
    let done = stage.gates.ticked.len();
    let what = format!("the checklist, {done} of {} done", done + items.len());
    let option = stage_option(deployment, stage);
    let way = |item: &String| format!("stopover tick {} {}{option}", deployment.id, quoted(item));
    let who = Some("whoever has done it".to_owned());
    Closed { what, who, ways: items.iter().map(way).collect() }
}

/// As it can be pasted into a shell.
fn quoted(item: &str) -> String {
    if item.contains(['"', '$', '`', '\\', '!']) {
        return format!("'{}'", item.replace('\'', "'\\''"));
    }
    format!("\"{item}\"")
}

pub(super) fn of_spec(spec: &StageSpec) -> Option<String> {
    (!spec.checklist.is_empty()).then(|| format!("a checklist: {}", spec.checklist.join(", ")))
}
