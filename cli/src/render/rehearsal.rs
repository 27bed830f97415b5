//! What a rehearsal found, for the row of its step and for the lines below it.

use stopover_model::duration::human;
use stopover_model::plan::grouped;
use stopover_model::report::{HeldLock, RehearsalReport, RehearsedMigration, RehearsedRun};

use super::impact::relation;
use super::line::{Line, Tone};
use super::number::{bytes, count};
use super::{Depth, check};

/// On one line.
#[must_use]
pub fn summary(report: &RehearsalReport) -> Line {
    let of = |fits: fn(&RehearsedMigration) -> bool| report.migrations.iter().filter(|m| fits(m)).count();
    let back = of(RehearsedMigration::came_back);
    let one_way = of(|m| m.up.is_some() && m.down.is_none());
    let left_out = of(|m| m.not_run.is_some());
    let mut parts = Vec::new();
    if back > 0 {
        parts.push(format!("{} up, down and up again", count(back as u64, "migration")));
    }
    if one_way > 0 {
        parts.push(format!("{} up only", count(one_way as u64, "migration")));
    }
    let mut line = Line::new().plain(parts.join(", "));
    if left_out > 0 {
        let comma = if parts.is_empty() { "" } else { ", " };
        line.push(Tone::Warn, format!("{comma}{} not rehearsed", count(left_out as u64, "migration")));
    }
    let changed = report.migrations.iter().map(|m| m.changed_rows.len()).sum::<usize>();
    if changed > 0 {
        line.push(Tone::Warn, format!(", rows of {} do not come back", count(changed as u64, "table")));
    }
    line
}

/// Below the row. Where only rows are shown, what went as it should is left out of them.
#[must_use]
pub fn lines(report: &RehearsalReport, width: usize, depth: Depth) -> Vec<Line> {
    let named = report.migrations.len() > 1;
    report.migrations.iter().flat_map(|m| of_migration(m, named, width, depth)).collect()
}

fn of_migration(migration: &RehearsedMigration, named: bool, width: usize, depth: Depth) -> Vec<Line> {
    let mut lines = Vec::new();
    let name = if named { format!("{}: ", migration.migration) } else { String::new() };
    let runs = [("up", &migration.up), ("down", &migration.down), ("up again", &migration.again)];
    let took = runs.iter().filter_map(|(word, run)| Some(format!("{word} {}", human(run.as_ref()?.took))));
    let took: Vec<_> = took.collect();
    if !took.is_empty() {
        let mut line = Line::new().dim(&name).plain(took.join(", "));
        if let Some(up) = &migration.up {
            line.push(Tone::Dim, figures(up));
        }
        lines.push(line);
    }
    let felt = migration.up.as_ref().and_then(RehearsedRun::worst_lock);
    lines.extend(felt.map(|lock| Line::new().plain(lock_words(lock))));
    if depth == Depth::Full {
        lines.extend(statements(migration));
        lines.extend(migration.checks.iter().flat_map(check::lines));
        if migration.schema_restored == Some(true) {
            let compared = match migration.tables_compared {
                0 => String::new(),
                tables if migration.changed_rows.is_empty() => {
                    format!(", and the rows of {} are", count(tables.into(), "table"))
                }
                tables => format!("; the rows of {} were compared", count(tables.into(), "table")),
            };
            lines.push(
                Line::of(Tone::Good, "= ")
                    .plain(format!("behind down.sql the schema is as it was{compared}")),
            );
        }
    } else {
        let failed = migration.checks.iter().filter(|check| !check.passed);
        lines.extend(failed.flat_map(check::lines));
    }
    let mut lines: Vec<Line> = lines.into_iter().map(|line| line.cut(width)).collect();
    let wrapped = |tone, mark: &str, text: String| Line::of(tone, mark).plain(text).wrapped(width, 2);
    for difference in &migration.differences {
        lines.extend(wrapped(Tone::Bad, "≠ ", difference.clone()));
    }
    for changed in &migration.changed_rows {
        lines.extend(wrapped(Tone::Warn, "! ", format!("behind down.sql, {changed}")));
    }
    if let Some(why) = &migration.not_run {
        lines.extend(wrapped(Tone::Warn, "! ", format!("{} is not rehearsed: {why}", migration.migration)));
    }
    for note in migration.notes.iter().filter(|_| depth == Depth::Full) {
        lines.extend(wrapped(Tone::Dim, "· ", format!("{name}{note}")));
    }
    lines
}

