//! The two looks at what PostgreSQL counts: when a soak begins, and when it ends.
//!
//! A stage that has limits waits for both of them, as for a monitor. Without limits they are for people: where a look fails
//! or the agent is away the soak goes on and ends without it.

use jiff::Timestamp;

use super::steps::try_again_at;
use super::{AgentPresence, MOST_TRIES, Next};
use crate::deployment::{Stage, Target};
use crate::event::{StageIndex, StepKey, StepKind};
use crate::id::DatabaseName;
use crate::report::ErrorClass;

/// How far it is with the looks.
#[derive(Default)]
pub(super) struct Measuring<'a> {
    /// Nothing else is begun in these beside it.
    pub started: Vec<&'a DatabaseName>,
    pub wake: Vec<Timestamp>,
    /// Nothing is to be waited for.
    pub is_over: bool,
    /// What is, in sentences that stay the same while nothing changes.
    pub held: Vec<String>,
}

/// Starts what is due. `quiet`: all else is done, and the second look is due.
pub(super) fn measure<'a>(
    next: &mut Next<'_>,
    index: StageIndex,
    stage: &'a Stage,
    end: Timestamp,
    quiet: bool,
) -> Measuring<'a> {
    let mut measuring = Measuring { is_over: true, ..Measuring::default() };
    let counts = !stage.spec.baseline.is_none();
    for target in stage.targets.iter().filter(|t| t.is_measured() && !t.baseline.step.is_running()) {
        let first = target.baseline.begin.is_none();
        let due = first || (quiet && target.baseline.end.is_none());
        if !due || target.baseline.accepted {
            continue;
        }
        if !counts && (is_given_up(target, end) || (first && quiet) || !is_here(next, stage, target)) {
            continue;
        }
        measuring.is_over = false;
        measuring.held.extend(held(target).filter(|_| counts));
        if target.is_being_monitored() {
            continue;
        }
        let key = StepKey::target(index, &target.database, StepKind::Measure);
        match try_again_at(&target.baseline.step).filter(|at| *at > next.now) {
            Some(at) => measuring.wake.push(at),
            None if next.start(stage, key) => measuring.started.push(&target.database),
            None => {}
        }
    }
    measuring
}

/// It has failed often enough, or for good, or once the soak was over.
fn is_given_up(target: &Target, end: Timestamp) -> bool {
    let step = &target.baseline.step;
    match (step.error(), step.passing_failure()) {
        (None, _) => false,
        (Some(_), Some(at)) => at >= end || step.tries >= MOST_TRIES,
        (Some(_), None) => true,
    }
}

fn is_here(next: &Next<'_>, stage: &Stage, target: &Target) -> bool {
    let presence = next.world.presence(&stage.spec.environment, &target.database);
    matches!(presence, Some(AgentPresence::Connected(_)))
}

fn held(target: &Target) -> impl Iterator<Item = String> {
    let error = target.baseline.step.error().filter(|error| error.class == ErrorClass::Transient);
    error
        .map(|error| format!("the statistics of {} could not be read: {}", target.database, error.message))
        .into_iter()
}
