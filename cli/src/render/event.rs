//! One record as plain lines, for logs: each event begins with its time in UTC and says where it happened.

use stopover_model::backfill::Throttle;
use stopover_model::deployment::{Deployment, Target};
use stopover_model::duration::human;
use stopover_model::event::{Event, Record, Resolution, StageIndex, StageOutcome, StepKey, StepKind};
use stopover_model::id::DatabaseName;
use stopover_model::plan::{Action, TargetPlan, grouped};
use stopover_model::report::{LogLine, Outcome, StepReport};

use super::gate::told;
use super::line::{Line, Tone};
use super::number::{count, exact, stamp};
use super::script::summary;
use super::{
    Depth, View, baseline, check, error, estimate, fleet, impact, rehearsal, step, waiting, way_back,
};

/// The event's lines; all but the first are indented. `deployment` is the state after the event.
#[must_use]
pub fn lines(record: &Record, deployment: &Deployment, view: View) -> Vec<Line> {
    let mut lines = body(record, deployment, View { now: record.at, ..view });
    if lines.is_empty() {
        return lines;
    }
    lines[0] = Line::new().dim(stamp(record.at)).plain("  ").then(lines[0].clone());
    lines.into_iter().enumerate().map(|(n, l)| l.indented(if n == 0 { 0 } else { 4 })).collect()
}

/// Where a step is: `production/app migrate 001_add`.
#[must_use]
pub fn place(deployment: &Deployment, key: &StepKey) -> Line {
    let line = Line::new().plain(format!("{}/{} ", environment(deployment, key.stage), key.database));
    let line = line.strong(step::name(key.kind));
    let line = if key.kind == StepKind::RollbackBackup { line.plain(" before the rollback") } else { line };
    match &key.migration {
        Some(id) => line.plain(format!(" {id}")),
        None => line,
    }
}

/// A line of a verification that only names a check and its result: the report says both, and what was seen.
#[must_use]
pub fn names_a_check(deployment: &Deployment, key: &StepKey, line: &LogLine) -> bool {
    let (StepKind::Verify | StepKind::Monitor, LogLine::Message { text }) = (key.kind, line) else {
        return false;
    };
    let told = text.strip_prefix("passed: ").or_else(|| text.strip_prefix("failed: "));
    let manifest = key.migration.as_ref().and_then(|id| deployment.migration(id)).map(|m| &m.manifest);
    manifest.is_some_and(|m| {
        let mut names = m.verify.iter().chain(m.monitors.iter().map(|m| &m.check)).map(|c| c.name.as_str());
        names.any(|name| told == Some(name))
    })
}

/// A line that a step logged.
#[must_use]
pub fn logged(deployment: &Deployment, key: &StepKey, line: &LogLine) -> Line {
    match line {
        LogLine::Message { text } => Line::new().plain(text),
        LogLine::Notice { severity, text, .. } => {
            let tone = if severity == "WARNING" { Tone::Warn } else { Tone::Dim };
            Line::of(tone, format!("{severity}: ")).plain(text)
        }
        LogLine::StatementStarted { index } => statement(deployment, key, *index).plain(" begins"),
        LogLine::StatementFinished { index, rows, took } => {
            let rows = if *rows > 0 { format!(", {}", count(*rows, "row")) } else { String::new() };
            statement(deployment, key, *index).plain(format!(" done in {}{rows}", human(*took)))
        }
        LogLine::LockWait { index, retry, again_in, blockers } => {
            let line = statement(deployment, key, *index).with(Tone::Warn, " got no lock");
            let line = line
                .plain(format!("; try {retry} let the queue go, the next one within {}", human(*again_in)));
            blockers.iter().fold(line, |line, by| line.plain("; blocked by ").plain(by.to_string()))
        }
    }
}

