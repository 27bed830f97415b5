//! What a stage's soak has shown so far, and until when it lasts.
//!
//! Each monitor has to vouch for as much time as the soak was to last: what one of them missed is added to its end, and
//! what does not pass now holds it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Deployment, IllegalEvent, MigrationSteps, Stage, StageStatus, Target};
use crate::duration::human;
use crate::event::{StepKey, StepKind};
use crate::id::DatabaseName;
use crate::migration::Monitor;
use crate::monitor::{Evidence, Rhythm, RunResult, StageMonitor};
use crate::plan::MigrationSummary;
use crate::report::{Outcome, StepReport};

/// A monitor of a soak, where it runs and what it has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Watched<'a> {
    pub step: StepKey,
    pub rhythm: Rhythm<'a>,
    pub evidence: Evidence,
}

impl Deployment {
    /// All monitors of a stage that soaks.
    #[must_use]
    pub fn watched<'a>(&'a self, stage: &'a Stage) -> Vec<Watched<'a>> {
        stage.targets.iter().flat_map(|target| self.watched_in(stage, target)).collect()
    }

    /// Those of one of its databases.
    #[must_use]
    pub fn watched_in<'a>(&'a self, stage: &'a Stage, target: &Target) -> Vec<Watched<'a>> {
        let StageStatus::Soaking { since, .. } = stage.status else { return Vec::new() };
        if target.left_out.is_some() {
            return Vec::new();
        }
        let same = |s: &Stage| s.spec.environment == stage.spec.environment;
        let Some((index, _)) = self.indexed_stages().find(|(_, s)| same(s)) else { return Vec::new() };
        let of = |evidence: &BTreeMap<String, Evidence>, name: &str| {
            evidence.get(name).cloned().unwrap_or_else(|| Evidence::new(since))
        };
        let mut all = Vec::new();
        let step = StepKey::target(index, &target.database, StepKind::Monitor);
        for monitor in stage.own_monitors(&target.database) {
            let rhythm = monitor.rhythm();
            let evidence = of(&target.evidence, rhythm.name);
            all.push(Watched { step: step.clone(), rhythm, evidence });
        }
        for (migration, steps) in self.migrations_in(target) {
            let step = StepKey::migration(index, &target.database, StepKind::Monitor, &steps.id);
            for monitor in monitors(migration, steps) {
                let rhythm = monitor.rhythm();
                let evidence = of(&steps.evidence, rhythm.name);
                all.push(Watched { step: step.clone(), rhythm, evidence });
            }
        }
        all
    }

    /// When a stage's soak ends, as far as is known now.
    #[must_use]
    pub fn soak_end(&self, stage: &Stage) -> Option<Timestamp> {
        let StageStatus::Soaking { until, .. } = stage.status else { return None };
        let missed = stage.targets.iter().filter_map(Target::missed).max().unwrap_or_default();
        let end = until.checked_add(missed).unwrap_or(Timestamp::MAX);
        Some(Self::measured_until(stage).map_or(end, |measured| measured.max(end)))
    }

    pub(super) fn take_evidence(
        &mut self,
        key: &StepKey,
        outcome: &Outcome,
        run: (Timestamp, Timestamp),
    ) -> Result<(), IllegalEvent> {
        let (Outcome::Succeeded { report: StepReport::Verified(report) }
        | Outcome::Failed { report: Some(StepReport::Verified(report)), .. }) = outcome
        else {
            return Ok(());
        };
        let stage = self.stage(key.stage).ok_or(IllegalEvent::NoStage(key.stage))?;
        let end = self.soak_end(stage).unwrap_or(Timestamp::MAX);
        let target = stage.target(&key.database).ok_or_else(|| IllegalEvent::NoStep(key.clone()))?;
        let results: Vec<_> = self
            .watched_in(stage, target)
            .into_iter()
            .filter(|watched| watched.step == *key)
            .filter_map(|mut watched| {
                let check = report.checks.iter().find(|c| c.name == watched.rhythm.name);
                let result = match check.map(|c| (c.passed, c.unanswered)) {
                    Some((true, _)) => RunResult::Passed,
                    Some((false, false)) => RunResult::Failed,
                    Some((false, true)) => RunResult::Unanswered,
                    // It was asked for, and an agent that doesn't know of it said nothing.
                    None if watched.evidence.is_due(watched.rhythm, end, run.0) => RunResult::Unanswered,
                    None => return None,
                };
                watched.evidence.take(watched.rhythm, result, run);
                Some((watched.rhythm.name.to_owned(), watched.evidence))
            })
            .collect();
        let target = self.target_mut(key)?;
        match &key.migration {
            None => target.evidence.extend(results),
            Some(id) => {
                if let Some(steps) = target.migrations.iter_mut().find(|m| m.id == *id) {
                    steps.evidence.extend(results);
                }
            }
        }
        Ok(())
    }
}

impl Stage {
    /// The stage's own monitors that run with a database of it.
    pub fn own_monitors(&self, database: &DatabaseName) -> impl Iterator<Item = &StageMonitor> {
        let place = self.targets.place(database);
        // The first of those that are in it asks what is asked once.
        let first = self.targets.iter().position(|t| t.left_out.is_none());
        let place = if place == first { place.map(|_| 0) } else { place.map(|place| place.max(1)) };
        place.into_iter().flat_map(|place| self.spec.monitors_at(place))
    }
}

/// A migration that was skipped here is not observed either.
pub fn monitors<'a>(
    migration: &'a MigrationSummary,
    steps: &MigrationSteps,
) -> impl Iterator<Item = &'a Monitor> {
    let applied = steps.migrate.succeeded();
    migration.manifest.monitors.iter().filter(move |_| applied)
}

/// Why a soak does not end, or later than it was to: each in a sentence that stays the same while nothing changes.
#[must_use]
pub fn holds(watched: &[Watched<'_>]) -> Vec<String> {
    let named = |w: &Watched<'_>| match &w.step.migration {
        Some(migration) => format!("\"{}\" of {migration} in {}", w.rhythm.name, w.step.database),
        None => format!("\"{}\" in {}", w.rhythm.name, w.step.database),
    };
    let now = watched.iter().filter_map(|w| {
        let (run, since) = (w.evidence.last?, w.evidence.off_since?);
        let since = shown(since);
        let patience = w.rhythm.patience;
        match run.result {
            RunResult::Passed => None,
            RunResult::Failed if patience.is_zero() => Some(format!("{} fails since {since}", named(w))),
            RunResult::Failed => {
                Some(format!("{} fails since {since}, which counts after {}", named(w), human(patience)))
            }
            RunResult::Unanswered => Some(format!("{} could not be asked since {since}", named(w))),
        }
    });
    let longest =
        watched.iter().filter(|w| !w.evidence.missed.is_zero()).min_by_key(|w| Reverse(w.evidence.missed));
    let before = longest.and_then(|w| {
        let (from, to) = w.evidence.gap?;
        let (missed, name) = (human(w.evidence.missed), named(w));
        Some(format!("longer by {missed}: {name} has nothing to show from {} to {}", shown(from), shown(to)))
    });
    now.chain(before).collect()
}

fn shown(at: Timestamp) -> String {
    at.strftime("%d %b %H:%M:%S UTC").to_string()
}

impl Target {
    /// Whether one of its monitors, or a look at its statistics, runs now.
    #[must_use]
    pub fn is_being_monitored(&self) -> bool {
        self.monitor.is_running()
            || self.baseline.step.is_running()
            || self.migrations.iter().any(|m| m.monitor.is_running())
    }
}
