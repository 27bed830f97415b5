//! A deployment as a tree: stages, databases, steps. The live view and `status` show the same tree.

use stopover_model::deployment::{Deployment, Stage, StageStatus, Target};
use stopover_model::duration::human;
use stopover_model::event::{DeploymentKind, StageIndex, StageOutcome, StepKey, StepKind, Waiting};
use stopover_model::id::DatabaseName;

use super::line::{Line, Tone};
use super::number::{between, clock, ticking};
use super::row::{below_step, row};
use super::step::NAME_WIDTH;
use super::{Depth, View, error, estimate, fleet, impact, waiting, way_back};

/// The whole deployment.
#[must_use]
pub fn lines(deployment: &Deployment, view: View, depth: Depth) -> Vec<Line> {
    let mut lines = header(deployment, view);
    for (index, stage) in deployment.indexed_stages() {
        lines.extend(stage_lines(deployment, index, stage, view, depth, &|_| Vec::new()));
    }
    lines.extend(footer(deployment, view));
    lines
}

/// Which deployment this is.
#[must_use]
pub fn header(deployment: &Deployment, view: View) -> Vec<Line> {
    let end = if deployment.outcome.is_some() { deployment.updated_at } else { view.now };
    let left =
        Line::new().strong(deployment.id.as_str()).plain("  ").plain(deployment.pipeline.name.as_str());
    let left = match deployment.kind {
        DeploymentKind::Migration => left,
        DeploymentKind::Rehearsal => left.with(Tone::Busy, "  rehearsal"),
    };
    let left = left.dim(format!("  by {}  {}", deployment.by, clock(deployment.created_at, view.now)));
    let time = Line::new().dim(ticking(between(deployment.created_at, end)));
    let mut lines = vec![left.and_right(time, view.width)];
    for migration in &deployment.migrations {
        let line = Line::new().plain("  ").plain(migration.id.as_str());
        let about = migration.manifest.description.as_deref().unwrap_or_default();
        lines.push(line.dim(format!("  {about}")).cut(view.width));
    }
    lines
}

/// One stage with its databases and steps. `under` gives the lines below a running step.
#[must_use]
pub fn stage_lines(
    deployment: &Deployment,
    index: StageIndex,
    stage: &Stage,
    view: View,
    depth: Depth,
    under: &dyn Fn(&StepKey) -> Vec<Line>,
) -> Vec<Line> {
    let mut lines = vec![stage_row(deployment, stage, view)];
    if fleet::is_large(stage) {
        lines.extend(fleet::lines(deployment, index, stage, view, depth));
    } else {
        let each = |target| target_lines(deployment, (index, stage, target), view, depth, under);
        lines.extend(stage.targets.iter().flat_map(each));
    }
    lines.extend(soak_row(deployment, stage, view));
    if stage.rollback_failed() {
        lines.extend(way_back::progress(stage).into_iter().map(|l| l.indented(4).cut(view.width)));
    }
    lines
}

/// One database of each stage that has it.
#[must_use]
pub fn of_database(deployment: &Deployment, database: &DatabaseName, view: View) -> Vec<Line> {
    let mut lines = header(deployment, view);
    for (index, stage) in deployment.indexed_stages() {
        let Some(target) = stage.target(database) else { continue };
        lines.push(stage_row(deployment, stage, view));
        lines.extend(target_lines(deployment, (index, stage, target), view, Depth::Full, &|_| Vec::new()));
    }
    lines
}

/// A database of a stage with its steps.
fn target_lines(
    deployment: &Deployment,
    (index, stage, target): (StageIndex, &Stage, &Target),
    view: View,
    depth: Depth,
    under: &dyn Fn(&StepKey) -> Vec<Line>,
) -> Vec<Line> {
    let mut lines = Vec::new();
    let name = Line::new().plain("  ").strong(target.database.as_str());
    let name = match &target.left_out {
        Some(out) if out.reason.is_empty() => name.dim(format!("  left out by {}", out.by)),
        Some(out) => name.dim(format!("  left out by {}: {}", out.by, out.reason)),
        None => name,
    };
    lines.push(name.cut(view.width));
    for key in keys(deployment, index, stage, target) {
        let Some(step) = target.step(&key) else { continue };
        lines.push(row(deployment, &key, step, view));
        let below = view.width.saturating_sub(6);
        let mut inner = below_step(deployment, &key, step, below, depth);
        inner.extend(estimate::beside(target, &key, step, view.now, depth).into_iter().map(|l| l.cut(below)));
        if step.is_running() && !step.is_behind() {
            inner.extend(under(&key).into_iter().map(|l| l.cut(below)));
        }
        lines.extend(inner.into_iter().map(|l| l.indented(6)));
        if key.kind == StepKind::Inspect {
            lines.extend(plan_lines(target, view));
        }
    }
    lines
}

