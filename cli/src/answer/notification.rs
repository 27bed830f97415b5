//! What people were told.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use stopover_model::id::{DeploymentId, PipelineName};
use stopover_model::notice::NotificationState;
use stopover_model::pipeline::NoticeKind;
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NotificationRow {
    pub number: u64,
    pub target: String,
    pub pipeline: PipelineName,
    pub deployment: Option<DeploymentId>,
    pub kind: NoticeKind,
    pub subject: String,
    pub state: NotificationState,
    /// That came to nothing.
    pub tries: u32,
    pub error: Option<String>,
    pub created_at: Timestamp,
    /// None: it is on its way.
    pub settled_at: Option<Timestamp>,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    pub target: String,
    /// None: it arrived.
    pub error: Option<String>,
    #[serde(with = "stopover_model::duration")]
    pub took: Duration,
}

impl TryFrom<v1::Notification> for NotificationRow {
    type Error = InvalidWire;

    fn try_from(wire: v1::Notification) -> Result<Self, InvalidWire> {
        Ok(Self {
            number: wire.number,
            target: wire.target,
            pipeline: field::name::read(wire.pipeline, "pipeline")?,
            deployment: field::optional_name::read(wire.deployment, "deployment")?,
            kind: field::enumeration::read(wire.kind, "kind")?,
            subject: wire.subject,
            state: field::enumeration::read(wire.state, "state")?,
            tries: wire.tries,
            error: field::optional_text::read(wire.error, "error")?,
            created_at: field::timestamp::read(wire.created_at, "created_at")?,
            settled_at: field::optional_timestamp::read(wire.settled_at, "settled_at")?,
        })
    }
}

impl TryFrom<v1::test_notifications_response::Trial> for Trial {
    type Error = InvalidWire;

    fn try_from(wire: v1::test_notifications_response::Trial) -> Result<Self, InvalidWire> {
        Ok(Self {
            target: wire.target,
            error: field::optional_text::read(wire.error, "error")?,
            took: field::duration::read(wire.took, "took")?,
        })
    }
}
