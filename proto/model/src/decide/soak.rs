//! The rest under observation: it ends well only when every monitor ran to its end and held.

use jiff::Timestamp;

use super::stage::try_step;
use super::{Command, Next, failure, running_in};
use crate::deployment::{Deployment, MigrationSteps, Stage};
use crate::event::{Event, StageIndex, StageOutcome, StepKey, StepKind, Waiting};
use crate::migration::Monitor;
use crate::plan::MigrationSummary;

pub(super) fn run(next: &mut Next<'_>, index: StageIndex, stage: &Stage, until: Timestamp) {
    if let Some(problem) = failure::find(stage) {
        if running_in(next.deployment, index).is_empty() {
            failure::handle(next, index, stage, problem);
        }
        return;
    }
    if !running_in(next.deployment, index).is_empty() {
        return;
    }
    for target in &stage.targets {
        for (migration, steps) in next.deployment.migrations_in(target) {
            if !due(migration, steps, until, next.now).is_empty() {
                let key = StepKey::migration(index, &target.database, StepKind::Monitor, &steps.id);
                try_step(next, stage, key, &steps.monitor);
                return;
            }
        }
    }
    if next.now >= until {
        return next.append(Event::StageFinished { stage: index, outcome: StageOutcome::Succeeded });
    }
    next.waiting = Some(Waiting::Soak { environment: stage.spec.environment.clone(), until });
    let wake = stage
        .targets
        .iter()
        .flat_map(|target| next.deployment.migrations_in(target))
        .filter_map(|(migration, steps)| next_run(migration, steps))
        .fold(until, std::cmp::Ord::min);
    next.commands.push(Command::WakeAt(wake));
}

/// The monitors of a migration that a monitor step begun now has to run.
#[must_use]
pub fn due_monitors<'a>(deployment: &'a Deployment, key: &StepKey, now: Timestamp) -> Vec<&'a Monitor> {
    let Some(stage) = deployment.stage(key.stage) else {
        return Vec::new();
    };
    let crate::deployment::StageStatus::Soaking { until, .. } = stage.status else {
        return Vec::new();
    };
    let mut all = stage.target(&key.database).into_iter().flat_map(|t| deployment.migrations_in(t));
    let found = all.find(|(migration, _)| Some(&migration.id) == key.migration.as_ref());
    found.map_or_else(Vec::new, |(migration, steps)| due(migration, steps, until, now))
}

/// Never run, its interval is over, or the soak is and the last run was before its end.
fn due<'a>(
    migration: &'a MigrationSummary,
    steps: &MigrationSteps,
    until: Timestamp,
    now: Timestamp,
) -> Vec<&'a Monitor> {
    monitors(migration, steps)
        .filter(|m| match steps.monitored.get(&m.check.name) {
            None => true,
            Some(last) => next_after(*last, m) <= now || (now >= until && *last < until),
        })
        .collect()
}

fn next_run(migration: &MigrationSummary, steps: &MigrationSteps) -> Option<Timestamp> {
    monitors(migration, steps)
        .filter_map(|m| steps.monitored.get(&m.check.name).map(|last| next_after(*last, m)))
        .min()
}

fn next_after(last: Timestamp, monitor: &Monitor) -> Timestamp {
    last.checked_add(monitor.every).unwrap_or(Timestamp::MAX)
}

/// A migration that was skipped here is not observed either.
fn monitors<'a>(
    migration: &'a MigrationSummary,
    steps: &MigrationSteps,
) -> impl Iterator<Item = &'a Monitor> {
    let applied = steps.migrate.succeeded();
    migration.manifest.monitors.iter().filter(move |_| applied)
}
