//! What a deployment itself has measured: for its next plans, and for those of later deployments.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Deployment, MigrationSteps, Set, Stage, StepState, Target};
use crate::digest::Digest;
use crate::event::{StageIndex, StepKey, StepKind};
use crate::plan::{Known, Measured, MeasuredKind, Measurement, MigrationSummary, Variant, size_of};
use crate::report::{LedgerState, MigrateReport, StepReport};

/// So many databases of each stage tell the next plan how long things take.
const MOST_MEASURED: usize = 64;

impl Deployment {
    /// What the plans of a stage may go by, with what earlier deployments measured.
    #[must_use]
    pub fn known<'a>(&'a self, stage: StageIndex, history: &'a [Measurement]) -> Known<'a> {
        let mut known = Known { history, person: self.throttle.clone(), ..Known::default() };
        if let Some(of) = self.stage(stage) {
            known.environment = of.spec.environment.as_str();
            known.stage = of.spec.backfill.throttle.clone();
        }
        for (_, before) in self.indexed_stages().take_while(|(index, _)| *index <= stage) {
            let environment = before.spec.environment.as_str();
            for target in before.targets.that_are(Set::Affected).take(MOST_MEASURED) {
                for (migration, steps) in self.migrations_in(target) {
                    known.runs.extend(run(environment, target, migration, steps));
                    known.own.extend(self.measured(before, target, migration, steps));
                }
            }
        }
        known
    }

    /// What the statements of a step took that has just succeeded, as far as it is worth keeping.
    #[must_use]
    pub fn telling(&self, key: &StepKey) -> Vec<Measurement> {
        let found = || {
            let stage = self.stage(key.stage)?;
            let target = stage.target(&key.database)?;
            let mut all = self.migrations_in(target);
            let (migration, steps) = all.find(|(_, steps)| Some(&steps.id) == key.migration.as_ref())?;
            Some(self.measured(stage, target, migration, steps))
        };
        let all = match key.kind {
            StepKind::Migrate => found(),
            StepKind::Rehearse => self.rehearsed(key),
            _ => None,
        };
        all.unwrap_or_default().into_iter().filter(Measurement::is_telling).collect()
    }

    /// What the statements took on the copy, the first time up.
    fn rehearsed(&self, key: &StepKey) -> Option<Vec<Measurement>> {
        let stage = self.stage(key.stage)?;
        let target = stage.target(&key.database)?;
        let mut measured = Vec::new();
        for migration in &self.migrations {
            let Some((rehearsed, at)) = target.rehearsed(&migration.id) else { continue };
            for run in rehearsed.up.iter().flat_map(|up| &up.statements) {
                let (_, (rows, bytes)) = work(target, migration, rehearsed.variant, run.index);
                measured.push(Measurement {
                    environment: stage.spec.environment.clone(),
                    database: target.database.clone(),
                    digest: migration.digest,
                    variant: rehearsed.variant,
                    statement: run.index,
                    kind: MeasuredKind::Rehearsed,
                    rows,
                    bytes,
                    touched: run.rows,
                    took: run.took,
                    at,
                });
            }
        }
        Some(measured)
    }

    /// Whether an inspection is there and nothing was planned from it yet.
    #[must_use]
    pub fn stage_to_plan(&self) -> Option<StageIndex> {
        let due = |t: &Target| t.inspect.succeeded() && t.plan.is_none() && t.refused.is_none();
        let mut open = self.indexed_stages().filter(|(_, stage)| stage.is_open());
        open.find(|(_, stage)| stage.targets.that_are(Set::Working).any(due)).map(|(index, _)| index)
    }

