//! What a deployment's actor is told, by operators and by the calls to agents.

use std::collections::BTreeSet;

use stopover_model::deployment::Glance;
use stopover_model::event::StepKey;
use stopover_model::gate::HookOutcome;
use stopover_model::id::{DatabaseName, OperatorName, RunId, Seq};
use stopover_model::report::{LogLine, Outcome, Progress};
use tokio::sync::oneshot;

use super::{ConductError, Request};
use crate::store::HookAttempt;

/// What an actor is told.
pub(super) enum Message {
    Request {
        by: OperatorName,
        request: Request,
        reply: oneshot::Sender<Result<Seq, ConductError>>,
    },
    /// What there is to be shown, with these databases in full.
    Glance {
        also: BTreeSet<DatabaseName>,
        reply: oneshot::Sender<Glance>,
    },
    /// Of a hook that is called.
    Hook {
        of: HookAttempt,
        update: HookUpdate,
        reply: Option<oneshot::Sender<Result<Seq, ConductError>>>,
    },
    Update {
        step: StepKey,
        call: CallId,
        update: Update,
    },
}

/// What becomes of calling a hook.
pub(super) enum HookUpdate {
    Answered(HookOutcome),
    /// It is tried again.
    Failed(String),
}

/// One call of an actor's. What an earlier call still says is told apart by it: lines that came out of an old call after a
/// new one began would leave a gap behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallId(pub(super) u64);

/// What an agent says of a step.
pub(super) enum Update {
    Line {
        run: RunId,
        line_number: u64,
        line: LogLine,
    },
    Progress(Progress),
    Outcome(Box<Outcome>),
    /// The call ended without an outcome; the work may go on.
    Lost,
}
