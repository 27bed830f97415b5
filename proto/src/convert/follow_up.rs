//! Follow-ups: whose they are, and how they stand.

use stopover_model::follow_up::{FollowUpKey, FollowUpRun, FollowUpState, Scheduled};

use super::field::{name, optional_duration, plain, timestamp};
use crate::v1;

wire_message!(FollowUpKey {
    deployment: name,
    environment: name,
    database: name,
    migration: name,
    name: plain
});

/// For people: the server alone schedules, and reads its own.
impl From<Scheduled> for v1::FollowUpStatus {
    fn from(scheduled: Scheduled) -> Self {
        let state = match scheduled.state() {
            FollowUpState::Waits { .. } => v1::FollowUpState::Waits,
            FollowUpState::Failed { .. } => v1::FollowUpState::Failed,
            FollowUpState::Through => v1::FollowUpState::Through,
            FollowUpState::Cancelled { .. } => v1::FollowUpState::Cancelled,
        };
        let due = scheduled.due().and_then(timestamp::write);
        let (held, held_since) =
            scheduled.held.map_or_else(Default::default, |held| (held.why, timestamp::write(held.since)));
        let acknowledged = scheduled.acknowledged.map(|word| v1::follow_up_status::Acknowledgement {
            by: word.by.to_string(),
            reason: word.reason,
            at: timestamp::write(word.at),
        });
        Self {
            key: Some(scheduled.key.into()),
            state: state.into(),
            due,
            runs: scheduled.runs.into_iter().map(v1::FollowUpRun::from).collect(),
            held,
            held_since,
            acknowledged,
        }
    }
}

impl From<FollowUpRun> for v1::FollowUpRun {
    fn from(run: FollowUpRun) -> Self {
        Self {
            late: optional_duration::write(run.late()),
            due: timestamp::write(run.due),
            at: timestamp::write(run.at),
            skipped: run.skipped,
            passed: run.passed,
            expected: run.expected,
            observed: run.observed,
        }
    }
}
