//! The rest under observation: it ends well only when every monitor has vouched for all of it.

use jiff::Timestamp;

use super::steps::try_again_at;
use super::{Command, Next, baseline, failure, hooks, running_in};
use crate::deployment::{Deployment, Stage, Target, Watched, holds, monitors};
use crate::event::{Event, StageIndex, StageOutcome, StepKey, Waiting};
use crate::migration::Check;
use crate::monitor::StageMonitor;
use crate::pipeline::{HookPlace, HookStep};

pub(super) fn run(next: &mut Next<'_>, index: StageIndex, stage: &Stage, until: Timestamp) {
    if let Some(problem) = failure::find(next.deployment, stage) {
        if running_in(next.deployment, index).is_empty() {
            failure::handle(next, index, stage, problem);
        }
        return;
    }
    let watched = next.deployment.watched(stage);
    let end = next.deployment.soak_end(stage).unwrap_or(until);
    let quiet = next.now >= end && watched.iter().all(|w| vouches(w, end));
    let measuring = baseline::measure(next, index, stage, end, quiet);
    let mut wake = measuring.wake;
    // Those of one database stand together.
    for of_target in watched.chunk_by(|a, b| a.step.database == b.step.database) {
        let mut due = of_target.iter().filter(|w| w.evidence.is_due(w.rhythm, end, next.now));
        let Some(first) = due.next() else { continue };
        let is_free = |t: &Target| !t.is_being_monitored() && !measuring.started.contains(&&t.database);
        if stage.target(&first.step.database).is_some_and(is_free) {
            wake.extend(start(next, stage, first.step.clone()));
        }
    }
    let none_runs = running_in(next.deployment, index).is_empty()
        && !next.commands.iter().any(|c| matches!(c, Command::Start { .. }));
    if none_runs && quiet && measuring.is_over {
        if hooks::hold(next, index, stage, HookPlace::after(HookStep::Soak)) {
            return;
        }
        return next.append(Event::StageFinished { stage: index, outcome: StageOutcome::Succeeded });
    }
    // An agent that is away is what is waited for.
    next.waiting.get_or_insert_with(|| Waiting::Soak {
        environment: stage.spec.environment.clone(),
        until: end,
        held: holds(&watched).into_iter().chain(measuring.held).collect(),
    });
    let later = watched.iter().filter_map(|w| w.evidence.next(w.rhythm)).chain([end]).chain(wake);
    if let Some(wake) = later.filter(|at| *at > next.now).min() {
        next.commands.push(Command::WakeAt(wake));
    }
}

/// The monitors that a monitor step begun now has to run: a migration's checks, or the stage's own.
#[derive(Debug, Default)]
pub struct DueMonitors<'a> {
    pub checks: Vec<&'a Check>,
    pub own: Vec<&'a StageMonitor>,
}

#[must_use]
pub fn due_monitors<'a>(deployment: &'a Deployment, key: &StepKey, now: Timestamp) -> DueMonitors<'a> {
    let Some(stage) = deployment.stage(key.stage) else { return DueMonitors::default() };
    let Some(end) = deployment.soak_end(stage) else { return DueMonitors::default() };
    let Some(target) = stage.target(&key.database) else { return DueMonitors::default() };
    let watched = deployment.watched_in(stage, target);
    let due = |name: &str| {
        let mut of_step = watched.iter().filter(|w| w.step == *key);
        of_step.any(|w| w.rhythm.name == name && w.evidence.is_due(w.rhythm, end, now))
    };
    let mut all = DueMonitors::default();
    match &key.migration {
        None => all.own.extend(stage.own_monitors(&key.database).filter(|m| due(&m.probe.name))),
        Some(id) => {
            let found = deployment.migrations_in(target).find(|(migration, _)| migration.id == *id);
            let monitors = found.into_iter().flat_map(|(migration, steps)| monitors(migration, steps));
            all.checks.extend(monitors.map(|m| &m.check).filter(|check| due(&check.name)));
        }
    }
    all
}

/// Starts a monitor step, or says when it is tried again.
fn start(next: &mut Next<'_>, stage: &Stage, key: StepKey) -> Option<Timestamp> {
    let again = next.deployment.step(&key).and_then(try_again_at);
    if let Some(at) = again.filter(|at| *at > next.now) {
        return Some(at);
    }
    next.start(stage, key);
    None
}

/// It passed at the soak's very end, or after it.
fn vouches(watched: &Watched<'_>, end: Timestamp) -> bool {
    watched.evidence.passes() && watched.evidence.last.is_some_and(|run| run.at >= end)
}
