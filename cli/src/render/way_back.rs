//! When to take a stage back, how far a rollback has come, what to do where it failed, and what to do after it.

use stopover_model::deployment::{Deployment, MigrationSteps, Stage, StageStatus, Step, StepState, Target};
use stopover_model::event::{DeploymentOutcome, StageOutcome, StepKey};
use stopover_model::report::{BackupReport, RollbackReport, StepReport};
use stopover_model::rollback::Fate;

use super::View;
use super::line::{Line, Tone};
use super::rollback::taken_lines;
use super::script::summary;

/// While somebody decides about a stage in which something is: when taking it back is the better way.
#[must_use]
pub fn when(deployment: &Deployment, stage: &Stage) -> Vec<String> {
    let (id, environment) = (&deployment.id, &stage.spec.environment);
    let applied = stage.targets.iter().flat_map(|t| t.to_take_back(None));
    let no_way = applied.map(|m| &m.id).find(|id| deployment.migration(id).is_some_and(|m| m.down.is_none()));
    if let Some(migration) = no_way {
        return vec![format!(
            "{migration} has no down.sql: the way back is a new migration, or the backup that was taken before it"
        )];
    }
    vec![
        format!("stopover rollback {id} --plan shows what taking {environment} back would lose"),
        format!(
            "stopover rollback {id} takes {environment} back: better where it can't be mended at once, where errors rise, a \
             user flow breaks, or queries slow down"
        ),
    ]
}

/// While a stage rests under observation.
#[must_use]
pub fn if_something_breaks(deployment: &Deployment) -> Option<String> {
    let index = deployment.last_stage_with_effects()?;
    deployment.can_be_rolled_back(index, None).ok()?;
    let id = &deployment.id;
    Some(format!(
        "should errors rise, a user flow break or queries slow down: stopover rollback {id} --plan, then stopover rollback {id}"
    ))
}

/// The ways out of a rollback that came to a stop.
#[must_use]
pub fn ways_out(deployment: &Deployment, stage: &Stage) -> Vec<String> {
    let (id, environment) = (&deployment.id, &stage.spec.environment);
    let mut ways = vec![format!("remove the cause, then stopover resume {id}: it goes on where it stopped")];
    if !deployment.failed_rollbacks().is_empty() {
        ways.push(format!(
            "or take it back by hand, then stopover resolve {id} --applied: that is looked at and booked (--not-applied \
             tries again)"
        ));
    }
    let backups = stage.targets.iter().filter_map(|t| backup(&t.rollback_backup));
    ways.extend(backups.map(|report| match &report.id {
        Some(backup) => format!(
            "or go back to before the rollback: stopover backup restore {backup}; what the database's ledger says then \
             counts"
        ),
        None => format!("or go back to before the rollback, with its backup: {}", report.restore_command),
    }));
    ways.push(format!(
        "stopover cancel {id} gives it up: what stands stays, and {environment} is free for others"
    ));
    ways
}

fn backup(step: &Step) -> Option<&BackupReport> {
    match step.report() {
        Some(StepReport::BackedUp(report)) => Some(report),
        _ => None,
    }
}

/// How far a stage's rollback has come, a line for each database; nothing where there was none.
#[must_use]
pub fn progress(stage: &Stage) -> Vec<Line> {
    if stage.rollback.is_none() {
        return Vec::new();
    }
    stage.targets.iter().filter_map(|target| of_target(stage, target)).collect()
}

fn of_target(stage: &Stage, target: &Target) -> Option<Line> {
    let names = |all: Vec<&MigrationSteps>| all.iter().map(|m| m.id.as_str()).collect::<Vec<_>>().join(", ");
    let back: Vec<_> = target.migrations.iter().rev().filter(|m| m.rollback.succeeded()).collect();
    let left: Vec<_> = stage.left_to_take_back(target).collect();
    let stays: Vec<_> =
        target.to_take_back(None).filter(|m| left.iter().all(|l| l.id != m.id)).collect::<Vec<_>>();
    if back.is_empty() && left.is_empty() {
        return None;
    }
    let mut line = Line::new().plain(format!("{}: ", target.database));
    let mut first = true;
    for (word, tone, all) in
        [("taken back", Tone::Good, back), ("still there", Tone::Bad, left), ("stays", Tone::Plain, stays)]
    {
        if all.is_empty() {
            continue;
        }
        line = line.plain(if first { "" } else { "; " }).with(tone, word).plain(format!(" {}", names(all)));
        first = false;
    }
    Some(line)
}

