//! A step's call to its agent, and what comes back.

mod build;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use stopover_model::deployment::{Deployment, StepState};
use stopover_model::event::{StepKey, StepKind};
use stopover_model::id::{Attempt, RunId};
use stopover_model::report::{Effect, ErrorClass, LogLine, Outcome, Progress, StepError};
use stopover_proto::v1;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use super::Shared;
use super::message::{Message, Update};

/// A call that is being listened to. Dropping it stops listening; the agent goes on.
pub(super) struct Call {
    _listening: AbortOnDropHandle<()>,
    cancelled: bool,
}

/// Before a call that was lost is made again.
const PAUSE: Duration = Duration::from_millis(250);

/// Asks the agent for a running step, and listens.
pub(super) fn call(
    shared: &Arc<Shared>,
    deployment: &Deployment,
    actor: mpsc::WeakSender<Message>,
    step: StepKey,
    attempt: Attempt,
) -> Call {
    // What the log has of this attempt already is not sent again.
    let resume = match deployment.step(&step).map(|s| &s.state) {
        Some(StepState::Running { logged: Some((run, line)), .. }) => Some((run.clone(), *line)),
        _ => None,
    };
    let again = resume.is_some();
    let ask = build::ask(deployment, &step, (shared.clock)(), resume);
    let shared = Arc::clone(shared);
    let environment = deployment.stage(step.stage).map(|s| s.spec.environment.clone());
    let listening = tokio::spawn(async move {
        let teller = Teller { actor, step, attempt };
        let link = environment.and_then(|e| shared.registry.agent_of(&e, &teller.step.database));
        let ended = match (ask, link) {
            (Some(ask), Some(link)) => match ask.send(&shared.store, &link).await {
                Ok(updates) => listen(&teller, updates).await,
                Err(status) => Err(status),
            },
            (None, _) => Err(Status::internal("the step makes no sense")),
            (_, None) => Err(Status::unavailable("the agent has just gone")),
        };
        if let Err(status) = ended {
            teller.tell_status(&status, again).await;
        }
    });
    Call { _listening: AbortOnDropHandle::new(listening), cancelled: false }
}

impl Call {
    /// Asks the agent to stop the step, once.
    pub(super) fn cancel(
        &mut self,
        shared: &Arc<Shared>,
        deployment: &Deployment,
        step: &StepKey,
        attempt: Attempt,
    ) {
        if std::mem::replace(&mut self.cancelled, true) {
            return;
        }
        let environment = deployment.stage(step.stage).map(|s| s.spec.environment.clone());
        let Some(link) = environment.and_then(|e| shared.registry.agent_of(&e, &step.database)) else {
            return;
        };
        let request = v1::CancelRequest {
            deployment: deployment.id.to_string(),
            step: Some(step.clone().into()),
            attempt: attempt.0,
        };
        shared.tasks.spawn(async move {
            if let Err(status) = link.client().cancel(request).await {
                tracing::warn!(agent = %link.agent, %status, "could not ask the agent to cancel");
            }
        });
    }
}

/// Passes updates on to the actor, for as long as there is one.
struct Teller {
    actor: mpsc::WeakSender<Message>,
    step: StepKey,
    attempt: Attempt,
}

impl Teller {
    async fn tell(&self, update: Update) {
        if let Some(actor) = self.actor.upgrade() {
            let message = Message::Update { step: self.step.clone(), attempt: self.attempt, update };
            let _ = actor.send(message).await;
        }
    }

    /// What the end of a call without an outcome means.
    async fn tell_status(&self, status: &Status, again: bool) {
        let class = match status.code() {
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::ResourceExhausted => ErrorClass::Setup,
            Code::Aborted => ErrorClass::Fenced,
            Code::Unimplemented | Code::Internal | Code::NotFound | Code::OutOfRange | Code::DataLoss => {
                ErrorClass::Internal
            }
            _ => {
                tracing::info!(step = %self.step, %status, "the call to the agent was lost; its work may go on");
                tokio::time::sleep(PAUSE).await;
                return self.tell(Update::Lost).await;
            }
        };
        let message = format!("the agent refused: {}", status.message());
        let error = StepError::new(class, message);
        let may_have_acted = again && matches!(self.step.kind, StepKind::Migrate | StepKind::Rollback);
        let outcome = if may_have_acted {
            Outcome::Unknown { error: error.with_effect(Effect::Possible) }
        } else {
            Outcome::Failed { error, report: None }
        };
        self.tell(Update::Outcome(outcome)).await;
    }
}

async fn listen(teller: &Teller, mut updates: tonic::Streaming<v1::StepUpdate>) -> Result<(), Status> {
    while let Some(update) = updates.next().await {
        let update = update?;
        let run = update.run;
        match update.kind {
            Some(v1::step_update::Kind::Line(numbered)) => {
                let run: RunId = run.parse().map_err(nonsense)?;
                let line = LogLine::try_from(numbered.line.unwrap_or_default()).map_err(nonsense)?;
                teller.tell(Update::Line { run, line_number: numbered.line_number, line }).await;
            }
            Some(v1::step_update::Kind::Progress(progress)) => {
                let progress = Progress::try_from(progress).map_err(nonsense)?;
                teller.tell(Update::Progress(progress)).await;
            }
            Some(v1::step_update::Kind::Outcome(outcome)) => {
                let outcome = Outcome::try_from(outcome).map_err(nonsense)?;
                teller.tell(Update::Outcome(outcome)).await;
                return Ok(());
            }
            None => return Err(nonsense("an update without content")),
        }
    }
    Err(Status::unavailable("the agent's answer ended without an outcome"))
}

fn nonsense(why: impl std::fmt::Display) -> Status {
    Status::internal(format!(
        "the agent's report makes no sense ({why}); are agent and server of the same version?"
    ))
}
