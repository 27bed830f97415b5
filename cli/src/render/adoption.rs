//! What would be written into a ledger without running anything, and what stands in the way.

use stopover_model::history::{Adoption, Basis, Mark, Problem};

use super::View;
use super::line::{Line, Tone};
use super::list::table;
use super::number::count;
use crate::answer::DatabaseAdoption;

/// Of those that are only named.
const MOST_NAMED: usize = 12;

/// One database's part.
#[must_use]
pub fn lines(target: &DatabaseAdoption, view: View) -> Vec<Line> {
    let head = Line::new().strong(target.database.as_str());
    let head = match &target.history {
        Some(history) => head.dim(format!("  the history of {} in {}", history.tool, history.table)),
        None => head,
    };
    let mut lines = vec![head];
    if let Some(error) = &target.failed {
        lines.extend(
            super::error::lines(error, view.width.saturating_sub(2)).into_iter().map(|l| l.indented(2)),
        );
    }
    match &target.adoption {
        Some(adoption) => lines.extend(of_adoption(target, adoption, view)),
        None if target.failed.is_none() => {
            lines.push(Line::new().plain("no history of another tool").indented(2));
        }
        None => {}
    }
    lines
}

/// What became of it.
#[must_use]
pub fn recorded(target: &DatabaseAdoption) -> Option<Line> {
    let recorded = target.recorded.as_ref()?;
    let written = count(recorded.written.len() as u64, "migration");
    let already = match recorded.already.len() {
        0 => String::new(),
        n => format!(", {n} were there already"),
    };
    Some(
        Line::of(Tone::Good, "✓ ")
            .plain(format!("{}: {written} recorded as applied{already}", target.database)),
    )
}

fn of_adoption(target: &DatabaseAdoption, adoption: &Adoption, view: View) -> Vec<Line> {
    let mut lines = Vec::new();
    if adoption.marks.is_empty() {
        lines.push(Line::new().plain("nothing that counts as applied").indented(2));
    } else {
        let view = View { width: view.width.saturating_sub(2), ..view };
        let rows = adoption.marks.iter().map(|mark| row(target, mark));
        let text = table(["MIGRATION", "VERSION", "WHEN", "STATE"], rows, view);
        lines.extend(text.lines().map(|line| Line::new().plain(line).indented(2)));
    }
    let pending: Vec<&str> = adoption.pending.iter().map(stopover_model::id::MigrationId::as_str).collect();
    lines.extend(named("pending", &pending, view));
    let unknown: Vec<&str> = adoption.unknown.iter().map(String::as_str).collect();
    lines.extend(named("in the history, and not in the directory", &unknown, view));
    lines.extend(adoption.problems.iter().flat_map(|problem| of_problem(problem, view)));
    lines
}

fn row(target: &DatabaseAdoption, mark: &Mark) -> [String; 4] {
    let when = mark.at.map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string());
    let state = if target.in_ledger.contains(&mark.migration) {
        "in the ledger already"
    } else {
        match mark.basis {
            Basis::Row => "applied",
            Basis::Checked => "applied, same checksum",
            Basis::Changed => "applied, file changed since",
            Basis::Earlier => "applied, before the last one",
            Basis::Baseline => "below the baseline",
            Basis::NoFile => "applied, no file of SQL",
            Basis::Person => "by your word",
        }
    };
    let dash = || "-".to_owned();
    [
        mark.migration.to_string(),
        mark.version.clone().unwrap_or_else(dash),
        when.unwrap_or_else(dash),
        state.to_owned(),
    ]
}

fn named(what: &str, names: &[&str], view: View) -> Vec<Line> {
    if names.is_empty() {
        return Vec::new();
    }
    let mut text = names.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > MOST_NAMED {
        text = format!("{text}, and {} more", names.len() - MOST_NAMED);
    }
    let line = Line::new().dim(format!("{what} ({}): ", names.len())).plain(text).indented(2);
    line.wrapped(view.width, 4)
}

fn of_problem(problem: &Problem, view: View) -> Vec<Line> {
    let head = Line::new().indented(2).with(Tone::Bad, "✗ ").strong(&problem.of).plain(": ");
    let mut lines = head.plain(&problem.message).wrapped(view.width, 4);
    let hint = Line::new().indented(4).with(Tone::Busy, "hint: ").plain(&problem.hint);
    lines.extend(hint.wrapped(view.width, 10));
    lines
}

#[cfg(test)]
mod tests {
    use stopover_model::digest::Digest;
    use stopover_model::history::{Recorded, Tool, Trouble};

    use super::super::line::text;
    use super::super::sample::{at, view};
    use super::*;
    use crate::answer::HistoryName;

    fn target() -> DatabaseAdoption {
        let mark = |id: &str, version: Option<&str>, basis| Mark {
            migration: id.parse().unwrap(),
            digest: Digest::from_bytes([1; 32]),
            basis,
            version: version.map(str::to_owned),
            at: version.map(|_| at(0)),
        };
        let adoption = Adoption {
            marks: vec![
                mark("V1__users", None, Basis::Baseline),
                mark("V2__orders", Some("2"), Basis::Checked),
                mark("V3__index", Some("3"), Basis::Row),
            ],
            pending: vec!["V5__e".parse().unwrap()],
            problems: vec![Problem {
                trouble: Trouble::Unfinished,
                of: "V4__d".into(),
                message: "it failed, as public.flyway_schema_history has it".into(),
                hint: "look what of it is in the database; then let flyway repair remove the row".into(),
            }],
            unknown: vec!["0.9".into(), "\u{1b}[2J".into()],
        };
        DatabaseAdoption {
            database: "app".parse().unwrap(),
            history: Some(HistoryName { tool: Tool::Flyway, table: "public.flyway_schema_history".into() }),
            adoption: Some(adoption),
            in_ledger: vec!["V3__index".parse().unwrap()],
            recorded: None,
            failed: None,
        }
    }

    #[test]
    fn a_database_shows_what_counts_what_is_left_and_what_is_wrong() {
        insta::assert_snapshot!(text(&lines(&target(), view())), @r#"
        app  the history of flyway in public.flyway_schema_history
          MIGRATION   VERSION  WHEN                  STATE
          V1__users   -        -                     below the baseline
          V2__orders  2        2025-01-16 14:00 UTC  applied, same checksum
          V3__index   3        2025-01-16 14:00 UTC  in the ledger already
          pending (1): V5__e
          in the history, and not in the directory (2): 0.9, \u{1b}[2J
          ✗ V4__d: it failed, as public.flyway_schema_history has it
            hint: look what of it is in the database; then let flyway repair remove the
                  row
        "#);
    }

    #[test]
    fn what_was_written_is_counted() {
        let ids = |ids: &[&str]| ids.iter().map(|id| id.parse().unwrap()).collect();
        let recorded_ = Recorded { written: ids(&["V1__users", "V2__orders"]), already: ids(&["V3__index"]) };
        let target = DatabaseAdoption { recorded: Some(recorded_), ..target() };
        let line = recorded(&target).unwrap().paint(false);
        assert_eq!(line, "✓ app: 2 migrations recorded as applied, 1 were there already");
        assert_eq!((target.new_marks(), target.problems()), (2, 1));
    }
}
