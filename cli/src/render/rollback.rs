//! What a rollback would take, and what stands in its way: before it begins, and in its record.

use stopover_model::deployment::Deployment;
use stopover_model::duration::human;
use stopover_model::migration::ScriptSummary;
use stopover_model::plan::grouped;
use stopover_model::rollback::{Fate, Held, MigrationRollback, RollbackPlan, Taken, Taking, WrittenSince};

use super::line::{Line, Tone};
use super::number::{between, bytes, count, stamp};
use super::plan::impact;
use super::{View, error, step};
use crate::answer::{DatabaseRollback, RollbackAnswer};

/// The whole plan.
#[must_use]
pub fn lines(answer: &RollbackAnswer, deployment: &Deployment, view: View) -> Vec<Line> {
    let mut lines =
        vec![Line::new().plain("taking ").strong(answer.environment.as_str()).plain(" back").cut(view.width)];
    let backup = format!("{}, before anything is taken back", step::level(answer.backup));
    lines.push(Line::new().plain("  ").dim("backup   ").plain(backup).cut(view.width));
    for database in &answer.databases {
        lines.push(Line::new().plain("  ").strong(database.database.as_str()).cut(view.width));
        lines.extend(of_database(database, deployment, view));
    }
    lines.extend(verdict(answer, view).into_iter().flat_map(|line| line.wrapped(view.width, 2)));
    lines
}

fn of_database(database: &DatabaseRollback, deployment: &Deployment, view: View) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(failed) = &database.failed {
        lines.push(Line::of(Tone::Warn, "    what would be lost could not be looked at"));
        lines.extend(error::lines(failed, view.width.saturating_sub(4)).into_iter().map(|l| l.indented(4)));
    }
    let Some(plan) = &database.plan else { return lines };
    for later in &plan.later {
        let text = format!("{} came on top, by deployment {}", later.migration, later.deployment);
        lines.extend(Line::of(Tone::Bad, "    ✗ ").plain(text).wrapped(view.width, 6));
    }
    for migration in &plan.migrations {
        let down = deployment.migration(&migration.migration).and_then(|m| m.down.as_ref());
        lines.extend(of_migration(migration, down, database.database.as_str(), view));
    }
    for warning in &plan.warnings {
        lines.extend(Line::of(Tone::Warn, "    ! ").plain(warning).wrapped(view.width, 6));
    }
    lines
}

fn of_migration(
    migration: &MigrationRollback,
    down: Option<&ScriptSummary>,
    database: &str,
    view: View,
) -> Vec<Line> {
    let line = Line::new().plain("    ").strong(migration.migration.as_str());
    let Some(applied) = migration.applied else {
        return vec![line.dim("  it is not in the ledger: there is nothing to take back").cut(view.width)];
    };
    let age = human(between(applied, view.now));
    let mut lines = vec![line.dim(format!("  applied {}, {age} ago", stamp(applied))).cut(view.width)];
    let statements = down.map(|down| down.statements.as_slice()).unwrap_or_default();
    for (index, statement) in statements.iter().enumerate() {
        let takes: Vec<_> = migration.takes.iter().filter(|t| t.statement as usize == index).collect();
        let impacts = impact::lines_here(index, database, &migration.statements);
        if takes.is_empty() && impacts.is_empty() {
            continue;
        }
        let left = Line::new().dim(format!("{:>8}  ", statement.line)).plain(&statement.text);
        lines.push(left.cut(view.width));
        let inner = takes.iter().flat_map(|taken| taken_lines(taken)).chain(impacts);
        lines.extend(inner.flat_map(|line| line.indented(12).wrapped(view.width, 14)));
    }
    lines
}

/// What is taken, with what goes along and what is in the way.
#[must_use]
pub fn taken_lines(taken: &Taken) -> Vec<Line> {
    let verb = match taken.how {
        Taking::Dropped => "drops",
        Taking::Emptied => "empties",
        Taking::Converted => "converts",
        Taking::Hidden => "may drop or empty",
    };
    let line = Line::new().plain(format!("{verb} {}", taken.object));
    let loses = taken.loses_data();
    let line = match &taken.held {
        Some(held) if held.rows > 0 => line.with(Tone::Warn, format!(": {}", held_words(taken, held))),
        Some(_) => line.dim(", which holds nothing"),
        None => line,
    };
    let mut lines = vec![line];
    if let Some(held) = taken.held.as_ref().filter(|held| held.rows > 0) {
        lines.push(since_line(&held.since));
        lines.extend(taken.fate.as_ref().map(fate_line));
    }
    if !taken.along.is_empty() {
        lines.push(Line::new().dim(format!("with it go {}", taken.along.join(", "))));
    }
    for object in &taken.in_the_way {
        let text = format!("in the way: {object}; PostgreSQL refuses to drop what others depend on");
        lines.push(Line::of(Tone::Bad, text));
    }
    let tone = if loses && taken.how == Taking::Hidden { Tone::Warn } else { Tone::Dim };
    lines.extend(taken.notes.iter().map(|note| Line::of(tone, note)));
    lines
}

