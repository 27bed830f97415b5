//! One database of a stage, with its steps.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::step::{Step, StepState};
use crate::event::{Actor, StageIndex, StepKey, StepKind};
use crate::gate::Agreed;
use crate::id::{DatabaseName, MigrationId};
use crate::monitor::Evidence;
use crate::pipeline::StageSpec;
use crate::plan::{Action, MigrationSummary, TargetPlan};
use crate::report::{Inspection, RehearsalReport, RehearsedMigration, StepError, StepReport};

/// One database of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub database: DatabaseName,
    pub inspect: Step,
    pub plan: Option<TargetPlan>,
    /// What was planned before the databases were looked at again.
    pub former: Option<Agreed>,
    /// Why there is no plan.
    pub refused: Option<StepError>,
    pub backup: Step,
    /// Skipped where the stage does not rehearse.
    pub rehearse: Step,
    pub migrations: Vec<MigrationSteps>,
    /// Of the stage's own monitors, again and again through the soak; skipped where there is none.
    pub monitor: Step,
    /// What those have shown, by name.
    pub evidence: BTreeMap<String, Evidence>,
    pub baseline: Baseline,
    pub rollback_backup: Step,
    /// Somebody goes on without it.
    pub left_out: Option<LeftOut>,
    /// A person has asked to try it again by itself: it goes on even where its stage has stopped.
    pub by_itself: bool,
}

/// Who goes on without a database, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub by: Actor,
    pub reason: String,
    pub at: Timestamp,
}

/// The steps of one migration in one database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigrationSteps {
    pub id: MigrationId,
    pub migrate: Step,
    pub verify: Step,
    pub monitor: Step,
    pub rollback: Step,
    /// What its monitors have shown, by name.
    pub evidence: BTreeMap<String, Evidence>,
}

impl Target {
    pub(super) fn new(
        database: DatabaseName,
        migrations: &[MigrationSummary],
        (spec, place): (&StageSpec, usize),
    ) -> Self {
        let steps = |m: &MigrationSummary| MigrationSteps {
            id: m.id.clone(),
            migrate: Step::default(),
            verify: Step::default(),
            monitor: Step::default(),
            rollback: Step::default(),
            evidence: BTreeMap::new(),
        };
        let monitored = spec.monitors_at(place).next().is_some();
        Self {
            rehearse: if spec.rehearse { Step::default() } else { Step::skipped() },
            migrations: migrations.iter().map(steps).collect(),
            monitor: if monitored { Step::default() } else { Step::skipped() },
            ..Self::of_name(database)
        }
    }

    /// One of which nothing else is known.
    pub(super) fn of_name(database: DatabaseName) -> Self {
        Self {
            database,
            inspect: Step::default(),
            plan: None,
            former: None,
            refused: None,
            backup: Step::default(),
            rehearse: Step::default(),
            migrations: Vec::new(),
            monitor: Step::default(),
            evidence: BTreeMap::new(),
            baseline: Baseline::default(),
            rollback_backup: Step::default(),
            left_out: None,
            by_itself: false,
        }
    }

    /// The most that one of its monitors has not vouched for.
    pub(super) fn missed(&self) -> Option<Duration> {
        let of_migrations = self.migrations.iter().flat_map(|m| m.evidence.values());
        self.evidence.values().chain(of_migrations).map(|evidence| evidence.missed).max()
    }

    #[must_use]
    pub fn step(&self, key: &StepKey) -> Option<&Step> {
        match (key.kind, &key.migration) {
            (StepKind::Inspect, None) => Some(&self.inspect),
            (StepKind::Backup, None) => Some(&self.backup),
            (StepKind::Rehearse, None) => Some(&self.rehearse),
            (StepKind::Monitor, None) => Some(&self.monitor),
            (StepKind::Measure, None) => Some(&self.baseline.step),
            (StepKind::RollbackBackup, None) => Some(&self.rollback_backup),
            (kind, Some(id)) => self.migrations.iter().find(|m| m.id == *id)?.step(kind),
            _ => None,
        }
    }

    pub(super) fn step_mut(&mut self, key: &StepKey) -> Option<&mut Step> {
        match (key.kind, &key.migration) {
            (StepKind::Inspect, None) => Some(&mut self.inspect),
            (StepKind::Backup, None) => Some(&mut self.backup),
            (StepKind::Rehearse, None) => Some(&mut self.rehearse),
            (StepKind::Monitor, None) => Some(&mut self.monitor),
            (StepKind::Measure, None) => Some(&mut self.baseline.step),
            (StepKind::RollbackBackup, None) => Some(&mut self.rollback_backup),
            (kind, Some(id)) => self.migrations.iter_mut().find(|m| m.id == *id)?.step_mut(kind),
            _ => None,
        }
    }

