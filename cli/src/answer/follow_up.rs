//! What is looked at after a deployment has ended.

use jiff::Timestamp;
use serde::Serialize;
use stopover_model::follow_up::{Acknowledged, FollowUpKey, FollowUpRun, Held};
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

/// A follow-up with its history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FollowUpAnswer {
    pub key: FollowUpKey,
    pub state: FollowUpWord,
    pub due: Option<Timestamp>,
    pub runs: Vec<FollowUpRun>,
    pub held: Option<Held>,
    pub acknowledged: Option<Acknowledged>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowUpWord {
    Waits,
    Failed,
    Through,
    Cancelled,
}

impl FollowUpAnswer {
    /// When it is or was first due: the order in which they come.
    #[must_use]
    pub fn first_due(&self) -> Option<Timestamp> {
        self.runs.first().map(|run| run.due).or(self.due)
    }
}

impl TryFrom<v1::FollowUpStatus> for FollowUpAnswer {
    type Error = InvalidWire;

    fn try_from(wire: v1::FollowUpStatus) -> Result<Self, InvalidWire> {
        let state = match wire.state() {
            v1::FollowUpState::Waits => FollowUpWord::Waits,
            v1::FollowUpState::Failed => FollowUpWord::Failed,
            v1::FollowUpState::Through => FollowUpWord::Through,
            v1::FollowUpState::Cancelled => FollowUpWord::Cancelled,
            v1::FollowUpState::Unspecified => return Err(InvalidWire::new("state", "is not set")),
        };
        let held_since = field::optional_timestamp::read(wire.held_since, "held_since")?;
        let acknowledged = wire.acknowledged.map(|word| {
            Ok::<_, InvalidWire>(Acknowledged {
                by: field::name::read(word.by, "acknowledged.by")?,
                reason: word.reason,
                at: field::timestamp::read(word.at, "acknowledged.at")?,
            })
        });
        Ok(Self {
            key: field::message::read(wire.key, "key")?,
            state,
            due: field::optional_timestamp::read(wire.due, "due")?,
            runs: wire.runs.into_iter().map(run).collect::<Result<_, _>>()?,
            held: held_since.map(|since| Held { since, why: wire.held }),
            acknowledged: acknowledged.transpose()?,
        })
    }
}

fn run(wire: v1::FollowUpRun) -> Result<FollowUpRun, InvalidWire> {
    Ok(FollowUpRun {
        due: field::timestamp::read(wire.due, "runs.due")?,
        at: field::timestamp::read(wire.at, "runs.at")?,
        skipped: wire.skipped,
        passed: wire.passed,
        expected: wire.expected,
        observed: wire.observed,
    })
}
