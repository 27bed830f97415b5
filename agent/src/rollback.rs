//! Takes a migration back with its down.sql, and looks whether the schema is what it was before.
//!
//! The engine is the migration's; only the ledger's last word differs. A backup is a step of its own, before this one. What
//! others have applied something on top of is left as it is.

mod by_hand;
mod later;
pub mod plan;

use std::time::Duration;

use stopover_model::event::Resolution;
use stopover_model::migration::Migration;
use stopover_model::pipeline::{BackfillSettings, LockSettings, SaveSettings};
use stopover_model::report::{Effect, ErrorClass, Outcome, RollbackReport, StepError, StepReport};
use stopover_model::rollback::Taken;

use crate::fingerprint::{Changes, Fingerprint, changes};
use crate::ledger::{self, Direction};
use crate::migrate::{Done, Engine, Job, Limits};
use crate::postgres::{Purpose, SessionName};
use crate::step::StepContext;
use plan::PlanWish;

/// What to take back, and how.
#[derive(Debug, Clone)]
pub struct RollbackWork {
    /// Its digest has been checked.
    pub migration: Migration,
    pub locks: LockSettings,
    /// How fast the stage lets backfills go, and what holds them.
    pub backfill: BackfillSettings,
    /// Whether what it drops is saved, and for how long that is kept.
    pub saving: SaveSettings,
    /// Of the cluster that was inspected; another one is refused. None: any.
    pub system_identifier: Option<String>,
    /// A person's word on the UNKNOWN outcome of an earlier attempt.
    pub resolution: Option<Resolution>,
    /// Who says that it was taken back by other means: the script is not run, only looked whether that is so.
    pub by_hand: Option<String>,
    pub limits: Limits,
}

/// Takes the migration back, or finds that there is nothing to take back.
pub async fn run(context: StepContext, work: RollbackWork) -> Outcome {
    let id = &work.migration.id;
    let Some(script) = &work.migration.down else {
        let error =
            StepError::new(ErrorClass::Setup, format!("{id} has no down.sql, so it can't be taken back"))
                .with_hint("undo it with a new migration, or restore the backup");
        return Outcome::Failed { error, report: None };
    };
    let wish = PlanWish {
        deployment: context.deployment.clone(),
        migrations: vec![work.migration.clone()],
        only_later: work.by_hand.is_some(),
        saving: work.saving,
        count_for: plan::HURRIED,
    };
    let takes = match look_before(&context, &wish).await {
        Ok(takes) => takes,
        Err(error) => return Outcome::Failed { error, report: None },
    };
    let system = work.system_identifier.as_deref();
    let mut job = Job::down(&work.migration, script, work.locks, work.saving, system, work.limits);
    job.resolution = work.resolution;
    job.backfill = work.backfill.clone();
    if let Some(who) = &work.by_hand {
        if let Err(error) = by_hand::confirm(&context, &work.migration, who).await {
            return Outcome::Failed { error, report: None };
        }
        context.reporter.message(format!("{who} says that {id} was taken back by hand: down.sql is not run"));
        job.run_nothing();
    }
    let statements = job.count();
    match Box::pin(Engine::new(&context, job).run()).await {
        Ok(done) if done.already => {
            succeeded(RollbackReport { nothing_to_do: true, took: done.tally.took(), ..empty() })
        }
        Ok(done) => {
            let verdict = verify(&done);
            if verdict.restored.is_none() {
                let why = done.row.as_ref().and_then(|row| row.origin.clone());
                let why = why.map(|origin| format!(" (it is in the ledger as {origin})")).unwrap_or_default();
                context.reporter.message(format!(
                    "how the schema was before {id} is not recorded{why}: whether it is so again can't be proven"
                ));
            }
            let report = RollbackReport {
                nothing_to_do: false,
                statements,
                took: done.tally.took(),
                schema_restored: verdict.restored,
                differences: verdict.differences,
                takes,
                done: Vec::new(),
            };
            if verdict.still_there.is_empty() {
                return succeeded(report);
            }
            let message = format!("down.sql of {id} ran, and left {}", verdict.still_there.join(", "));
            let error = StepError::new(ErrorClass::Check, message)
                .with_effect(Effect::Partial)
                .with_hint(hint_of_leftovers(&context));
            Outcome::Failed { error, report: Some(StepReport::RolledBack(report)) }
        }
        Err(outcome) => stopped(&context, &work, takes, outcome).await,
    }
}

/// What it is about to take, for the record; an error where others have applied something on top.
async fn look_before(context: &StepContext, wish: &PlanWish) -> Result<Vec<Taken>, StepError> {
    let plan = match plan::look(context, wish).await {
        Ok(plan) => plan,
        Err(error) => {
            // The engine meets the same trouble, if it is one, and knows what to make of it.
            context.reporter.message(format!("what it takes could not be looked at: {}", error.message));
            return Ok(Vec::new());
        }
    };
    if let Some(refusal) = plan.refusal(&context.environment, context.database.name(), &context.deployment) {
        return Err(refusal);
    }
    Ok(plan.migrations.into_iter().flat_map(|m| m.takes).collect())
}

