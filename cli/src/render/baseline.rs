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
        Some(comparison) => result(&comparison),
        None => match target(deployment, key).and_then(|t| t.baseline.begin.as_ref()) {
            Some(begin) => Line::new().dim(format!("{}, again at the soak's end", what(&begin.metrics))),
            None => Line::new().dim("what PostgreSQL has counted"),
        },
    }
}

/// Below the row: what stands out, or all of it.
#[must_use]
pub fn lines(deployment: &Deployment, key: &StepKey, depth: Depth) -> Vec<Line> {
    compared(deployment, key).map(|comparison| of(&comparison, depth)).unwrap_or_default()
}

fn of(comparison: &Comparison, depth: Depth) -> Vec<Line> {
    let full = depth == Depth::Full;
    let mut lines = Vec::new();
    if full {
        lines.push(Line::new().dim(comparison.to_string()));
    }
    lines.extend(
        comparison.figures.iter().filter(|f| full || comparison.stands_out(f)).map(|f| line(comparison, f)),
    );
    lines.extend(comparison.notes.iter().filter(|_| full).map(|note| Line::new().dim(note)));
    lines
}

fn result(comparison: &Comparison) -> Line {
    let all = count(comparison.figures.len() as u64, "figure");
    match (comparison.exceeding().count(), comparison.outstanding().count()) {
        (0, 0) => Line::new().plain(format!("{all}, none stands out")),
        (0, n) => Line::of(Tone::Warn, format!("{n} of {all} to be looked at")),
        (n, _) => Line::of(Tone::Bad, format!("{n} of {all} beyond the limit")),
    }
}

fn line(comparison: &Comparison, figure: &Compared) -> Line {
    let (tone, mark) = match (figure.exceeds(), comparison.stands_out(figure)) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use insta::assert_snapshot;
    use stopover_model::baseline::{Figure, IndexMetrics, TableMetrics};

    use super::super::line::text;
    use super::*;

    fn comparison() -> Comparison {
        let users = || "public.users".to_owned();
        let figure = |figure, before, during, at_most: Option<&str>| Compared {
            figure,
            before,
            during,
            at_most: at_most.map(|limit| limit.parse().unwrap()),
        };
        let index = |index: &str| Figure::IndexScans { index: format!("public.{index}") };
        Comparison {
            before: Some(Duration::from_hours(31 * 24)),
            during: Duration::from_hours(24),
            figures: vec![
                figure(Figure::SeqScans { table: users() }, Some(0.2), Some(12.5), Some("3x")),
                figure(index("users_pkey"), Some(1200.0), Some(1180.0), None),
                figure(index("users_done"), None, Some(31.0), None),
                figure(Figure::DeadRows { table: users() }, Some(1204.0), Some(90_123.0), None),
                figure(Figure::Size { table: users() }, Some(77e6), Some(85e6), None),
                figure(Figure::MeanTime { statement: -71, calls: 900 }, Some(0.41), None, None),
            ],
            notes: vec!["the statistics were never reset".to_owned()],
        }
    }

    #[test]
    fn what_stands_out_is_shown_and_with_the_details_all_of_it() {
        assert_eq!(text(&[result(&comparison())]), "1 of 6 figures beyond the limit\n");
        assert_snapshot!(text(&of(&comparison(), Depth::Rows)), @r"
        ≠ sequential scans of users: 13/min, 0.20/min before (63x), at most 3x
        ! dead rows in users: 90,123, 1,204 before (75x)
        ");
        assert_snapshot!(text(&of(&comparison(), Depth::Full)), @r"
        in 1d 0h, beside 31d 0h before
        ≠ sequential scans of users: 13/min, 0.20/min before (63x), at most 3x
        · scans of users_pkey: 1,180/min, 1,200/min before
        · scans of users_done: 31/min, nothing known of before
        ! dead rows in users: 90,123, 1,204 before (75x)
        · size of users: 85 MB, 77 MB before (1.1x)
        · mean time of statement -71: not known, 0.41 ms before
        the statistics were never reset
        ");
    }

    #[test]
    fn the_first_look_says_what_was_counted() {
        let index = IndexMetrics { index: "public.users_pkey".into(), bytes: 1, scans: 1 };
        let table = TableMetrics {
            oid: 1,
            table: "public.users".into(),
            bytes: 1,
            rows: 1,
            dead_rows: 0,
            seq_scans: 0,
            indexes: vec![index],
        };
        let metrics = Metrics {
            at: super::super::sample::at(0),
            since: None,
            since_of_server: false,
            tables: vec![table],
            statements: vec![],
            statements_since: None,
            statements_note: None,
            connections: 0,
            deadlocks: 0,
            temp_bytes: 0,
        };
        assert_eq!(what(&metrics), "1 table, 1 index");
    }

    #[test]
    fn limits_are_said_in_a_line() {
        assert_eq!(limits(&BaselineLimits::default()), None);
        let set = BaselineLimits {
            seq_scans: Some("3x".parse().unwrap()),
            size: Some("1.5x".parse().unwrap()),
            ..BaselineLimits::default()
        };
        assert_eq!(limits(&set).unwrap(), "at most 3x the sequential scans, 1.5x the size of before");
    }
}
