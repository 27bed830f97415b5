//! What a deployment itself has measured: for its next plans, and for those of later deployments.

use jiff::Timestamp;

use super::{Deployment, MigrationSteps, Stage, StepState, Target};
use crate::digest::Digest;
use crate::event::{StageIndex, StepKey, StepKind};
use crate::plan::{Known, Measured, MeasuredKind, Measurement, MigrationSummary, Variant, size_of};
use crate::report::{LedgerState, MigrateReport, StepReport};

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
            for target in &before.targets {
                let environment = before.spec.environment.as_str();
                known.runs.extend(target.migrations.iter().filter_map(|m| self.run(environment, target, m)));
                known.own.extend(target.migrations.iter().flat_map(|m| self.measured(before, target, m)));
            }
        }
        known
    }

    /// What the statements of a migrate step took that has just succeeded, as far as it is worth keeping.
    #[must_use]
    pub fn telling(&self, key: &StepKey) -> Vec<Measurement> {
        let found = || {
            let stage = self.stage(key.stage)?;
            let target = stage.target(&key.database)?;
            let steps = target.migrations.iter().find(|m| Some(&m.id) == key.migration.as_ref())?;
            Some(self.measured(stage, target, steps))
        };
        let all = if key.kind == StepKind::Migrate { found() } else { None };
        all.unwrap_or_default().into_iter().filter(Measurement::is_telling).collect()
    }

    /// Whether an inspection is there and nothing was planned from it yet.
    #[must_use]
    pub fn stage_to_plan(&self) -> Option<StageIndex> {
        let due = |t: &Target| t.inspect.succeeded() && t.plan.is_none() && t.refused.is_none();
        let mut open = self.indexed_stages().filter(|(_, stage)| stage.is_open());
        open.find(|(_, stage)| stage.targets.iter().any(due)).map(|(index, _)| index)
    }

    /// Of the migrations that one of the stage's databases does not have yet.
    #[must_use]
    pub fn digests_to_apply(&self, stage: &Stage) -> Vec<Digest> {
        let has = |target: &Target, migration: &MigrationSummary| {
            let ledger = target.inspection().map_or(&[][..], |inspection| &inspection.ledger);
            ledger.iter().any(|e| e.digest == migration.digest && e.state == LedgerState::Applied)
        };
        let missing = |m: &&MigrationSummary| stage.targets.iter().any(|target| !has(target, m));
        self.migrations.iter().filter(missing).map(|m| m.digest).collect()
    }

    fn run<'a>(
        &'a self,
        environment: &'a str,
        target: &'a Target,
        steps: &'a MigrationSteps,
    ) -> Option<Measured<'a>> {
        let (report, _) = done(steps)?;
        let rows = table_rows(target, self.migration(&steps.id)?);
        Some(Measured { environment, migration: &steps.id, rows, took: report.took })
    }

    fn measured(&self, stage: &Stage, target: &Target, steps: &MigrationSteps) -> Vec<Measurement> {
        let (Some((report, at)), Some(migration)) = (done(steps), self.migration(&steps.id)) else {
            return Vec::new();
        };
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