fn body(record: &Record, deployment: &Deployment, view: View) -> Vec<Line> {
    let one = |line: Line| vec![line];
    let stage = |index: StageIndex| Line::new().strong(environment(deployment, index));
    match &record.event {
        Event::Created { .. } => one(created(record)),
        Event::StageStarted { stage: index, databases, waves } => {
            let names = fleet::some(databases.iter().map(DatabaseName::as_str));
            let waves = in_waves(waves);
            one(stage(*index).plain(format!(" begins: {names}{waves}")))
        }
        Event::FleetChanged { stage: index, joined, left } => {
            one(stage(*index).with(Tone::Warn, another_fleet(joined, left)))
        }
        Event::DatabaseLeftOut { stage: index, database, by, reason } => {
            let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            one(stage(*index).plain(format!(" goes on without {database}, says {by}{why}")))
        }
        Event::StepStarted { step, attempt, agent, .. } => {
            let try_ = if attempt.0 > 1 { format!(", attempt {attempt}") } else { String::new() };
            // The deployment is as it was just behind this event.
            let behind = deployment.step(step).is_some_and(stopover_model::deployment::Step::is_behind);
            let word = if behind { "is next" } else { "begins" };
            one(place(deployment, step).plain(format!(" {word} at {agent}{try_}")))
        }
        Event::StepLogged { step, line, .. } if names_a_check(deployment, step, line) => Vec::new(),
        Event::StepLogged { step, line, .. } => {
            one(place(deployment, step).dim(": ").then(logged(deployment, step, line)))
        }
        Event::StepFinished { step, outcome, .. } => finished(deployment, step, outcome, view),
        Event::Planned { stage, plan } => planned(deployment, *stage, plan),
        Event::PlanRefused { stage, database, error } => {
            let line = Line::new().plain(format!("{}/{database} ", environment(deployment, *stage)));
            let mut lines = vec![line.with(Tone::Bad, "is refused")];
            lines.extend(error::lines(error, view.width.saturating_sub(4)));
            lines
        }
        Event::SoakStarted { stage: index, until } => {
            one(stage(*index).plain(format!(" is under observation until {}", stamp(*until))))
        }
        Event::RollbackStarted { stage: index, cause, by, to } => {
            let to = to.as_ref().map(|id| format!(" to {id}, which stays,")).unwrap_or_default();
            one(stage(*index).with(Tone::Warn, " is rolled back").plain(format!("{to} by {by}: {cause}")))
        }
        Event::RollbackFailed { stage: index, cause } => {
            let mut lines =
                vec![stage(*index).with(Tone::Bad, " ROLLBACK FAILED").plain(format!(": {cause}"))];
            lines.extend(deployment.stage(*index).map(way_back::progress).unwrap_or_default());
            lines
        }
        Event::StageFinished { stage: index, outcome } => {
            let mut lines = vec![stage(*index).plain(" ").then(stage_end(*outcome))];
            if *outcome == StageOutcome::RolledBack {
                lines.extend(deployment.stage(*index).map(way_back::progress).unwrap_or_default());
            }
            lines
        }
        Event::WaitingChanged { waiting: None } => one(Line::new().plain("waits no longer")),
        Event::WaitingChanged { waiting: Some(_) } => waiting::lines(deployment, view),
        Event::Paused { cause, by } => {
            one(Line::of(Tone::Warn, "paused").plain(format!(" by {by}: {cause}")))
        }
        Event::Resumed { by, databases } if databases.is_empty() => {
            one(Line::new().plain(format!("resumed by {by}")))
        }
        Event::Resumed { by, databases } => {
            let names = fleet::some(databases.iter().map(DatabaseName::as_str));
            one(Line::new().plain(format!("{names} tried again, by {by}")))
        }
        Event::Resolved { step, resolution, by } => {
            let word = match resolution {
                Resolution::Applied => "applied",
                Resolution::NotApplied => "not applied",
            };
            one(place(deployment, step).plain(format!(" is {word}, says {by}")))
        }
        Event::Throttled { throttle, by } => {
            one(Line::new().plain(format!("backfills {}, says {by}", throttle_words(throttle))))
        }
        Event::CancelRequested { by } => {
            one(Line::of(Tone::Warn, "to be cancelled").plain(format!(", says {by}")))
        }
        Event::Approved { stage: index, .. }
        | Event::Rejected { stage: index, .. }
        | Event::ApprovalsVoided { stage: index, .. }
        | Event::Ticked { stage: index, .. }
        | Event::StageRefreshed { stage: index, .. }
        | Event::WindowOverridden { stage: index, .. }
        | Event::HookStarted { stage: index, .. }
        | Event::HookFinished { stage: index, .. } => one(told::line(stage(*index), &record.event)),
        Event::Finished { outcome } => {
            let good = *outcome == stopover_model::event::DeploymentOutcome::Succeeded;
            let tone = if good { Tone::Good } else { Tone::Bad };
            let line = Line::new().plain(format!("{} ", deployment.kind.word()));
            let line = line.strong(record.deployment.as_str()).plain(" ");
            let mut lines = vec![line.with(tone, outcome.to_string())];
            lines.extend(way_back::afterwards(deployment, view));
            lines
        }
    }
}