/// Of a script that failed on its way the report says which of its statements hold.
async fn stopped(context: &StepContext, work: &RollbackWork, takes: Vec<Taken>, outcome: Outcome) -> Outcome {
    let Outcome::Failed { error, report: None } = outcome else { return outcome };
    let done = if error.effect == Effect::None {
        Vec::new()
    } else {
        statements_done(context, &work.migration).await.unwrap_or_default()
    };
    let report = StepReport::RolledBack(RollbackReport { takes, done, ..empty() });
    Outcome::Failed { error, report: Some(report) }
}

/// None where nobody answers.
async fn statements_done(context: &StepContext, migration: &Migration) -> Option<Vec<u32>> {
    let name = SessionName::of(context);
    let session = context.database.connect(&Purpose::reading(&name)).await.ok()?;
    let known = ledger::statements(&session, &migration.id, Direction::Down).await;
    session.close().await;
    Some(known.ok()?.into_iter().filter(|(_, row)| row.done).map(|(index, _)| index).collect())
}

fn empty() -> RollbackReport {
    RollbackReport {
        nothing_to_do: false,
        statements: 0,
        took: Duration::ZERO,
        schema_restored: None,
        differences: Vec::new(),
        takes: Vec::new(),
        done: Vec::new(),
    }
}

fn hint_of_leftovers(context: &StepContext) -> String {
    format!(
        "drop what is left by hand, and put it into the down.sql of the next migration of this kind; then `stopover rollback {} --stage {}` again confirms it",
        context.deployment, context.environment
    )
}

fn succeeded(report: RollbackReport) -> Outcome {
    Outcome::Succeeded { report: StepReport::RolledBack(report) }
}

struct Verdict {
    restored: Option<bool>,
    differences: Vec<String>,
    /// Objects that the migration created.
    still_there: Vec<String>,
}

/// Compares the schema with what it was before the migration. Other migrations may have come since, so only what this
/// one or its rollback touched is looked at.
fn verify(done: &Done) -> Verdict {
    let unknown = Verdict { restored: None, differences: Vec::new(), still_there: Vec::new() };
    let Some(after) = &done.after else { return unknown };
    let (digest, expected) = match (&done.row, &done.rolled_back) {
        (Some(row), _) => (row.fingerprint_before, done.changes.as_ref()),
        (None, Some(earlier)) => (earlier.fingerprint_before, earlier.changes.as_ref()),
        (None, None) => (None, None),
    };
    if digest == Some(after.digest) {
        return Verdict { restored: Some(true), ..unknown };
    }
    let Some(expected) = expected else { return unknown };
    let mut verdict = compare(expected, done.before.as_deref(), after);
    verdict.restored = Some(verdict.differences.is_empty());
    verdict
}

fn compare(expected: &Changes, before_rollback: Option<&Fingerprint>, after: &Fingerprint) -> Verdict {
    let mut verdict = Verdict { restored: None, differences: Vec::new(), still_there: Vec::new() };
    for (object, (before, _)) in expected {
        match (before, after.objects.get(object)) {
            (None, Some(_)) => {
                verdict.differences.push(format!("{object} is still there"));
                verdict.still_there.push(object.clone());
            }
            (Some(_), None) => verdict.differences.push(format!("{object} is missing")),
            (Some(then), Some(now)) if then != now => {
                verdict.differences.push(format!("{object} is not as it was"));
            }
            _ => {}
        }
    }
    let touched = before_rollback.map(|before| changes(&before.objects, &after.objects)).unwrap_or_default();
    for (object, change) in touched.iter().filter(|(object, _)| !expected.contains_key(*object)) {
        let word = match change {
            (None, _) => "is new since the rollback",
            (_, None) => "is missing, and the migration had not made it",
            _ => "was changed, and the migration had not touched it",
        };
        verdict.differences.push(format!("{object} {word}"));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use stopover_model::event::StepKind;

    use super::*;

    fn look(objects: &[(&str, &str)]) -> Fingerprint {
        let objects: BTreeMap<String, String> =
            objects.iter().map(|(o, h)| ((*o).to_owned(), (*h).to_owned())).collect();
        Fingerprint::of(15, objects)
    }

    #[test]
    fn differences_are_named_by_object() {
        let start = look(&[("table a", "1"), ("column a.b", "1"), ("table z", "1")]);
        let applied = look(&[("table a", "1"), ("index a.i", "1"), ("table n", "1"), ("table z", "1")]);
        let migrated = changes(&start.objects, &applied.objects);
        let after = look(&[("table a", "1"), ("index a.i", "1")]);
        let verdict = compare(&migrated, Some(&applied), &after);
        assert_eq!(verdict.still_there, ["index a.i"]);
        assert_eq!(
            verdict.differences,
            [
                "column a.b is missing",
                "index a.i is still there",
                "table z is missing, and the migration had not made it"
            ]
        );
    }

    #[test]
    fn what_is_left_comes_with_the_command_that_goes_on() {
        let context = crate::testing::context("host=h dbname=d", StepKind::Rollback);
        let expected =
            format!("`stopover rollback {} --stage staging` again confirms it", context.deployment);
        assert!(hint_of_leftovers(&context).ends_with(&expected));
    }

    #[test]
    fn what_later_migrations_made_is_no_difference() {
        let start = look(&[]);
        let migrated = changes(&start.objects, &look(&[("table a", "1")]).objects);
        let with_later = look(&[("table a", "1"), ("table later", "1")]);
        let verdict = compare(&migrated, Some(&with_later), &look(&[("table later", "1")]));
        assert!(verdict.differences.is_empty() && verdict.still_there.is_empty());
    }
}