/// A stage on one line.
#[must_use]
pub fn stage_row(deployment: &Deployment, stage: &Stage, view: View) -> Line {
    let (tone, mark, word) = match &stage.status {
        StageStatus::Pending => (Tone::Dim, "·", "to come".to_owned()),
        StageStatus::Running { .. } | StageStatus::Soaking { .. } if deployment.paused.is_some() => {
            (Tone::Warn, "▸", "held for a person".to_owned())
        }
        StageStatus::Running { .. } if is_at_its_gates(deployment, stage) => {
            (Tone::Warn, "▸", "waits at its gates".to_owned())
        }
        StageStatus::Running { .. } => (Tone::Busy, "▸", "running".to_owned()),
        StageStatus::Soaking { .. } => (Tone::Busy, "▸", "under observation".to_owned()),
        StageStatus::RollingBack { .. } => {
            let by = stage.rollback.as_ref().map(|r| format!(", by {}", r.by)).unwrap_or_default();
            (Tone::Warn, "◂", format!("rolling back{}{by}", to(stage)))
        }
        StageStatus::RollbackFailed { .. } => {
            (Tone::Bad, "✗", "ROLLBACK FAILED: held for a person".to_owned())
        }
        StageStatus::Ended { outcome, .. } => match outcome {
            StageOutcome::Succeeded => (Tone::Good, "✓", "succeeded".to_owned()),
            StageOutcome::Failed => (Tone::Bad, "✗", "failed; nothing had to be taken back".to_owned()),
            StageOutcome::RolledBack => (Tone::Warn, "◂", format!("rolled back{}", to(stage))),
            StageOutcome::RollbackFailed => {
                (Tone::Bad, "✗", "the rollback failed: a person must look".to_owned())
            }
        },
    };
    let right = match &stage.status {
        StageStatus::Pending => Line::new(),
        StageStatus::Ended { at, .. } => Line::new().dim(clock(*at, view.now)),
        StageStatus::Running { since }
        | StageStatus::Soaking { since, .. }
        | StageStatus::RollingBack { since }
        | StageStatus::RollbackFailed { since, .. } => {
            Line::of(Tone::Busy, ticking(between(*since, view.now)))
        }
    };
    let left = Line::of(tone, mark).plain(" ").strong(stage.spec.environment.as_str()).plain("  ");
    left.with(tone, word).and_right(right, view.width)
}

fn is_at_its_gates(deployment: &Deployment, stage: &Stage) -> bool {
    matches!(&deployment.waiting, Some(Waiting::Gates { environment, .. }) if *environment == stage.spec.environment)
}

/// The migration that stays, where not all of the stage is taken back.
fn to(stage: &Stage) -> String {
    stage.rolled_back_to().map(|id| format!(" to {id}, which stays")).unwrap_or_default()
}

/// What the deployment waits for, or how it ended.
#[must_use]
pub fn footer(deployment: &Deployment, view: View) -> Vec<Line> {
    use stopover_model::event::DeploymentOutcome as Outcome;
    if let Some(outcome) = deployment.outcome {
        let tone = match outcome {
            Outcome::Succeeded => Tone::Good,
            Outcome::Failed | Outcome::RollbackFailed => Tone::Bad,
            Outcome::Cancelled | Outcome::RolledBack => Tone::Warn,
        };
        let mut lines = vec![
            Line::of(tone, outcome.to_string())
                .dim(format!(" at {}", clock(deployment.updated_at, view.now))),
        ];
        lines.extend(way_back::afterwards(deployment, view));
        return lines;
    }
    let mut lines = waiting::lines(deployment, view);
    if let Some(by) = &deployment.cancelling {
        lines.extend(Line::of(Tone::Warn, format!("being cancelled, by {by}")).wrapped(view.width, 2));
    } else if let Some(pause) = deployment.paused.as_ref().filter(|_| lines.is_empty()) {
        let text = format!("paused by {}: {}", pause.by, pause.cause);
        lines.extend(Line::of(Tone::Warn, text).wrapped(view.width, 2));
    }
    lines
}