/// Of the event [`Event::Created`]; of others there is nothing to say.
fn created(record: &Record) -> Line {
    let Event::Created { pipeline, migrations, digest, by, again, kind, restore_saved, .. } = &record.event
    else {
        return Line::new();
    };
    let names: Vec<_> = migrations.iter().map(|m| m.id.as_str()).collect();
    let line = Line::new().plain(kind.word()).plain(" ").strong(record.deployment.as_str());
    let line =
        line.plain(format!(" of {} through {} by {by}, digest {digest}", names.join(", "), pipeline.name));
    let line = match again {
        Some(why) => line.with(Tone::Warn, format!(", again after a rollback: {why}")),
        None => line,
    };
    if *restore_saved { line.plain("; what rollbacks have dropped is put back") } else { line }
}

fn in_waves<T: ToString>(waves: &[T]) -> String {
    if waves.is_empty() {
        return String::new();
    }
    let sizes: Vec<_> = waves.iter().map(ToString::to_string).collect();
    format!(", in waves of {}", sizes.join(", "))
}

fn another_fleet(joined: &[DatabaseName], left: &[DatabaseName]) -> String {
    let part = |word: &str, names: &[DatabaseName]| match names {
        [] => String::new(),
        names => format!("; {word}: {}", fleet::some(names.iter().map(DatabaseName::as_str))),
    };
    format!(
        " has not the databases it began with{}{}",
        part("joined, and not part of it", joined),
        part("served by nobody any more", left)
    )
}

fn finished(deployment: &Deployment, key: &StepKey, outcome: &Outcome, view: View) -> Vec<Line> {
    let width = view.width.saturating_sub(4);
    let place = place(deployment, key);
    let (mut lines, report) = match outcome {
        Outcome::Succeeded { report } => {
            let found = match key.kind {
                StepKind::Measure => baseline::summary(deployment, key),
                _ => step::found(report),
            };
            let line = place.with(Tone::Good, " done").plain(": ").then(found);
            let target = deployment.stage(key.stage).and_then(|stage| stage.target(&key.database));
            let beside =
                target.and_then(|target| estimate::afterwards(target, key, target.step(key)?, view.now));
            (vec![beside.into_iter().fold(line, Line::then)], Some(report))
        }
        Outcome::Failed { report, .. } => (vec![place.with(Tone::Bad, " failed")], report.as_ref()),
        Outcome::Unknown { .. } => (vec![place.with(Tone::Warn, " ended with an UNKNOWN outcome")], None),
        Outcome::NotBegun { why } => (vec![place.plain(format!(" was not begun: {why}"))], None),
    };
    match report {
        Some(StepReport::Verified(report)) => lines.extend(report.checks.iter().flat_map(check::lines)),
        Some(StepReport::BackedUp(report)) => {
            lines.push(Line::new().plain(format!("{} sha256 {}", report.path, report.sha256)));
        }
        Some(StepReport::Rehearsed(report)) => {
            lines.extend(rehearsal::lines(report, width, Depth::Full));
        }
        Some(StepReport::RolledBack(report)) => {
            lines.extend(way_back::taken(report));
            if matches!(outcome, Outcome::Failed { .. }) {
                lines.extend(way_back::statements(deployment, key, report));
            }
            lines.extend(report.differences.iter().map(|d| Line::of(Tone::Bad, "differs: ").plain(d)));
        }
        Some(StepReport::Measured(_)) => {
            lines.extend(baseline::lines(deployment, key, Depth::Rows));
        }
        _ => {}
    }
    lines.extend(outcome.error().into_iter().flat_map(|e| error::lines(e, width)));
    lines
}

