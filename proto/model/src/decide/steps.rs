//! Starting a step that is due, and when one that failed for a passing reason is tried again.

use std::time::Duration;

use jiff::Timestamp;

use super::{Command, Next};
use crate::deployment::{Stage, Step};
use crate::event::{StepKey, Waiting};

/// Starts a step that is due, or waits for its next try. Callers have dealt with failures for good.
pub(super) fn try_step(next: &mut Next<'_>, stage: &Stage, key: StepKey, step: &Step) -> bool {
    if step.is_running() {
        return false;
    }
    if let Some(at) = try_again_at(step).filter(|at| *at > next.now) {
        next.waiting = Some(Waiting::Retry { step: key, at });
        next.commands.push(Command::WakeAt(at));
        return false;
    }
    next.start(stage, key)
}

/// When a step that failed for a passing reason may be tried again.
pub(super) fn try_again_at(step: &Step) -> Option<Timestamp> {
    let failed_at = step.passing_failure()?;
    Some(failed_at.checked_add(pause_before_try(step.tries)).unwrap_or(Timestamp::MAX))
}

/// 1, 2, 4, 8 … s, at most 30 s.
fn pause_before_try(tries: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(tries.saturating_sub(1)).min(30))
}