fn figures(run: &RehearsedRun) -> String {
    let mut text = String::new();
    if run.rows > 0 {
        text = format!("  {} rows", grouped(run.rows));
    }
    if run.wal_bytes > 0 {
        text = format!("{text}  {} written", bytes(run.wal_bytes));
    }
    text
}

fn lock_words(lock: &HeldLock) -> String {
    let (mode, held) = (lock.mode, human(lock.held));
    format!(
        "{mode} on {} held for {held}, from statement {} on",
        relation(&lock.relation),
        lock.statement + 1
    )
}

fn statements(migration: &RehearsedMigration) -> impl Iterator<Item = Line> {
    migration.up.iter().flat_map(|up| &up.statements).map(|statement| {
        let mut line = Line::new().dim(format!("statement {}  ", statement.index + 1));
        line.push(Tone::Plain, human(statement.took));
        if statement.rows > 0 {
            line.push(Tone::Dim, format!("  {} rows", grouped(statement.rows)));
        }
        if statement.wal_bytes > 0 {
            line.push(Tone::Dim, format!("  {} written", bytes(statement.wal_bytes)));
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stopover_model::event::{DeploymentOutcome, Event, StageIndex, StageOutcome};
    use stopover_model::impact::LockMode;
    use stopover_model::plan::Variant;
    use stopover_model::report::{
        ChangedRows, ErrorClass, Outcome, RehearsedStatement, StepError, StepReport,
    };

    use super::super::line::text;
    use super::super::sample::{Story, at, check as checked, migration_id, view};
    use super::super::{View, event, tree};
    use super::*;

    fn run(millis: u64, rows: u64) -> RehearsedRun {
        let took = Duration::from_millis(millis);
        let statement =
            |index, rows| RehearsedStatement { index, rows, took: took / 2, wal_bytes: rows * 60 };
        let lock = HeldLock {
            relation: "public.users".into(),
            mode: LockMode::AccessExclusive,
            statement: 0,
            held: took,
        };
        let statements = vec![statement(0, 0), statement(1, rows)];
        RehearsedRun { took, rows, wal_bytes: rows * 70, statements, locks: vec![lock] }
    }

    fn rehearsed() -> RehearsedMigration {
        RehearsedMigration {
            up: Some(run(2_400, 300_000)),
            down: Some(run(31, 0)),
            again: Some(run(2_200, 300_000)),
            checks: vec![checked(true)],
            schema_restored: Some(true),
            tables_compared: 2,
            ..RehearsedMigration::new(migration_id(), Variant::Batched)
        }
    }

    fn report(migrations: Vec<RehearsedMigration>) -> RehearsalReport {
        RehearsalReport { copy_of: "the backup".into(), took: Duration::from_millis(5_300), migrations }
    }

    #[test]
    fn what_went_well_is_short_in_a_row_and_whole_in_full() {
        let report = report(vec![rehearsed()]);
        assert_eq!(text(&[summary(&report)]), "1 migration up, down and up again\n");
        insta::assert_snapshot!(text(&lines(&report, 74, Depth::Rows)), @r"
        up 2.4 s, down 31 ms, up again 2.2 s  300,000 rows  21 MB written
        ACCESS EXCLUSIVE on users held for 2.4 s, from statement 1 on
        ");
        insta::assert_snapshot!(text(&lines(&report, 74, Depth::Full)), @r"
        up 2.4 s, down 31 ms, up again 2.2 s  300,000 rows  21 MB written
        ACCESS EXCLUSIVE on users held for 2.4 s, from statement 1 on
        statement 1  1.2 s
        statement 2  1.2 s  300,000 rows  18 MB written
        ✓ every existing user is complete  0
        = behind down.sql the schema is as it was, and the rows of 2 tables are
        ");
    }

    #[test]
    fn what_did_not_go_well_is_always_shown() {
        let differs = RehearsedMigration {
            again: None,
            checks: Vec::new(),
            schema_restored: Some(false),
            differences: vec!["index public.users_plan is new".into()],
            changed_rows: vec![ChangedRows {
                table: "public.users".into(),
                rows_before: 20,
                rows_after: 20,
                differ: 3,
            }],
            ..rehearsed()
        };
        let not_run = RehearsedMigration {
            not_run: Some(
                "line 1 of 002_y/up.sql changes roles, which all databases of the server share".into(),
            ),
            ..RehearsedMigration::new("002_y".parse().unwrap(), Variant::Standard)
        };
        let report = report(vec![differs, not_run]);
        let summary = text(&[summary(&report)]);
        assert_eq!(summary, "1 migration not rehearsed, rows of 1 table do not come back\n");
        insta::assert_snapshot!(text(&lines(&report, 74, Depth::Rows)), @r"
        001_add_onboarding_completed: up 2.4 s, down 31 ms  300,000 rows  21 MB w…
        ACCESS EXCLUSIVE on users held for 2.4 s, from statement 1 on
        ≠ index public.users_plan is new
        ! behind down.sql, public.users: 3 of 20 rows are not as they were
        ! 002_y is not rehearsed: line 1 of 002_y/up.sql changes roles, which all
          databases of the server share
        ");
    }

    #[test]
    fn a_stage_that_rehearses_shows_it_and_what_it_took_beside_what_it_takes() {
        let story = Story::rehearsing().staging_through().planned(1);
        let shown = |story: &Story, depth| {
            text(&tree::lines(&story.deployment, View { now: at(140), ..view() }, depth))
        };
        let plan = shown(&story, Depth::Rows);
        assert!(plan.contains("    · rehearse   up, down and up again, on the restored copy"), "{plan}");
        let story = story.done(1, "backup", StepReport::BackedUp(super::super::sample::backup(1))).done(
            1,
            "rehearse",
            StepReport::Rehearsed(report(vec![rehearsed()])),
        );
        let waiting = shown(&story, Depth::Rows);
        assert!(waiting.contains("    ✓ rehearse   1 migration up, down and up again"), "{waiting}");
        assert!(
            waiting.contains("about 2.4 s expected: rehearsed on a copy of this database, 1m 58s ago"),
            "{waiting}"
        );
        let story = story.done(1, "migrate", StepReport::Migrated(super::super::sample::migrate(1)));
        let after = shown(&story, Depth::Rows);
        assert!(after.contains("2.4 s: rehearsed on a copy of this database, 1m 58s ago"), "{after}");
        assert!(after.contains("estimated about 27 s: 20,000 rows took 1.8 s in staging"), "{after}");
        let told = text(&event::lines(story.records.last().unwrap(), &story.deployment, view()));
        assert!(told.contains(", in 1.8 s (2.4 s rehearsed on a copy of this database, "), "{told}");
        assert!(told.contains(", estimated about 27 s)"), "{told}");
    }

    #[test]
    fn a_rehearsal_that_fails_says_what_to_change() {
        let error = StepError::new(
            ErrorClass::Check,
            "on the copy x/down.sql does not bring the schema back: index i",
        )
        .with_hint("let x/down.sql take back all that the way there does");
        let failed = RehearsedMigration {
            differences: vec!["index i is new".into()],
            schema_restored: Some(false),
            again: None,
            ..rehearsed()
        };
        let found = Some(StepReport::Rehearsed(report(vec![failed])));
        let story = Story::rehearsing()
            .staging_through()
            .planned(1)
            .done(1, "backup", StepReport::BackedUp(super::super::sample::backup(1)))
            .start(1, "rehearse")
            .finish(1, "rehearse", Outcome::Failed { error, report: found })
            .tell(Event::StageFinished { stage: StageIndex(1), outcome: StageOutcome::Failed })
            .tell(Event::Finished { outcome: DeploymentOutcome::Failed });
        let shown = text(&tree::lines(&story.deployment, view(), Depth::Rows));
        for expected in ["✗ rehearse   failed", "≠ index i is new", "hint: let x/down.sql take back"] {
            assert!(shown.contains(expected), "no `{expected}` in\n{shown}");
        }
    }
}