/// Which statements of a rollback that failed hold, and which don't.
#[must_use]
pub fn statements(deployment: &Deployment, key: &StepKey, report: &RollbackReport) -> Vec<Line> {
    let Some((number, ..)) = summary(deployment, key, 0) else { return Vec::new() };
    if report.done.is_empty() {
        return vec![Line::new().dim("none of its statements took effect")];
    }
    let line = |index: u32| {
        let (_, line, text) = summary(deployment, key, index)?;
        let (tone, word) = if report.done.contains(&index) {
            (Tone::Good, "took effect   ")
        } else {
            (Tone::Warn, "did not       ")
        };
        Some(Line::of(tone, word).dim(format!("line {line}: {text}")))
    };
    (0..u32::try_from(number).unwrap_or(u32::MAX)).filter_map(line).collect()
}

/// What a rollback took, for its record.
#[must_use]
pub fn taken(report: &RollbackReport) -> Vec<Line> {
    report.takes.iter().flat_map(taken_lines).collect()
}

/// Whether the step is a rollback's that failed.
#[must_use]
pub fn failed(step: &Step) -> Option<&RollbackReport> {
    match &step.state {
        StepState::Failed { report: Some(StepReport::RolledBack(report)), .. } => Some(report),
        _ => None,
    }
}

/// Whether values that a rollback dropped are in the database still.
fn saved_something(target: &Target) -> bool {
    let reports = target.migrations.iter().filter_map(|m| match m.rollback.report() {
        Some(StepReport::RolledBack(report)) => Some(report),
        _ => None,
    });
    let mut takes = reports.flat_map(|report| &report.takes);
    takes.any(|taken| taken.takes_data() && matches!(taken.fate, Some(Fate::Saved { .. })))
}

/// What is to be done now that a stage was taken back, or could not be.
#[must_use]
pub fn afterwards(deployment: &Deployment, view: View) -> Vec<Line> {
    let (id, outcome) = (&deployment.id, deployment.outcome);
    let mut steps = Vec::new();
    for stage in &deployment.stages {
        let StageStatus::Ended { outcome: ended, .. } = stage.status else { continue };
        let (Some(rollback), environment) = (&stage.rollback, &stage.spec.environment) else { continue };
        match ended {
            StageOutcome::RolledBack => {
                steps.push(format!("find the cause: {}", rollback.cause));
                steps.push(format!(
                    "take back the code in {environment} that needs what is gone, where it is deployed"
                ));
                if stage.targets.iter().any(saved_something) {
                    steps.push(format!(
                        "what it dropped is kept: stopover saved list {environment}; stopover deploy --again WHY \
                         --restore-saved puts it back with the migration"
                    ));
                }
            }
            StageOutcome::RollbackFailed => {
                let command = format!("stopover rollback {id} --stage {environment}");
                steps.push(format!("{command} tries again, once that is mended"));
            }
            StageOutcome::Succeeded | StageOutcome::Failed => {}
        }
    }
    if outcome == Some(DeploymentOutcome::RolledBack) {
        let first = deployment.stages.first().map(|s| s.spec.environment.as_str()).unwrap_or_default();
        steps.push(
            "mend it: the same content is not applied there again without stopover deploy --again".to_owned(),
        );
        steps.push(format!("then stopover plan and stopover deploy: it begins in {first} again"));
    }
    let advice = |text: String| Line::of(Tone::Busy, "  → ").plain(text).wrapped(view.width, 4);
    steps.into_iter().flat_map(advice).collect()
}