fn planned(deployment: &Deployment, index: StageIndex, plan: &TargetPlan) -> Vec<Line> {
    let place = format!("{}/{} ", environment(deployment, index), plan.database);
    let mut lines: Vec<_> = plan
        .migrations
        .iter()
        .map(|m| {
            let line = Line::new().plain(&place).strong("plan").plain(format!(" {}: ", m.id));
            match &m.action {
                Action::Skip => line.plain(format!("nothing to do, {}", m.reason)),
                Action::Apply { variant, estimate, .. } => {
                    let line = line.plain(format!("{}, because {}", variant.file(), m.reason));
                    match estimate {
                        Some(e) => line.plain(format!("; {} ({})", e.words(), e.basis)),
                        None => line,
                    }
                }
            }
        })
        .collect();
    let target = deployment.stage(index).and_then(|stage| stage.target(&plan.database));
    let worst = target.and_then(Target::inspection).and_then(|inspection| impact::worst(inspection, plan));
    if let Some((worst, last)) = worst.zip(lines.last_mut()) {
        last.push(Tone::Plain, format!("; {worst}"));
    }
    lines.extend(plan.warnings.iter().map(|w| Line::of(Tone::Warn, "warning: ").plain(w)));
    lines
}

fn statement(deployment: &Deployment, key: &StepKey, index: u32) -> Line {
    match summary(deployment, key, index) {
        Some((of, line, text)) => Line::new()
            .plain(format!("statement {} of {of}", index + 1))
            .dim(format!(" (line {line}: {text})")),
        None => Line::new().plain(format!("statement {}", index + 1)),
    }
}

fn stage_end(outcome: StageOutcome) -> Line {
    match outcome {
        StageOutcome::Succeeded => Line::of(Tone::Good, "succeeded"),
        StageOutcome::Failed => Line::of(Tone::Bad, "failed").plain("; nothing had to be taken back"),
        StageOutcome::RolledBack => Line::of(Tone::Warn, "was rolled back"),
        StageOutcome::RollbackFailed => Line::of(Tone::Bad, "could not be rolled back: a person must look"),
    }
}

fn environment(deployment: &Deployment, index: StageIndex) -> &str {
    deployment.stage(index).map_or("?", |s| s.spec.environment.as_str())
}

