//! What shows that it is so: of a failure the statement, the code, the checks; of a success what was done.

use crate::deployment::{Stage, Step, StepState, Target};
use crate::event::{StageIndex, StepKey};
use crate::plan::grouped;
use crate::report::{Effect, StepError, StepReport};

/// A longer list says less.
pub(super) const MOST_LINES: usize = 12;

/// Whether only somebody who looks can say what is true.
pub(super) fn is_unknown(stage: &Stage) -> bool {
    steps(stage).iter().any(|(_, step)| matches!(step.state, StepState::Unknown { .. }))
}

/// Why the stage came to a stop.
pub(super) fn cause(stage: &Stage) -> Option<String> {
    let refused = stage.targets.iter().find_map(|t| {
        let error = t.refused.as_ref()?;
        Some(format!("{} can't be migrated: {}", t.database, error.message))
    });
    refused.or_else(|| {
        let mut failed = steps(stage).into_iter().filter_map(|(key, step)| Some((key, step.error()?)));
        failed.next().map(|(key, error)| format!("{key} failed: {}", error.message))
    })
}

/// Of what failed in the stage.
pub(super) fn of_failure(stage: &Stage) -> Vec<String> {
    let mut lines = Vec::new();
    for target in &stage.targets {
        lines.extend(target.refused.iter().flat_map(of_error));
    }
    for (key, step) in steps(stage) {
        let Some(error) = step.error() else { continue };
        lines.push(format!("{key}, attempt {}", step.attempts));
        lines.extend(of_error(error));
        lines.extend(failed_checks(step));
    }
    lines.truncate(MOST_LINES);
    lines
}

/// Of a stage that went through.
pub(super) fn of_success(stage: &Stage) -> Vec<String> {
    let of_target = |target: &Target| {
        let (mut applied, mut rows, mut checks) = (0_u64, 0_u64, 0_usize);
        for steps in &target.migrations {
            if let Some(StepReport::Migrated(report)) = steps.migrate.report() {
                (applied, rows) = (applied + 1, rows.saturating_add(report.rows));
            }
            if let Some(StepReport::Verified(report)) = steps.verify.report() {
                checks += report.checks.len();
            }
        }
        let place = format!("{}/{}", stage.spec.environment, target.database);
        if applied == 0 {
            return format!("{place}: everything was there already");
        }
        let (one, all) = (if applied == 1 { "" } else { "s" }, grouped(rows));
        format!("{place}: {applied} migration{one} applied, {all} rows touched, {checks} checks hold")
    };
    stage.targets.iter().map(of_target).collect()
}

fn of_error(error: &StepError) -> Vec<String> {
    let place = error
        .place
        .as_ref()
        .map(|place| format!("{} line {}: {}", place.file, place.line, place.text.trim()));
    let code = error.sqlstate.as_ref().map(|code| format!("SQLSTATE {code}"));
    let effect = match error.effect {
        Effect::None => None,
        Effect::Partial => Some("some of its statements took effect".to_owned()),
        Effect::Possible => Some("it may have taken effect".to_owned()),
    };
    let hint = error.hint.as_ref().map(|hint| format!("hint: {hint}"));
    [place, code, effect, hint].into_iter().flatten().collect()
}

fn failed_checks(step: &Step) -> Vec<String> {
    let Some(StepReport::Verified(report)) = step.report() else { return Vec::new() };
    let failed = report.checks.iter().filter(|check| !check.passed);
    failed.map(|c| format!("{}: expected {}, observed {}", c.name, c.expected, c.observed)).collect()
}

/// With a place that is only for its name.
fn steps(stage: &Stage) -> Vec<(StepKey, &Step)> {
    let of = |target| -> Vec<(StepKey, &Step)> {
        let target: &Target = target;
        let keys = target.keys(StageIndex(0));
        keys.into_iter().filter_map(|key| target.step(&key).map(|step| (key, step))).collect()
    };
    stage.targets.iter().flat_map(of).collect()
}