    /// The addresses of all its steps, in the order in which they run; a rehearsal that there is none of is left out, as are monitors.
    #[must_use]
    pub fn keys(&self, stage: StageIndex) -> Vec<StepKey> {
        let of = |kind| StepKey::target(stage, &self.database, kind);
        let each = |m: &MigrationSteps, kinds: &[StepKind]| {
            kinds.iter().map(|k| StepKey::migration(stage, &self.database, *k, &m.id)).collect::<Vec<_>>()
        };
        let mut keys = vec![of(StepKind::Inspect), of(StepKind::Backup)];
        if self.rehearse.state != StepState::Skipped {
            keys.push(of(StepKind::Rehearse));
        }
        keys.extend(self.migrations.iter().flat_map(|m| each(m, &[StepKind::Migrate, StepKind::Verify])));
        keys.extend(self.migrations.iter().flat_map(|m| each(m, &[StepKind::Monitor])));
        if self.monitor.state != StepState::Skipped {
            keys.push(of(StepKind::Monitor));
        }
        if self.baseline.step.attempts > 0 || self.is_measured() {
            keys.push(of(StepKind::Measure));
        }
        keys.push(of(StepKind::RollbackBackup));
        keys.extend(self.migrations.iter().rev().flat_map(|m| each(m, &[StepKind::Rollback])));
        keys
    }

    /// The addresses of those that are running, in the same order. It is asked for at each event, so it looks at each step
    /// once.
    pub(super) fn running(&self, stage: StageIndex) -> impl Iterator<Item = StepKey> {
        let whole =
            |step: &Step, kind| step.is_running().then(|| StepKey::target(stage, &self.database, kind));
        let each = move |m: &MigrationSteps, kind| {
            let running = m.step(kind).is_some_and(Step::is_running);
            running.then(|| StepKey::migration(stage, &self.database, kind, &m.id))
        };
        let before = [
            whole(&self.inspect, StepKind::Inspect),
            whole(&self.backup, StepKind::Backup),
            whole(&self.rehearse, StepKind::Rehearse),
        ];
        let own_monitors = whole(&self.monitor, StepKind::Monitor);
        let measure = whole(&self.baseline.step, StepKind::Measure);
        let before_rollback = whole(&self.rollback_backup, StepKind::RollbackBackup);
        let kinds = [StepKind::Migrate, StepKind::Verify];
        let forward = self.migrations.iter().flat_map(move |m| kinds.map(|kind| each(m, kind)));
        let monitors = self.migrations.iter().map(move |m| each(m, StepKind::Monitor));
        let back = self.migrations.iter().rev().map(move |m| each(m, StepKind::Rollback));
        before
            .into_iter()
            .chain(forward)
            .chain(monitors)
            .chain([own_monitors, measure, before_rollback])
            .chain(back)
            .flatten()
    }

