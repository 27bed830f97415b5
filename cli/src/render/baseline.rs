//! What was counted in a soak, beside what there was before the migration.

use stopover_model::baseline::{BaselineLimits, Compared, Comparison, Metrics};
use stopover_model::deployment::{Deployment, Target};
use stopover_model::event::StepKey;

use super::Depth;
use super::line::{Line, Tone};
use super::number::count;

/// For the step's row.
#[must_use]
pub fn summary(deployment: &Deployment, key: &StepKey) -> Line {
    match compared(deployment, key) {
        Some(comparison) => {
            let all = count(comparison.figures.len() as u64, "figure");
            match (comparison.exceeding().count(), comparison.outstanding().count()) {
                (0, 0) => Line::new().plain(format!("{all}, none stands out")),
                (0, n) => Line::of(Tone::Warn, format!("{n} of {all} to be looked at")),
                (n, _) => Line::of(Tone::Bad, format!("{n} of {all} beyond the limit")),
            }
        }
        None => match target(deployment, key).and_then(|t| t.baseline.begin.as_ref()) {
            Some(begin) => Line::new().dim(format!("{}, again at the soak's end", what(&begin.metrics))),
            None => Line::new().dim("what PostgreSQL has counted"),
        },
    }
}

/// Below the row: what stands out, or all of it.
#[must_use]
pub fn lines(deployment: &Deployment, key: &StepKey, depth: Depth) -> Vec<Line> {
    let Some(comparison) = compared(deployment, key) else { return Vec::new() };
    let full = depth == Depth::Full;
    let mut lines = Vec::new();
    if full {
        lines.push(Line::new().dim(comparison.to_string()));
    }
    lines.extend(comparison.figures.iter().filter(|figure| full || figure.stands_out()).map(line));
    lines.extend(comparison.notes.iter().filter(|_| full).map(|note| Line::new().dim(note)));
    lines
}

fn line(figure: &Compared) -> Line {
    let (tone, mark) = match (figure.exceeds(), figure.stands_out()) {
        (true, _) => (Tone::Bad, "≠ "),
        (_, true) => (Tone::Warn, "! "),
        _ => (Tone::Dim, "· "),
    };
    let line = Line::of(tone, mark).plain(figure.to_string());
    match figure.at_most.filter(|_| figure.exceeds()) {
        Some(limit) => line.plain(format!(", at most {limit}")),
        None => line,
    }
}

/// A stage's limits, for the plan: "at most 3x the sequential scans, 2x the mean time of a statement".
#[must_use]
pub fn limits(limits: &BaselineLimits) -> Option<String> {
    let all = [
        (limits.seq_scans, "the sequential scans"),
        (limits.mean_time, "the mean time of a statement"),
        (limits.dead_rows, "the dead rows"),
        (limits.size, "the size"),
        (limits.connections, "the connections"),
        (limits.deadlocks, "the deadlocks"),
        (limits.temp_bytes, "the temporary files"),
    ];
    let words: Vec<String> =
        all.into_iter().filter_map(|(limit, what)| limit.map(|limit| format!("{limit} {what}"))).collect();
    Some(format!("at most {} of before", words.join(", "))).filter(|_| !words.is_empty())
}

/// Of the step's database, once its soak has ended.
#[must_use]
pub fn compared(deployment: &Deployment, key: &StepKey) -> Option<Comparison> {
    deployment.stage(key.stage)?.compared(target(deployment, key)?)
}

fn target<'a>(deployment: &'a Deployment, key: &StepKey) -> Option<&'a Target> {
    deployment.stage(key.stage)?.target(&key.database)
}

/// "1 table, 3 indexes, 12 statements".
fn what(metrics: &Metrics) -> String {
    let indexes = metrics.tables.iter().map(|table| table.indexes.len() as u64).sum::<u64>();
    let mut parts = vec![count(metrics.tables.len() as u64, "table")];
    if indexes > 0 {
        parts.push(format!("{indexes} ind{}", if indexes == 1 { "ex" } else { "exes" }));
    }
    if !metrics.statements.is_empty() {
        parts.push(count(metrics.statements.len() as u64, "statement"));
    }
    parts.join(", ")
}
