//! Estimates: before it runs in the plan, and afterwards beside what it took.

use std::time::Duration;

use jiff::Timestamp;
use stopover_model::deployment::{Step, Target};
use stopover_model::duration::human;
use stopover_model::event::{StepKey, StepKind};
use stopover_model::plan::{Action, Estimate};
use stopover_model::report::{MigrateReport, RehearsedMigration, StepReport};

use super::Depth;
use super::line::{Line, Tone};
use super::number::between;

/// Below this nobody compares.
const WORTH_COMPARING: Duration = Duration::from_millis(100);

/// How long the migration should take, each line with its label.
#[must_use]
pub fn takes(action: &Action) -> Vec<(&'static str, Line)> {
    let Action::Apply { estimate, missing, .. } = action else { return Vec::new() };
    let Some(estimate) = estimate else {
        let missing = missing.as_deref().unwrap_or("an earlier stage measures it");
        return vec![("takes", Line::new().dim(format!("not known: {missing}")))];
    };
    let mut lines =
        vec![("takes", Line::new().strong(estimate.words()).plain(format!(": {}", estimate.basis)))];
    if estimate.statements.len() > 1 {
        lines.extend(estimate.statements.iter().map(|statement| {
            let number = format!("statement {}: ", statement.index + 1);
            ("", Line::new().dim(number).plain(statement.words()).dim(format!(": {}", statement.basis)))
        }));
    }
    lines
}

/// What was estimated, below the row of a migration that has run.
#[must_use]
pub fn beside(target: &Target, key: &StepKey, step: &Step, now: Timestamp, depth: Depth) -> Vec<Line> {
    let rehearsed = of_rehearsal(target, key, now);
    let Some(report) = ran(step) else {
        let ahead = rehearsed.filter(|e| !step.succeeded() && e.duration >= WORTH_COMPARING);
        let line = |e: Estimate| Line::new().dim(format!("{} expected: {}", e.words(), e.basis));
        return ahead.map(line).into_iter().collect();
    };
    let planned = planned(target, key);
    let longest = [rehearsed.as_ref(), planned].into_iter().flatten().map(|e| e.duration).max();
    let Some(longest) = longest.map(|longest| longest.max(report.took)) else { return Vec::new() };
    if depth == Depth::Rows && longest < WORTH_COMPARING {
        return Vec::new();
    }
    let said = [
        rehearsed.as_ref().map(|e| format!("{}: {}", human(e.duration), e.basis)),
        planned.map(|e| format!("estimated {}: {}", e.words(), e.basis)),
    ];
    let mut lines: Vec<Line> = said.into_iter().flatten().map(|text| Line::new().dim(text)).collect();
    for (index, run) in step.statements.iter().filter(|_| depth == Depth::Full) {
        let mut line = Line::new().dim(format!("statement {}  ", index + 1)).plain(human(run.took));
        let of = |e: &Estimate| e.statements.iter().find(|s| s.index == *index).cloned();
        if let Some(statement) = rehearsed.as_ref().and_then(of) {
            line.push(Tone::Dim, format!("  rehearsed {}", human(statement.duration)));
        }
        if let Some(statement) = planned.and_then(of) {
            line.push(Tone::Dim, format!("  estimated {}", statement.words()));
        }
        lines.push(line);
    }
    lines
}

/// ", in 25 s (estimated about 27 s: ...)", behind what a finished migration did.
#[must_use]
pub fn afterwards(target: &Target, key: &StepKey, step: &Step, now: Timestamp) -> Option<Line> {
    let report = ran(step)?;
    if let Some(rehearsed) = of_rehearsal(target, key, now) {
        let estimated = planned(target, key).map(|e| format!(", estimated {}", e.words()));
        let text = format!(
            ", in {} ({} {}{})",
            human(report.took),
            human(rehearsed.duration),
            rehearsed.basis,
            estimated.unwrap_or_default()
        );
        return Some(Line::new().plain(text));
    }
    let estimate = planned(target, key)?;
    let text = format!(", in {} (estimated {}: {})", human(report.took), estimate.words(), estimate.basis);
    Some(Line::new().plain(text))
}

/// The plan's, for a migrate step.
#[must_use]
pub fn planned<'a>(target: &'a Target, key: &StepKey) -> Option<&'a Estimate> {
    match target.action(key.migration.as_ref().filter(|_| key.kind == StepKind::Migrate)?)? {
        Action::Apply { estimate, .. } => estimate.as_ref(),
        Action::Skip => None,
    }
}

/// What a migration did on the copy, for a migrate step.
#[must_use]
pub fn rehearsed<'a>(target: &'a Target, key: &StepKey) -> Option<(&'a RehearsedMigration, Timestamp)> {
    target.rehearsed(key.migration.as_ref().filter(|_| key.kind == StepKind::Migrate)?)
}

fn of_rehearsal(target: &Target, key: &StepKey, now: Timestamp) -> Option<Estimate> {
    let (migration, at) = rehearsed(target, key)?;
    migration.estimate(&format!(", {} ago", human(between(at, now))))
}

/// Its report, where this deployment ran it.
fn ran(step: &Step) -> Option<&MigrateReport> {
    match step.report() {
        Some(StepReport::Migrated(report)) if step.succeeded() && !report.already_applied => Some(report),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use stopover_model::event::StageIndex;
    use stopover_model::plan::{Spread, StatementEstimate, Variant};

    use super::super::line::text;
    use super::super::sample::{Story, at, key};
    use super::*;

    fn apply(estimate: Option<Estimate>, missing: Option<&str>) -> String {
        let missing = missing.map(str::to_owned);
        let lines = takes(&Action::Apply { variant: Variant::Standard, estimate, missing });
        text(&lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>())
    }

    #[test]
    fn a_plan_says_how_long_and_from_what() {
        let ms = Duration::from_millis;
        let statement = |index, spread, basis: &str| StatementEstimate {
            index,
            duration: ms(14_000),
            spread,
            basis: basis.to_owned(),
        };
        let spread = Some(Spread { low: ms(11_000), high: ms(19_000) });
        let estimate = Estimate {
            spread: Some(Spread { low: ms(25_000), high: ms(33_000) }),
            statements: vec![
                statement(1, None, "500,000 rows took 7.0 s in staging"),
                statement(3, spread, "rewrites ran at 55 to 70 MB/s here, 9 runs since 2026-10-02"),
            ],
            ..Estimate::new(ms(28_000), "statement 2: ...")
        };
        assert_eq!(
            apply(Some(estimate), None),
            "25 to 33 s: statement 2: ...\n\
             statement 2: about 14 s: 500,000 rows took 7.0 s in staging\n\
             statement 4: 11 to 19 s: rewrites ran at 55 to 70 MB/s here, 9 runs since 2026-10-02\n"
        );
        assert_eq!(apply(None, Some("nothing was measured")), "not known: nothing was measured\n");
    }

    #[test]
    fn what_it_took_stands_beside_what_was_estimated() {
        let story = Story::begun().staging_through().migrated(1);
        let target = &story.deployment.stage(StageIndex(1)).unwrap().targets[0];
        let key = key(1, "migrate");
        let step = target.step(&key).unwrap();
        let after = afterwards(target, &key, step, at(100)).unwrap();
        assert_eq!(text(&[after]), ", in 1.8 s (estimated about 27 s: 20,000 rows took 1.8 s in staging)\n");
        let beside = text(&beside(target, &key, step, at(100), Depth::Rows));
        assert_eq!(beside, "estimated about 27 s: 20,000 rows took 1.8 s in staging\n");
    }
}
