//! A step as a row, and what stands below it, wherever its database is shown.

use stopover_model::deployment::{Deployment, Step, StepState};
use stopover_model::event::{StepKey, StepKind};
use stopover_model::report::StepReport;

use super::line::{Line, Tone};
use super::step::NAME_WIDTH;
use super::{Depth, View, baseline, check, error, rehearsal, step, way_back};

/// A step on one line.
pub(super) fn row(deployment: &Deployment, key: &StepKey, step: &Step, view: View) -> Line {
    let pending = step.is_pending() || step.is_behind();
    let name = format!("{:NAME_WIDTH$}  ", step::name(key.kind));
    let left = Line::new().plain("    ").then(step::mark(step)).plain(" ");
    let left = left.with(if pending { Tone::Dim } else { Tone::Plain }, name);
    let detail = step::detail(deployment, key, step);
    let detail = if pending { Line::new().dim(detail.paint(false)) } else { detail };
    left.then(detail).and_right(step::time(step, view), view.width)
}

/// A running step of one of many databases, with its name.
pub(super) fn row_of(
    deployment: &Deployment,
    key: &StepKey,
    step: &Step,
    view: View,
    database: &str,
) -> Line {
    let left = Line::new().plain("  ").then(step::mark(step)).plain(" ").strong(database).plain("  ");
    let left = left.plain(step::name(key.kind)).plain("  ").then(step::detail(deployment, key, step));
    left.and_right(step::time(step, view), view.width)
}

/// What stands below its row.
pub(super) fn below_step(
    deployment: &Deployment,
    key: &StepKey,
    step: &Step,
    width: usize,
    depth: Depth,
) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(StepReport::Verified(report)) = step.report() {
        let shown = report.checks.iter().filter(|c| depth == Depth::Full || !c.passed);
        lines.extend(shown.flat_map(check::lines).map(|l| l.cut(width)));
    }
    // As wide as they are: people copy them.
    if let (Depth::Full, Some(StepReport::BackedUp(report))) = (depth, step.report()) {
        lines.push(Line::new().dim("file     ").plain(&report.path));
        lines.push(Line::new().dim("sha256   ").plain(report.sha256.to_string()));
        lines.push(Line::new().dim("restore  ").plain(&report.restore_command));
        if let Some(id) = &report.id {
            lines.push(Line::new().dim("or       ").plain(format!("stopover backup restore {id} --as NAME")));
        }
    }
    if let Some(StepReport::RolledBack(report)) = step.report() {
        if depth == Depth::Full {
            lines.extend(way_back::taken(report).into_iter().flat_map(|l| l.wrapped(width, 2)));
        }
        lines.extend(report.differences.iter().map(|d| Line::of(Tone::Bad, "≠ ").plain(d).cut(width)));
    }
    if let Some(report) = way_back::failed(step) {
        lines.extend(way_back::statements(deployment, key, report).into_iter().map(|l| l.cut(width)));
    }
    if let Some(StepReport::Rehearsed(report)) = step.report() {
        lines.extend(rehearsal::lines(report, width, depth));
    }
    if key.kind == StepKind::Measure {
        lines.extend(baseline::lines(deployment, key, depth).into_iter().flat_map(|l| l.wrapped(width, 2)));
    }
    if let StepState::Failed { error, .. } | StepState::Unknown { error, .. } = &step.state {
        lines.extend(error::lines(error, width));
    }
    lines
}
