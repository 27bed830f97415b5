//! A stage of many databases on one screen: its waves, those that failed, those that take longest.

use jiff::Timestamp;
use stopover_model::deployment::{Deployment, FleetCounts, Stage, Step, StepState, Target, WaveProgress};
use stopover_model::event::{StageIndex, StepKey};
use stopover_model::id::DatabaseName;

use super::line::{Line, Tone};
use super::number::count;
use super::row::{below_step, row, row_of};
use super::{Depth, View, error};

/// A stage of more databases than this is shown as a whole.
const FEW: usize = 8;
/// So many are named at a time.
const MOST_FAILED: usize = 6;
const MOST_RUNNING: usize = 8;
const MOST_NAMES: usize = 12;

/// Whether a stage has too many databases to show each.
#[must_use]
pub fn is_large(stage: &Stage) -> bool {
    stage.targets.len() > FEW
}

/// What stands below the stage's row.
#[must_use]
pub fn lines(
    deployment: &Deployment,
    index: StageIndex,
    stage: &Stage,
    view: View,
    depth: Depth,
) -> Vec<Line> {
    let mut lines = wave_rows(stage, view);
    lines.extend(failed(deployment, index, stage, view, depth));
    lines.extend(running(deployment, index, stage, view));
    lines.extend(notes(stage, view));
    lines
}

/// "3 of 29 through, 8 at work, 1 failed, 17 to come"
#[must_use]
pub fn counted(counts: FleetCounts) -> String {
    let mut words = vec![format!("{} of {} through", counts.done, counts.all())];
    let others = [
        (counts.working, "at work"),
        (counts.failed, "failed"),
        (counts.left_out, "left out"),
        (counts.fresh, "to come"),
    ];
    words.extend(others.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")));
    words.join(", ")
}

/// Some names, and how many more there are.
#[must_use]
pub fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    let mut shown = names.take(MOST_NAMES).collect::<Vec<_>>().join(", ");
    if more > 0 {
        shown.push_str(" and ");
        shown.push_str(&more.to_string());
        shown.push_str(" more");
    }
    shown
}

fn wave_rows(stage: &Stage, view: View) -> Vec<Line> {
    let waves = stage.waves();
    let width = waves.iter().map(|wave| wave.name.chars().count()).max().unwrap_or(0);
    let row = |wave: &WaveProgress| {
        let counts = wave.counts;
        let (tone, mark) = if counts.failed > 0 {
            (Tone::Bad, "✗")
        } else if counts.working > 0 || counts.done > 0 && counts.fresh > 0 {
            (Tone::Busy, "▸")
        } else if counts.fresh > 0 {
            (Tone::Dim, "·")
        } else {
            (Tone::Good, "✓")
        };
        let name =
            if wave.name.is_empty() { "databases".to_owned() } else { format!("{:width$}", wave.name) };
        let left = Line::new().plain("  ").with(tone, mark).plain(" ").strong(name).plain("  ");
        left.plain(counted(counts)).cut(view.width)
    };
    waves.iter().filter(|wave| wave.counts.all() > 0).map(row).collect()
}

fn failed(deployment: &Deployment, index: StageIndex, stage: &Stage, view: View, depth: Depth) -> Vec<Line> {
    let all: Vec<_> = stage.failed_targets().collect();
    let mut lines = Vec::new();
    for target in all.iter().take(MOST_FAILED) {
        lines.push(Line::new().plain("  ").with(Tone::Bad, target.database.as_str()).cut(view.width));
        let width = view.width.saturating_sub(6);
        if let Some(refused) = &target.refused {
            lines.extend(error::lines(refused, width).into_iter().map(|l| l.indented(6)));
        }
        for (key, step) in steps(index, target).filter(|(_, step)| step.has_failed()) {
            lines.push(row(deployment, &key, step, view));
            let below = below_step(deployment, &key, step, width, depth);
            lines.extend(below.into_iter().map(|l| l.indented(6)));
        }
    }
    if let Some(others) = all.get(MOST_FAILED..).filter(|others| !others.is_empty()) {
        let names = some(others.iter().map(|t| t.database.as_str()));
        let text = format!("{} failed as well: {names}", count(others.len() as u64, "database"));
        lines.extend(
            Line::of(Tone::Bad, text)
                .wrapped(view.width.saturating_sub(2), 2)
                .into_iter()
                .map(|l| l.indented(2)),
        );
    }
    lines
}

/// Those that have been at the same step for longest come first.
fn running(deployment: &Deployment, index: StageIndex, stage: &Stage, view: View) -> Vec<Line> {
    let begun = |step: &Step| match step.state {
        StepState::Running { since, behind: false, .. } => Some(since),
        _ => None,
    };
    let at_work = stage.running_targets();
    let mut all: Vec<(Timestamp, StepKey, &Step, &Target)> = at_work
        .filter_map(|target| {
            let (key, step) = steps(index, target).find(|(_, step)| begun(step).is_some())?;
            Some((begun(step)?, key, step, target))
        })
        .collect();
    all.sort_by(|a, b| (a.0, &a.3.database).cmp(&(b.0, &b.3.database)));
    let mut lines = Vec::new();
    for (_, key, step, target) in all.iter().take(MOST_RUNNING) {
        lines.push(row_of(deployment, key, step, view, target.database.as_str()));
    }
    // Of a glance not all of them are there in full.
    let others = stage.running().saturating_sub(all.len().min(MOST_RUNNING));
    if others > 0 {
        let text = format!("  and {others} more at work");
        lines.push(Line::new().dim(text).cut(view.width));
    }
    lines
}

fn notes(stage: &Stage, view: View) -> Vec<Line> {
    let mut texts = Vec::new();
    let left_out: Vec<_> = stage.left_out_targets().collect();
    if !left_out.is_empty() {
        texts.push(format!("goes on without {}", some(left_out.iter().map(|t| t.database.as_str()))));
    }
    if let Some(changed) = &stage.changed {
        if !changed.joined.is_empty() {
            let names = some(changed.joined.iter().map(DatabaseName::as_str));
            texts.push(format!("joined since it began, and not part of it: {names}; stopover deploy again"));
        }
        if !changed.left.is_empty() {
            let names = some(changed.left.iter().map(DatabaseName::as_str));
            texts.push(format!("no agent serves them any more: {names}"));
        }
    }
    let width = view.width.saturating_sub(2);
    let wrapped = texts.into_iter().flat_map(|text| Line::of(Tone::Warn, text).wrapped(width, 2));
    wrapped.map(|l| l.indented(2)).collect()
}

fn steps(index: StageIndex, target: &Target) -> impl Iterator<Item = (StepKey, &Step)> {
    target.keys(index).into_iter().filter_map(|key| {
        let step = target.step(&key)?;
        Some((key, step))
    })
}

#[cfg(test)]
mod tests;