    /// Whether one of its steps is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running(StageIndex(0)).next().is_some()
    }

    /// Whether one of its migrations was begun.
    #[must_use]
    pub fn was_begun(&self) -> bool {
        self.migrations.iter().any(|m| m.migrate.was_begun())
    }

    /// Whether it will not go on by itself, before its soak: it can't be planned, or a step failed for good.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let whole = [&self.inspect, &self.backup, &self.rehearse];
        let each = self.migrations.iter().flat_map(|m| [&m.migrate, &m.verify]);
        self.refused.is_some() || whole.into_iter().chain(each).any(Step::has_failed)
    }

    /// Whether all that people look at is there, and nothing behind it was begun or is under way.
    pub(super) fn is_parked(&self) -> bool {
        self.plan.is_some()
            && self.rehearse.is_done()
            && self.backup.error().is_none()
            && !self.was_begun()
            && !self.is_running()
    }

    /// The migration just before that of a step.
    #[must_use]
    pub fn before(&self, key: &StepKey) -> Option<&MigrationSteps> {
        let this = self.migrations.iter().position(|m| Some(&m.id) == key.migration.as_ref())?;
        this.checked_sub(1).map(|before| &self.migrations[before])
    }

    #[must_use]
    pub fn inspection(&self) -> Option<&Inspection> {
        match self.inspect.report() {
            Some(StepReport::Inspected(inspection)) => Some(inspection),
            _ => None,
        }
    }

    /// What came of the rehearsal, of one that failed too.
    #[must_use]
    pub fn rehearsal(&self) -> Option<&RehearsalReport> {
        match self.rehearse.report() {
            Some(StepReport::Rehearsed(report)) => Some(report),
            _ => None,
        }
    }

    /// What a migration did in the rehearsal that went well, and when that ended.
    #[must_use]
    pub fn rehearsed(&self, migration: &MigrationId) -> Option<(&RehearsedMigration, Timestamp)> {
        match &self.rehearse.state {
            StepState::Succeeded { at, report: StepReport::Rehearsed(report), .. } => {
                Some((report.of(migration).filter(|m| m.up.is_some())?, *at))
            }
            _ => None,
        }
    }

    /// What failed in it is due again.
    pub(super) fn reopen(&mut self) {
        self.by_itself = false;
        if self.refused.take().is_some() {
            let attempts = self.inspect.attempts;
            self.inspect = Step { attempts, ..Step::default() };
        }
        // A rehearsal is on a copy that is minutes old, and the one that failed has dropped its own.
        if self.rehearse.error().is_some() {
            let attempts = self.backup.attempts;
            self.backup = Step { attempts, ..Step::default() };
        }
        let whole = [
            &mut self.inspect,
            &mut self.backup,
            &mut self.rehearse,
            &mut self.monitor,
            &mut self.rollback_backup,
        ];
        whole.into_iter().for_each(Step::reopen);
        self.baseline.reopen();
        self.evidence.values_mut().for_each(Evidence::reopen);
        for steps in &mut self.migrations {
            steps.evidence.values_mut().for_each(Evidence::reopen);
            let each = [&mut steps.migrate, &mut steps.verify, &mut steps.monitor, &mut steps.rollback];
            each.into_iter().for_each(Step::reopen);
        }
    }

    /// What is planned for a migration here.
    #[must_use]
    pub fn action(&self, migration: &MigrationId) -> Option<&Action> {
        self.plan.as_ref()?.migrations.iter().find(|m| m.id == *migration).map(|m| &m.action)
    }

    /// Whether anything was, or may have been, changed here and not taken back.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        self.migrations.iter().any(MigrationSteps::has_effect)
    }

    /// Those that a rollback to a migration takes back, in its order; None: to before the first.
    pub fn to_take_back(&self, to: Option<&MigrationId>) -> impl Iterator<Item = &MigrationSteps> {
        let kept = to.and_then(|to| self.migrations.iter().position(|m| m.id == *to)).map_or(0, |at| at + 1);
        self.migrations.iter().skip(kept).rev().filter(|m| m.has_effect())
    }

    /// Planned, and every migration is through.
    #[must_use]
    pub fn is_migrated(&self) -> bool {
        self.plan.is_some()
            && self.rehearse.is_done()
            && self.migrations.iter().all(|m| m.migrate.is_done() && m.verify.is_done())
    }

    #[must_use]
    pub fn applies_anything(&self) -> bool {
        self.plan.as_ref().is_some_and(TargetPlan::applies_anything)
    }
}

impl MigrationSteps {
    #[must_use]
    pub fn step(&self, kind: StepKind) -> Option<&Step> {
        match kind {
            StepKind::Migrate => Some(&self.migrate),
            StepKind::Verify => Some(&self.verify),
            StepKind::Monitor => Some(&self.monitor),
            StepKind::Rollback => Some(&self.rollback),
            _ => None,
        }
    }

    /// Those before the soak.
    pub(super) fn before_its_end(&mut self) -> [&mut Step; 2] {
        [&mut self.migrate, &mut self.verify]
    }

    fn step_mut(&mut self, kind: StepKind) -> Option<&mut Step> {
        match kind {
            StepKind::Migrate => Some(&mut self.migrate),
            StepKind::Verify => Some(&mut self.verify),
            StepKind::Monitor => Some(&mut self.monitor),
            StepKind::Rollback => Some(&mut self.rollback),
            _ => None,
        }
    }

    /// Whether it is, or may be, in the database on behalf of this deployment.
    #[must_use]
    pub fn has_effect(&self) -> bool {
        if self.rollback.succeeded() {
            return false;
        }
        match &self.migrate.state {
            StepState::Running { .. } | StepState::Unknown { .. } | StepState::Succeeded { .. } => true,
            StepState::Failed { .. } => self.migrate.left_behind,
            // Reopened after an attempt that may have left something.
            StepState::Pending => self.migrate.was_begun(),
            StepState::Skipped => false,
        }
    }
}