/// The steps worth a row: not the rollback's before there is one, nor monitors where nothing is monitored.
fn keys(deployment: &Deployment, index: StageIndex, stage: &Stage, target: &Target) -> Vec<StepKey> {
    let rolling_back =
        matches!(stage.status, StageStatus::RollingBack { .. } | StageStatus::RollbackFailed { .. });
    let begun = |key: &StepKey| target.step(key).is_some_and(|s| s.attempts > 0);
    let monitored = |key: &StepKey| {
        let migration = key.migration.as_ref().and_then(|id| deployment.migration(id));
        let own = key.migration.is_none();
        !stage.spec.soak.is_zero() && (own || migration.is_some_and(|m| !m.manifest.monitors.is_empty()))
    };
    let undone = |key: &StepKey| match key.migration.as_ref() {
        Some(id) => stage.left_to_take_back(target).any(|m| m.id == *id),
        None => stage.left_to_take_back(target).next().is_some(),
    };
    let shown = |key: &StepKey| match key.kind {
        StepKind::Inspect | StepKind::Backup | StepKind::Rehearse => true,
        StepKind::Migrate | StepKind::Verify => deployment.kind == DeploymentKind::Migration,
        StepKind::Monitor => begun(key) || (monitored(key) && !rolling_back),
        StepKind::Measure => begun(key),
        StepKind::RollbackBackup | StepKind::Rollback => begun(key) || (rolling_back && undone(key)),
    };
    target.keys(index).into_iter().filter(shown).collect()
}

fn plan_lines(target: &Target, view: View) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(plan) = &target.plan {
        for migration in plan.migrations.iter().filter(|_| plan.applies_anything()) {
            let name = format!("{:NAME_WIDTH$}  ", "plan");
            let left = Line::new().plain("    ").with(Tone::Good, "✓").plain(" ").plain(name);
            lines.push(left.plain(&migration.reason).cut(view.width));
        }
        if let Some(worst) = target.inspection().and_then(|inspection| impact::worst(inspection, plan)) {
            lines.push(Line::new().plain(" ".repeat(8 + NAME_WIDTH)).dim(worst).cut(view.width));
        }
        for text in &plan.warnings {
            lines.extend(
                Line::of(Tone::Warn, "! ")
                    .plain(text)
                    .wrapped(view.width.saturating_sub(6), 2)
                    .into_iter()
                    .map(|l| l.indented(6)),
            );
        }
    }
    if let Some(refused) = &target.refused {
        let left = Line::new().plain("    ").with(Tone::Bad, "✗").plain(" ").plain("plan");
        lines.push(left);
        lines.extend(error::lines(refused, view.width.saturating_sub(6)).into_iter().map(|l| l.indented(6)));
    }
    lines
}

fn soak_row(deployment: &Deployment, stage: &Stage, view: View) -> Option<Line> {
    if stage.spec.soak.is_zero() || stage.targets.is_empty() {
        return None;
    }
    let name = format!("{:NAME_WIDTH$}  ", "soak");
    let row = |tone, mark: &str| {
        Line::new()
            .plain("    ")
            .with(tone, mark)
            .plain(" ")
            .with(if mark == "·" { Tone::Dim } else { Tone::Plain }, &name)
    };
    let length = human(stage.spec.soak);
    match &stage.status {
        StageStatus::Soaking { until, .. } => {
            let until = &deployment.soak_end(stage).unwrap_or(*until);
            let left = between(view.now, *until);
            let text = format!("until {}", clock(*until, view.now));
            Some(
                row(Tone::Busy, "▸")
                    .plain(text)
                    .and_right(Line::of(Tone::Busy, format!("{} left", ticking(left))), view.width),
            )
        }
        StageStatus::Ended { outcome: StageOutcome::Succeeded, .. } if stage.applies_anything() => {
            Some(row(Tone::Good, "✓").dim(length))
        }
        StageStatus::Running { .. } => Some(row(Tone::Dim, "·").dim(length)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
