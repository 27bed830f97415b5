//! What a failed step means for its stage.

use super::Next;
use super::fleet::named;
use crate::baseline::Compared;
use crate::deployment::{Deployment, Set, Stage, StageStatus, Step, StepState, Target, Watched};
use crate::event::{Actor, Event, StageIndex, StageOutcome, StepKey};
use crate::pipeline::OnFailure;
use crate::report::{ErrorClass, StepError};

/// A step that will not succeed by itself.
pub(super) struct Problem {
    pub cause: String,
    /// Only a person can say what is true.
    pub unknown: bool,
}

/// The first step of the stage that failed for good. It is asked for at each event, so names are put together only where
/// one has failed.
pub(super) fn find(deployment: &Deployment, stage: &Stage) -> Option<Problem> {
    let before = before_the_soak(stage).map(|problem| {
        let failed: Vec<_> = stage.failed_targets().map(|t| t.database.as_str()).collect();
        match failed.split_first() {
            Some((_, others)) if !others.is_empty() => {
                let unknown = problem.unknown || stage.failed_targets().any(is_unknown);
                let of = stage.targets.len();
                let cause =
                    format!("{}; failed as well, of {of} databases: {}", problem.cause, named(others));
                Problem { cause, unknown }
            }
            _ => problem,
        }
    });
    let before = before.or_else(|| of_hooks(stage));
    before.or_else(|| of_monitors(deployment, stage)).or_else(|| of_baseline(stage))
}

fn before_the_soak(stage: &Stage) -> Option<Problem> {
    stage.targets.that_are(Set::Failed).find_map(|target| {
        let database = &target.database;
        if let Some(error) = &target.refused {
            return Some(problem(&format!("{database} can't be migrated"), error, false));
        }
        let whole = [
            (&target.inspect, "the inspection"),
            (&target.backup, "the backup"),
            (&target.rehearse, "the rehearsal"),
        ];
        let whole =
            whole.into_iter().find_map(|(step, name)| of_step(step, || format!("{name} of {database}")));
        whole.or_else(|| {
            target.migrations.iter().find_map(|m| {
                let named = [(&m.migrate, "the migration"), (&m.verify, "the verification of")];
                let of = |(step, name)| of_step(step, || format!("{name} {} in {database}", m.id));
                named.into_iter().find_map(of)
            })
        })
    })
}

fn is_unknown(target: &Target) -> bool {
    let each = target.migrations.iter().flat_map(|m| [&m.migrate, &m.verify]);
    let whole = [&target.inspect, &target.backup, &target.rehearse];
    whole.into_iter().chain(each).any(|step| matches!(step.state, StepState::Unknown { .. }))
}

fn of_hooks(stage: &Stage) -> Option<Problem> {
    let (name, reason) = stage.gates.failed_hook(&stage.spec)?;
    Some(Problem { cause: format!("the hook {name} failed: {reason}"), unknown: false })
}

/// A monitor that has failed for as long as it takes to count. One that can't be asked holds the soak, and is no problem
/// of this kind.
fn of_monitors(deployment: &Deployment, stage: &Stage) -> Option<Problem> {
    let watched = deployment.watched(stage);
    let mut steps: Vec<&StepKey> = watched.iter().map(|w| &w.step).collect();
    steps.dedup();
    steps.into_iter().find_map(|key| {
        let step = deployment.step(key)?;
        let error = step.error()?;
        let counts = |w: &Watched<'_>| w.step == *key && w.evidence.has_failed(w.rhythm);
        let failed = match (error.class, step.report()) {
            (ErrorClass::Transient, None) => false,
            (ErrorClass::Transient | ErrorClass::Check, Some(_)) => watched.iter().any(counts),
            _ => true,
        };
        let what = match &key.migration {
            Some(migration) => format!("{migration} in {}", key.database),
            None => key.database.to_string(),
        };
        let unknown = matches!(step.state, StepState::Unknown { .. });
        failed.then(|| problem(&format!("the monitoring of {what} failed"), error, unknown))
    })
}

/// What was counted in the soak is more than the stage allows, and nobody has said yet that it is right.
fn of_baseline(stage: &Stage) -> Option<Problem> {
    if stage.spec.baseline.is_none() || !matches!(stage.status, StageStatus::Soaking { .. }) {
        return None;
    }
    stage.targets.iter().filter(|target| !target.baseline.accepted).find_map(|target| {
        let database = &target.database;
        let beyond = |figure: &Compared| {
            let limit = figure.at_most.map(|limit| format!(", at most {limit}")).unwrap_or_default();
            format!("{figure}{limit}")
        };
        if let Some(compared) = stage.compared(target) {
            let all: Vec<String> = compared.exceeding().map(beyond).collect();
            let cause =
                format!("more was counted in {database} than before the migration: {}", all.join("; "));
            return Some(Problem { cause, unknown: false }).filter(|_| !all.is_empty());
        }
        let error = target.baseline.step.error().filter(|error| error.class != ErrorClass::Transient)?;
        Some(problem(&format!("the statistics of {database} could not be compared"), error, false))
    })
}

/// A step that failed for good; None while another try is due.
pub(super) fn of_step(step: &Step, name: impl FnOnce() -> String) -> Option<Problem> {
    let error = step.error()?;
    if !step.has_failed() {
        return None;
    }
    Some(problem(&format!("{} failed", name()), error, matches!(step.state, StepState::Unknown { .. })))
}

/// Does what the stage says about failures.
pub(super) fn handle(next: &mut Next<'_>, index: StageIndex, stage: &Stage, problem: Problem) {
    let pause = |cause: String| Event::Paused { cause, by: Actor::Pipeline };
    if problem.unknown {
        return next.append(pause(problem.cause));
    }
    let affected =
        stage.targets.that_are(Set::Affected).flat_map(|t| &t.migrations).filter(|m| m.has_effect());
    match (stage.spec.on_failure, next.deployment.without_way_back(affected)) {
        (OnFailure::Pause, _) => next.append(pause(problem.cause)),
        (OnFailure::Rollback, Some(migration)) => {
            let cause = format!("{}; {migration} has no down.sql, so nothing was rolled back", problem.cause);
            next.append(pause(cause));
        }
        (OnFailure::Rollback, None) if stage.has_effects() => {
            next.append(Event::RollbackStarted {
                stage: index,
                cause: problem.cause,
                by: Actor::Pipeline,
                to: None,
            });
        }
        (OnFailure::Rollback, None) => {
            next.append(Event::StageFinished { stage: index, outcome: StageOutcome::Failed });
        }
    }
}

fn problem(what: &str, error: &StepError, unknown: bool) -> Problem {
    let cause = if unknown {
        format!("{what}: its outcome is UNKNOWN: {}", error.message)
    } else {
        format!("{what}: {}", error.message)
    };
    Problem { cause, unknown }
}
