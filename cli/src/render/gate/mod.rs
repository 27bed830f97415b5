//! Gates: what a closed one lacks, who can open it and with which command, and what became of them. One file a gate.

mod approvals;
mod checklist;
mod hook;
pub mod told;
mod window;

#[cfg(test)]
mod tests;

use stopover_model::deployment::{Deployment, Stage};
use stopover_model::gate::GateWait;
use stopover_model::id::EnvironmentName;
use stopover_model::pipeline::StageSpec;
use stopover_model::plan::{Action, MigrationPlan, TargetPlan};

use super::View;
use super::line::{Line, Tone};

/// A closed gate in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closed {
    /// What it is and what it lacks: "1 of 2 approvals".
    pub what: String,
    /// Who opens it; None: whoever has a token, or nobody.
    pub who: Option<String>,
    /// The commands that open it, the most usual one first.
    pub ways: Vec<String>,
}

/// What a gate of a stage lacks.
#[must_use]
pub fn closed(deployment: &Deployment, stage: &Stage, gate: &GateWait, view: View) -> Closed {
    match gate {
        GateWait::Approvals { have, need, .. } => approvals::closed(deployment, stage, (*have, *need)),
        GateWait::Checklist { items } => checklist::closed(deployment, stage, items),
        GateWait::Hook { name, external, until } => {
            hook::closed((deployment, stage), name, *external, *until, view)
        }
        GateWait::Window { .. } | GateWait::WindowTooShort { .. } | GateWait::Freeze { .. } => {
            window::closed(deployment, stage, gate, view)
        }
    }
}

/// All closed gates of a stage, each with the ways to open it.
#[must_use]
pub fn lines(
    deployment: &Deployment,
    environment: &EnvironmentName,
    gates: &[GateWait],
    view: View,
) -> Vec<Line> {
    let Some(stage) = deployment.stages.iter().find(|s| s.spec.environment == *environment) else {
        return Vec::new();
    };
    let one = |gate: &GateWait| {
        let Closed { what, mut who, ways } = closed(deployment, stage, gate, view);
        let mut lines = Line::of(Tone::Warn, "  · ").plain(what).wrapped(view.width, 4);
        for way in ways {
            let who = who.take().map(|who| format!("{who}: ")).unwrap_or_default();
            let arrow = Line::of(Tone::Busy, "    → ");
            let whole = arrow.clone().plain(&who).plain(&way);
            if whole.width() <= view.width {
                lines.push(whole);
                continue;
            }
            // A command is to be copied in one piece.
            lines.extend(arrow.plain(who.trim_end()).wrapped(view.width, 6));
            lines.extend(
                Line::new()
                    .plain(way)
                    .wrapped(view.width.saturating_sub(6), 2)
                    .into_iter()
                    .map(|l| l.indented(6)),
            );
        }
        lines
    };
    gates.iter().flat_map(one).collect()
}

/// What a stage waits for, by its pipeline.
#[must_use]
pub fn of_spec(spec: &StageSpec) -> Vec<String> {
    [approvals::of_spec(spec), checklist::of_spec(spec)].into_iter().flatten().collect()
}

/// What others do around a stage's migrations and steps, by its pipeline.
pub fn hooks_of_spec(spec: &StageSpec) -> impl Iterator<Item = String> {
    hook::of_spec(spec)
}

/// What runs in a stage once its gates are open, as people agree to it.
#[must_use]
pub fn what_would_run(stage: &Stage, view: View) -> Vec<Line> {
    let plans = stage.targets.iter().filter_map(|target| target.plan.as_ref());
    let line = |plan: &TargetPlan, migration: &MigrationPlan| {
        let line = Line::new().strong(stage.spec.environment.as_str()).plain(format!("/{} ", plan.database));
        match &migration.action {
            Action::Skip => line.dim(format!("{}: {}", migration.id, migration.reason)),
            Action::Apply { variant, estimate, .. } => {
                let line =
                    line.plain(format!("{} of {}: {}", variant.file(), migration.id, migration.reason));
                line.plain(estimate.as_ref().map(|e| format!("; {}", e.words())).unwrap_or_default())
            }
        }
    };
    let lines = plans.flat_map(|plan| {
        let runs = plan.migrations.iter().map(move |m| line(plan, m));
        let warnings = plan.warnings.iter().map(|w| Line::of(Tone::Warn, "! ").plain(w));
        runs.chain(warnings)
    });
    lines.flat_map(|line| line.wrapped(view.width, 2)).collect()
}

/// The option that names the stage in a command, where it is not the one that is meant anyway.
fn stage_option(deployment: &Deployment, stage: &Stage) -> String {
    let open = deployment.stages.iter().find(|s| s.is_open());
    if open.is_some_and(|open| open.spec.environment == stage.spec.environment) {
        return String::new();
    }
    format!(" --stage {}", stage.spec.environment)
}