/// "go on with batches of 50 ms, at most 5,000 rows/s": what a person said of the speed.
pub(crate) fn throttle_words(throttle: &Throttle) -> String {
    let said = [
        throttle.batch_time.map(|time| format!("batches of {}", exact(time))),
        throttle.max_rate.map(|rate| format!("at most {} rows/s", grouped(rate.into()))),
        throttle.pause.map(|time| format!("{} between two", exact(time))),
    ];
    let said: Vec<_> = said.into_iter().flatten().collect();
    let speed =
        if said.is_empty() { "as the script and the pipeline say".to_owned() } else { said.join(", ") };
    if throttle.paused { format!("are paused; then {speed}") } else { format!("go on: {speed}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stopover_model::event::{Actor, DeploymentOutcome, Waiting};
    use stopover_model::report::{ErrorClass, StepError};

    use super::super::line::text;
    use super::super::sample::{Story, at, view};
    use super::*;

    /// The story's events as a log without a terminal shows them.
    fn told(story: &Story) -> String {
        let mut state = Deployment::open(&story.records[0]).unwrap();
        let mut shown = text(&lines(&story.records[0], &state, view()));
        for record in &story.records[1..] {
            state.apply(record).unwrap();
            shown += &text(&lines(record, &state, view()));
        }
        shown
    }

    #[test]
    fn a_deployment_without_a_terminal_is_a_line_an_event() {
        let notice = |text: &str| LogLine::Notice {
            severity: "NOTICE".into(),
            code: "00000".into(),
            text: text.into(),
        };
        let blocker = stopover_model::report::Session {
            pid: 4711,
            user: "alice".into(),
            application: "psql".into(),
            state: "idle in transaction".into(),
            transaction_age: Duration::from_secs(185),
            query_age: Duration::ZERO,
            query: None,
        };
        let wait = LogLine::LockWait {
            index: 0,
            retry: 1,
            again_in: Duration::from_millis(150),
            blockers: vec![blocker],
        };
        let took = Duration::from_millis(12);
        let story = Story::begun()
            .staging_through()
            .backed_up(1)
            .start(1, "migrate")
            .log(1, "migrate", 1, LogLine::StatementStarted { index: 0 })
            .log(1, "migrate", 2, wait)
            .log(1, "migrate", 3, LogLine::StatementFinished { index: 0, rows: 0, took })
            .log(1, "migrate", 4, notice("Updated 10000 of 300000 users\u{1b}[2J"))
            .log(1, "migrate", 5, LogLine::StatementFinished { index: 1, rows: 300_000, took });
        insta::assert_snapshot!(told(&story), @r#"
        2025-01-16T14:00:00Z  deployment 4k2m9x0c1d of 001_add_onboarding_completed through users-db by admin, digest 9d50774b9b3bcbe6bf69bf367037bf540e9ab89f837b46199328c2c778a50600
        2025-01-16T14:00:01Z  staging begins: app
        2025-01-16T14:00:02Z  staging/app inspect begins at staging-1
        2025-01-16T14:00:03Z  staging/app inspect done: PostgreSQL 15.18, users: 20,000 rows, 5.1 MB
        2025-01-16T14:00:04Z  staging/app plan 001_add_onboarding_completed: up.sql, because users has 20,000 rows, fewer than 100,000; strongest lock ACCESS EXCLUSIVE on users
        2025-01-16T14:00:05Z  staging/app back up begins at staging-1
        2025-01-16T14:00:06Z  staging/app back up done: 6.0 MB in a file of 1.5 MB, recorded
            /var/lib/stopover/backups/app-0.dump sha256 ec041998eb6055e8c4dbdd20898850ae26255604fbdfcc26ee7f0606e6352fad
        2025-01-16T14:00:07Z  staging/app migrate 001_add_onboarding_completed begins at staging-1
        2025-01-16T14:00:08Z  staging/app migrate 001_add_onboarding_completed done: up.sql, 5 statements, 20,000 rows touched
        2025-01-16T14:00:09Z  staging/app verify 001_add_onboarding_completed begins at staging-1
        2025-01-16T14:00:10Z  staging/app verify 001_add_onboarding_completed done: 2 checks hold
            ✓ every existing user is complete  0
            ✓ every existing user is complete  0
        2025-01-16T14:00:11Z  staging is under observation until 2025-01-16T14:00:30Z
        2025-01-16T14:00:12Z  staging/app monitor 001_add_onboarding_completed begins at staging-1
        2025-01-16T14:00:13Z  staging/app monitor 001_add_onboarding_completed done: 1 check holds
            ✓ every existing user is complete  0
        2025-01-16T14:00:14Z  staging succeeded
        2025-01-16T14:00:15Z  production begins: app
        2025-01-16T14:00:16Z  production/app inspect begins at production-1
        2025-01-16T14:00:17Z  production/app inspect done: PostgreSQL 15.18, users: 300,000 rows, 76 MB
        2025-01-16T14:00:18Z  production/app plan 001_add_onboarding_completed: up.batch.sql, because users has 300,000 rows, from 100,000 on the batched script runs; about 27 s (20,000 rows took 1.8 s in staging); strongest lock ACCESS EXCLUSIVE on users
        2025-01-16T14:00:19Z  production/app back up begins at production-1
        2025-01-16T14:00:20Z  production/app back up done: 90 MB in a file of 22 MB, decoded
            /var/lib/stopover/backups/app-1.dump sha256 ec041998eb6055e8c4dbdd20898850ae26255604fbdfcc26ee7f0606e6352fad
        2025-01-16T14:00:21Z  production/app migrate 001_add_onboarding_completed begins at production-1
        2025-01-16T14:00:22Z  production/app migrate 001_add_onboarding_completed: statement 1 of 5 (line 5: ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN, ALTER COLUMN onboarding_completed SET DEFAULT f…) begins
        2025-01-16T14:00:23Z  production/app migrate 001_add_onboarding_completed: statement 1 of 5 (line 5: ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN, ALTER COLUMN onboarding_completed SET DEFAULT f…) got no lock; try 1 let the queue go, the next one within 150 ms; blocked by pid 4711 (psql as alice, idle in transaction for 3m 05s)
        2025-01-16T14:00:24Z  production/app migrate 001_add_onboarding_completed: statement 1 of 5 (line 5: ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN, ALTER COLUMN onboarding_completed SET DEFAULT f…) done in 12 ms
        2025-01-16T14:00:25Z  production/app migrate 001_add_onboarding_completed: NOTICE: Updated 10000 of 300000 users\u{1b}[2J
        2025-01-16T14:00:26Z  production/app migrate 001_add_onboarding_completed: statement 2 of 5 (line 9: DO $$ DECLARE batch_size CONSTANT BIGINT := 10000; next_id BIGINT; last_id BIGINT; total BIGINT; changed BIGINT; updated…) done in 12 ms, 300,000 rows
        "#);
    }

    #[test]
    fn what_goes_wrong_is_told_with_its_hint() {
        let error =
            StepError::new(ErrorClass::Transient, "could not connect to the database: connection refused")
                .with_hint("see that PostgreSQL runs, and that the agent's url is right");
        let story = Story::begun()
            .stage(0)
            .start(0, "inspect")
            .finish(0, "inspect", Outcome::Failed { error, report: None })
            .tell(Event::WaitingChanged {
                waiting: Some(Waiting::Retry { step: super::super::sample::key(0, "inspect"), at: at(6) }),
            })
            .tell(Event::WaitingChanged { waiting: None })
            .tell(Event::Paused { cause: "lunch".into(), by: Actor::Operator("admin".parse().unwrap()) })
            .tell(Event::Throttled {
                throttle: Throttle { max_rate: Some(5_000), ..Throttle::default() },
                by: Actor::Operator("admin".parse().unwrap()),
            })
            .tell(Event::CancelRequested { by: Actor::Operator("admin".parse().unwrap()) })
            .tell(Event::Finished { outcome: DeploymentOutcome::Cancelled });
        insta::assert_snapshot!(told(&story).lines().skip(1).collect::<Vec<_>>().join("\n"), @r#"
        2025-01-16T14:00:01Z  staging begins: app
        2025-01-16T14:00:02Z  staging/app inspect begins at staging-1
        2025-01-16T14:00:03Z  staging/app inspect failed
            error: could not connect to the database: connection refused
            hint: see that PostgreSQL runs, and that the agent's url is right
        2025-01-16T14:00:04Z  waits to try app inspect again at 14:00:06 UTC (in 2.0 s)
        2025-01-16T14:00:05Z  waits no longer
        2025-01-16T14:00:06Z  paused by admin: lunch
        2025-01-16T14:00:07Z  backfills go on: at most 5,000 rows/s, says admin
        2025-01-16T14:00:08Z  to be cancelled, says admin
        2025-01-16T14:00:09Z  deployment 4k2m9x0c1d cancelled
        "#);
    }
}