    /// Of the migrations that one of the stage's databases which are to be planned now does not have yet.
    #[must_use]
    pub fn digests_to_apply(&self, stage: &Stage) -> Vec<Digest> {
        let applied = |target: &Target| -> BTreeSet<Digest> {
            let ledger = target.inspection().map_or(&[][..], |inspection| &inspection.ledger);
            ledger.iter().filter(|e| e.state == LedgerState::Applied).map(|e| e.digest).collect()
        };
        let due = stage.targets.that_are(Set::Working).filter(|target| target.plan.is_none());
        let applied: Vec<_> = due.map(applied).collect();
        let missing = |m: &&MigrationSummary| applied.iter().any(|applied| !applied.contains(&m.digest));
        self.migrations.iter().filter(missing).map(|m| m.digest).collect()
    }

    fn measured(
        &self,
        stage: &Stage,
        target: &Target,
        migration: &MigrationSummary,
        steps: &MigrationSteps,
    ) -> Vec<Measurement> {
        let Some((report, at)) = done(steps) else { return Vec::new() };
        let mut measured = Vec::new();
        for (index, run) in &steps.migrate.statements {
            let (kind, (rows, bytes)) = work(target, migration, report.variant, *index);
            // It went on behind what an earlier attempt had done.
            if kind == MeasuredKind::Backfill && steps.migrate.attempts > 1 {
                continue;
            }
            let held_back =
                kind == MeasuredKind::Backfill && self.is_held_back(stage, migration, report.variant, *index);
            measured.push(Measurement {
                environment: stage.spec.environment.clone(),
                database: target.database.clone(),
                digest: migration.digest,
                variant: report.variant,
                statement: *index,
                // Its speed is not what the database can do.
                kind: if held_back { MeasuredKind::Other } else { kind },
                rows,
                bytes,
                touched: run.rows,
                took: run.took,
                at,
            });
        }
        measured
    }

    /// Whether somebody has said that the backfill is to go slowly.
    fn is_held_back(
        &self,
        stage: &Stage,
        migration: &MigrationSummary,
        variant: Variant,
        index: u32,
    ) -> bool {
        let statement = migration.script(variant).statements.get(index as usize);
        let directive = statement.and_then(|s| s.backfill.clone()).unwrap_or_default();
        let throttle = self.throttle.or(&directive).or(&stage.spec.backfill.throttle);
        throttle.max_rate.is_some() || throttle.pause.is_some() || throttle.paused
    }
}

fn run<'a>(
    environment: &'a str,
    target: &Target,
    migration: &'a MigrationSummary,
    steps: &MigrationSteps,
) -> Option<Measured<'a>> {
    let (report, _) = done(steps)?;
    let rows = table_rows(target, migration);
    Some(Measured { environment, migration: &migration.id, rows, took: report.took })
}

/// The report of a migration that ran, and when it ended.
fn done(steps: &MigrationSteps) -> Option<(&MigrateReport, Timestamp)> {
    match &steps.migrate.state {
        StepState::Succeeded { report: StepReport::Migrated(report), at, .. } if !report.already_applied => {
            Some((report, *at))
        }
        _ => None,
    }
}

/// What a statement was to go through, as the inspection before it saw it.
fn work(
    target: &Target,
    migration: &MigrationSummary,
    variant: Variant,
    index: u32,
) -> (MeasuredKind, (u64, u64)) {
    let impacts = target.inspection().map_or(&[][..], |inspection| &inspection.impacts);
    let impact = impacts.iter().find(|i| i.migration == migration.id && i.variant == variant);
    let impact = impact.and_then(|i| i.statements.iter().find(|s| s.index == index));
    let backfill =
        migration.script(variant).statements.get(index as usize).is_some_and(|s| s.backfill.is_some());
    let kind = MeasuredKind::of(impact.map_or(&[], |i| &i.work), backfill);
    (kind, size_of(impact, kind, table_rows(target, migration)))
}

/// 0 where the migration names no table.
fn table_rows(target: &Target, migration: &MigrationSummary) -> u64 {
    let tables = target.inspection().map_or(&[][..], |inspection| &inspection.tables);
    let named = tables.iter().find(|t| Some(&t.table) == migration.manifest.table.as_ref());
    named.map_or(0, |t| t.rows)
}