/// `805,000 rows, 12 MB`
fn held_words(taken: &Taken, held: &Held) -> String {
    let about = if held.counted { "" } else { "about " };
    let column = taken.object.starts_with("column ");
    let rows = if column {
        format!("values in {about}{}", count(held.rows, "row"))
    } else {
        format!("{about}{}", count(held.rows, "row"))
    };
    format!("{rows}, {}", bytes(held.bytes))
}

fn fate_line(fate: &Fate) -> Line {
    match fate {
        Fate::Saved { keep_for: Some(time) } => {
            Line::new().plain(format!("saved first, and kept for {}", human(*time)))
        }
        Fate::Saved { keep_for: None } => Line::new().plain("saved first, and kept until somebody purges it"),
        Fate::Lost { why } => Line::of(Tone::Warn, format!("lost: {why}")),
    }
}

fn since_line(since: &WrittenSince) -> Line {
    match since {
        WrittenSince::Rows { rows: 0, basis } => {
            Line::new().dim(format!("none of them was written since the migration ({basis})"))
        }
        WrittenSince::Rows { rows, basis } => {
            let word = if *rows == 1 { "was" } else { "were" };
            let text = format!("{} of them {word} written since the migration ({basis})", grouped(*rows));
            Line::of(Tone::Warn, text)
        }
        WrittenSince::Unknown { why } => {
            Line::new().dim(format!("how many were written since the migration is not known: {why}"))
        }
    }
}

fn verdict(answer: &RollbackAnswer, view: View) -> Vec<Line> {
    let mut lines = Vec::new();
    if answer.plans().any(|plan| !plan.later.is_empty()) {
        lines.push(Line::of(Tone::Bad, "✗ ").plain("not while later migrations stand on it"));
    }
    if answer.is_blocked() {
        let text = "what is in the way makes it fail: take that away first, or write the way back as a new migration";
        lines.push(Line::of(Tone::Bad, "✗ ").plain(text));
    }
    let known = answer.databases.iter().all(|d| d.plan.is_some());
    if let Some(kept) = kept(answer, view) {
        lines.push(Line::of(Tone::Good, "✓ ").plain(kept));
    }
    lines.push(match (answer.may_lose_data(), known) {
        (true, true) => {
            let lost = named(answer, Taken::loses_data);
            Line::of(Tone::Warn, "! ").plain(format!("lost: {}", lost.join("; ")))
        }
        (true, false) => Line::of(Tone::Warn, "! ").plain("what would be lost is not known everywhere"),
        (false, _) => Line::of(Tone::Good, "✓ ").plain("no row is lost"),
    });
    lines
}

/// `kept until 2027-02-21: column users.plan (805,000 rows); … puts it back`
fn kept(answer: &RollbackAnswer, view: View) -> Option<String> {
    let saved = |taken: &Taken| taken.takes_data() && !taken.loses_data();
    let names = named(answer, saved);
    let kept_for = |taken: &Taken| match taken.fate {
        Some(Fate::Saved { keep_for }) => keep_for,
        _ => None,
    };
    let shortest =
        answer.plans().flat_map(RollbackPlan::takes).filter(|t| saved(t)).filter_map(kept_for).min();
    let until = shortest.and_then(|time| view.now.checked_add(time).ok());
    let until = match until {
        Some(until) => format!("at least until {}", until.strftime("%Y-%m-%d")),
        None => "until it is purged".to_owned(),
    };
    let back = "`stopover deploy --again WHY --restore-saved` puts it back with the migration";
    (!names.is_empty()).then(|| format!("kept {until}: {}; {back}", names.join("; ")))
}

