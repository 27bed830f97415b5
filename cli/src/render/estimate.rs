//! Estimates: before it runs in the plan, and afterwards beside what it took.

use std::time::Duration;

use stopover_model::deployment::{Step, Target};
use stopover_model::duration::human;
use stopover_model::event::{StepKey, StepKind};
use stopover_model::plan::{Action, Estimate};
use stopover_model::report::{MigrateReport, StepReport};

use super::Depth;
use super::line::Line;

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
pub fn beside(target: &Target, key: &StepKey, step: &Step, depth: Depth) -> Vec<Line> {
    let (Some(estimate), Some(report)) = (of(target, key), ran(step)) else { return Vec::new() };
    if depth == Depth::Rows && estimate.duration.max(report.took) < WORTH_COMPARING {
        return Vec::new();
    }
    let mut lines = vec![Line::new().dim(format!("estimated {}: {}", estimate.words(), estimate.basis))];
    for (index, run) in step.statements.iter().filter(|_| depth == Depth::Full) {
        let line = Line::new().dim(format!("statement {}  ", index + 1)).plain(human(run.took));
        let estimated = estimate.statements.iter().find(|s| s.index == *index);
        lines.push(match estimated {
            Some(statement) => line.dim(format!("  estimated {}", statement.words())),
            None => line,
        });
    }
    lines
}

/// ", in 25 s (estimated about 27 s: ...)", behind what a finished migration did.
#[must_use]
pub fn afterwards(target: &Target, key: &StepKey, step: &Step) -> Option<Line> {
    let (estimate, report) = (of(target, key)?, ran(step)?);
    let text = format!(", in {} (estimated {}: {})", human(report.took), estimate.words(), estimate.basis);
    Some(Line::new().plain(text))
}

/// The plan's, for a migrate step.
#[must_use]
pub fn of<'a>(target: &'a Target, key: &StepKey) -> Option<&'a Estimate> {
    match target.action(key.migration.as_ref().filter(|_| key.kind == StepKind::Migrate)?)? {
        Action::Apply { estimate, .. } => estimate.as_ref(),
        Action::Skip => None,
    }
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
    use super::super::sample::{Story, key};
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
        let after = afterwards(target, &key, step).unwrap();
        assert_eq!(text(&[after]), ", in 1.8 s (estimated about 27 s: 20,000 rows took 1.8 s in staging)\n");
        let beside = text(&beside(target, &key, step, Depth::Rows));
        assert_eq!(beside, "estimated about 27 s: 20,000 rows took 1.8 s in staging\n");
    }
}