/// `column users.plan (values in 805,000 rows, 12 MB)`
fn named(answer: &RollbackAnswer, which: impl Fn(&Taken) -> bool) -> Vec<String> {
    let takes = answer.plans().flat_map(RollbackPlan::takes);
    let each = takes.filter(|taken| which(taken)).map(|taken| match &taken.held {
        Some(held) => format!("{} ({})", taken.object, held_words(taken, held)),
        None => taken.object.clone(),
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use stopover_model::impact::{LockMode, LockTaken, StatementImpact};
    use stopover_model::pipeline::BackupLevel;

    use super::super::line::text;
    use super::super::sample::{at, deployment, migration_id, view};
    use super::*;

    fn taken(statement: u32, object: &str, rows: Option<u64>) -> Taken {
        let since = WrittenSince::Rows { rows: 3_201, basis: "by the age of their transactions".into() };
        let held = rows.map(|rows| Held { rows, counted: true, bytes: 12_000_000, since });
        let (along, in_the_way, notes) = (Vec::new(), Vec::new(), Vec::new());
        let how = Taking::Dropped;
        Taken { statement, object: object.into(), how, held, fate: None, along, in_the_way, notes }
    }

    fn answer(plan: Option<RollbackPlan>) -> RollbackAnswer {
        let failed = plan.is_none().then(|| {
            stopover_model::report::StepError::new(
                stopover_model::report::ErrorClass::Transient,
                "no agent that serves app is connected",
            )
        });
        RollbackAnswer {
            environment: "production".parse().unwrap(),
            backup: BackupLevel::Decoded,
            databases: vec![DatabaseRollback { database: "app".parse().unwrap(), plan, failed }],
        }
    }

    fn plan() -> RollbackPlan {
        let lock = LockTaken { relation: "public.users".into(), mode: LockMode::AccessExclusive, why: None };
        let mut column = taken(1, "column users.onboarding_completed", Some(300_000));
        column.in_the_way.push("view incomplete".into());
        column.notes.push("function stuck() speaks of it, and may fail once it is gone".into());
        let migration = MigrationRollback {
            migration: migration_id(),
            applied: Some(at(10)),
            takes: vec![taken(0, "index idx_users_onboarding_completed", None), column],
            statements: vec![StatementImpact { index: 1, locks: vec![lock], ..StatementImpact::default() }],
        };
        RollbackPlan { migrations: vec![migration], ..RollbackPlan::default() }
    }

    #[test]
    fn what_is_lost_and_what_is_in_the_way_stand_under_their_statements() {
        let shown = text(&lines(&answer(Some(plan())), &deployment(), view()));
        for said in [
            "taking production back",
            "backup   decoded, before anything is taken back",
            "drops index idx_users_onboarding_completed\n",
            "drops column users.onboarding_completed: values in 300,000",
            "3,201 of them were written since the migration (by the age of",
            "in the way: view incomplete",
            "function stuck() speaks of it",
            "ACCESS EXCLUSIVE on users: blocks reads and writes",
            "! lost: column users.onboarding_completed (values in 300,000 rows",
        ] {
            assert!(shown.contains(said), "{said} is not in\n{shown}");
        }
        assert!(shown.lines().all(|line| line.chars().count() <= view().width), "{shown}");
    }

    #[test]
    fn what_is_saved_is_kept_and_not_lost() {
        let mut saved = plan();
        let keep_for = std::time::Duration::from_hours(24 * 90);
        saved.migrations[0].takes[1].fate = Some(Fate::Saved { keep_for: Some(keep_for) });
        let shown = text(&lines(&answer(Some(saved)), &deployment(), view()));
        let until = view().now.checked_add(keep_for).unwrap().strftime("%Y-%m-%d").to_string();
        let kept = format!("✓ kept at least until {until}: column users.onboarding_completed");
        for said in ["saved first, and kept for", &kept, "--restore-saved", "✓ no row is lost"] {
            assert!(shown.contains(said), "{said} is not in\n{shown}");
        }
        let mut lost = plan();
        lost.migrations[0].takes[1].fate = Some(Fate::Lost { why: "the stage says save = false".into() });
        let shown = text(&lines(&answer(Some(lost)), &deployment(), view()));
        assert!(shown.contains("lost: the stage says save = false"), "{shown}");
        assert!(
            shown.contains("! lost: column users.onboarding_completed") && !shown.contains("kept"),
            "{shown}"
        );
    }

    #[test]
    fn what_could_not_be_looked_at_may_be_lost() {
        let answer = answer(None);
        assert!(answer.may_lose_data() && !answer.is_blocked());
        let shown = text(&lines(&answer, &deployment(), view()));
        assert!(shown.contains("what would be lost could not be looked at"), "{shown}");
        assert!(shown.contains("! what would be lost is not known everywhere"), "{shown}");
    }

    #[test]
    fn a_rollback_that_takes_no_rows_says_so() {
        let mut plan = plan();
        plan.migrations[0].takes.truncate(1);
        let shown = text(&lines(&answer(Some(plan)), &deployment(), view()));
        assert!(shown.contains("✓ no row is lost"), "{shown}");
    }
}
