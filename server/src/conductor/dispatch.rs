//! A step's call to its agent, and what comes back. Migrations that follow one another may share a call.

mod build;
mod needed;

pub(super) use build::bundles;
pub(super) use needed::Affected;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use stopover_model::deployment::{Deployment, Step, StepState};
use stopover_model::event::{StepKey, StepKind};
use stopover_model::gate::window;
use stopover_model::id::{Attempt, EnvironmentName, RunId};
use stopover_model::report::{Effect, ErrorClass, LogLine, Outcome, Progress, StepError, StepReport};
use stopover_proto::convert::field::optional_duration;
use stopover_proto::v1;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use super::Shared;
use super::message::{CallId, Message, Update};
use crate::registry::Registry;

/// A call that is being listened to. Dropping it stops listening; the agent goes on.
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) attempt: Attempt,
    /// Until when the agent lets batches begin, as it was last told.
    batches_until: Option<Timestamp>,
    _listening: Arc<AbortOnDropHandle<()>>,
    cancelling: Option<AbortOnDropHandle<()>>,
    withdrawing: Option<AbortOnDropHandle<()>>,
}

/// A step to call, its attempt, and whether nobody can have asked for it before.
pub(super) type Due = (StepKey, Attempt, bool);

/// What is known before a call is made.
pub(super) struct Calling {
    pub(super) actor: mpsc::WeakSender<Message>,
    pub(super) step: StepKey,
    pub(super) attempt: Attempt,
    pub(super) id: CallId,
    /// Nobody can have asked for this attempt before.
    pub(super) first: bool,
    /// The calls of this step that were lost just before.
    pub(super) lost: u32,
}

/// Before a call that was lost is made again: at first, and at most while nothing changes.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// Calls that may be lost one after the other before it is more than a restart.
const MANY_LOST: u32 = 5;
/// Before an agent that knew nothing to cancel is asked again, at first and at most.
const CANCEL_AGAIN: Duration = Duration::from_millis(250);
const CANCEL_AGAIN_AT_MOST: Duration = Duration::from_secs(8);

/// Puts the migrations of one database that an agent is to have together into one call each; they come in their order.
pub(super) fn together(deployment: &Deployment, due: Vec<Due>) -> Vec<Vec<Due>> {
    let mut calls: Vec<Vec<Due>> = Vec::new();
    for next in due {
        let behind = deployment.step(&next.0).is_some_and(Step::is_behind);
        let before = calls.iter_mut().find(|call| {
            let follows = |(step, ..): &Due| step.stage == next.0.stage && step.database == next.0.database;
            behind && call.last().is_some_and(|last| last.0.kind == StepKind::Migrate && follows(last))
        });
        match before {
            Some(call) => call.push(next),
            None => calls.push(vec![next]),
        }
    }
    calls
}

/// Asks the agent for running steps, and listens.
pub(super) fn call(
    shared: &Arc<Shared>,
    deployment: &Deployment,
    calling: Vec<Calling>,
) -> Vec<(StepKey, Call)> {
    let Some(first) = calling.first() else { return Vec::new() };
    let asks: Option<Vec<_>> = calling.iter().map(|one| ask_for(shared, deployment, one)).collect();
    let ask = asks.and_then(build::in_one);
    let environment = environment_of(deployment, &first.step);
    let database = first.step.database.clone();
    let now = (shared.clock)();
    let about = calling
        .iter()
        .map(|one| (one.step.clone(), one.id, one.attempt, batches_until(deployment, &one.step, now)));
    let about: Vec<_> = about.collect();
    let shared = Arc::clone(shared);
    let listening = tokio::spawn(async move {
        let link = environment.and_then(|e| shared.registry.agent_of(&e, &database));
        // An agent that was asked before may have acted, whatever it says now.
        let mut was_taken = false;
        let mut left = calling.as_slice();
        let ended = match (ask, link) {
            (Some(ask), Some(link)) => match ask.send(&shared.store, &shared.affected, &link).await {
                Ok(updates) => {
                    was_taken = true;
                    listen(&mut left, updates).await
                }
                Err(status) => Err(status),
            },
            (None, _) => Err(Status::internal("the step makes no sense")),
            (_, None) => Err(Status::unavailable("the agent has just gone")),
        };
        if let Err(status) = ended {
            tell_all(left, &shared.registry, &status, was_taken).await;
        }
    });
    let listening = Arc::new(AbortOnDropHandle::new(listening));
    let call = |(step, id, attempt, batches_until)| {
        let alive = Arc::clone(&listening);
        (step, Call { id, attempt, batches_until, _listening: alive, cancelling: None, withdrawing: None })
    };
    about.into_iter().map(call).collect()
}

fn ask_for(shared: &Shared, deployment: &Deployment, calling: &Calling) -> Option<build::Ask> {
    // What the log has of this attempt already is not sent again.
    let resume = match deployment.step(&calling.step).map(|s| &s.state) {
        Some(StepState::Running { logged: Some((run, line)), .. }) => Some((run.clone(), *line)),
        _ => None,
    };
    build::ask(deployment, &calling.step, (shared.clock)(), resume)
}

/// Passes on how a call ended to those that it has left without an outcome. The actor hears of a lost call at once of all
/// of them.
async fn tell_all(left: &[Calling], registry: &Registry, status: &Status, was_taken: bool) {
    let Some((first, behind)) = left.split_first() else { return };
    if refusal(status).is_none() {
        first.say_lost(status);
        first.pause(registry).await;
        for calling in left {
            calling.tell(Update::Lost).await;
        }
        return;
    }
    first.tell_refusal(status, was_taken || !first.first).await;
    for calling in behind {
        if was_taken || !calling.first {
            calling.tell_refusal(status, true).await;
        } else {
            let why = format!("the agent refused: {}", status.message());
            calling.tell(Update::Outcome(Box::new(Outcome::NotBegun { why }))).await;
        }
    }
}

fn environment_of(deployment: &Deployment, step: &StepKey) -> Option<EnvironmentName> {
    deployment.stage(step.stage).map(|s| s.spec.environment.clone())
}

impl Call {
    /// Asks the agent to stop the step, until it has heard: the wish may come before the work that it is about.
    pub(super) fn cancel(&mut self, shared: &Shared, deployment: &Deployment, step: &StepKey) {
        if self.cancelling.is_none() {
            self.cancelling = self.asking(shared, deployment, step, false);
        }
    }

    /// Tells the agent until when batches may begin, where that has changed.
    pub(super) fn keep_to_window(&mut self, shared: &Shared, deployment: &Deployment, step: &StepKey) {
        let until = batches_until(deployment, step, (shared.clock)());
        if until != self.batches_until {
            self.batches_until = until;
            throttle(shared, deployment, step, self.attempt);
        }
    }

    /// Asks the agent to leave the step, if its turn has not come.
    pub(super) fn withdraw(&mut self, shared: &Shared, deployment: &Deployment, step: &StepKey) {
        if self.withdrawing.is_none() {
            self.withdrawing = self.asking(shared, deployment, step, true);
        }
    }

    fn asking(
        &self,
        shared: &Shared,
        deployment: &Deployment,
        step: &StepKey,
        only_behind: bool,
    ) -> Option<AbortOnDropHandle<()>> {
        let environment = environment_of(deployment, step)?;
        let request = v1::CancelRequest {
            deployment: deployment.id.to_string(),
            step: Some(step.clone().into()),
            attempt: self.attempt.0,
            only_behind,
        };
        let asking = ask_to_cancel(shared.registry.clone(), environment, step.clone(), request);
        Some(AbortOnDropHandle::new(tokio::spawn(asking)))
    }
}

/// Tells the agent how fast the backfills of a running step may go, and until when. Where it can't be told, the next call does.
pub(super) fn throttle(shared: &Shared, deployment: &Deployment, step: &StepKey, attempt: Attempt) {
    let link = environment_of(deployment, step).and_then(|e| shared.registry.agent_of(&e, &step.database));
    let Some(link) = link else { return };
    let now = (shared.clock)();
    let left = |until: Timestamp| Duration::try_from(now.duration_until(until)).unwrap_or_default();
    let within = batches_until(deployment, step, now).map(left);
    let request = v1::ThrottleRequest {
        deployment: deployment.id.to_string(),
        step: Some(step.clone().into()),
        attempt: attempt.0,
        throttle: Some(deployment.throttle.clone().into()),
        batches_within: optional_duration::write(within),
    };
    let step = step.clone();
    shared.tasks.spawn(async move {
        if let Err(status) = link.client().throttle(request).await {
            tracing::warn!(agent = %link.agent, %step, %status, "could not tell the agent how fast a backfill may go");
        }
    });
}

/// Until when the batches of a step's backfills may begin.
fn batches_until(deployment: &Deployment, step: &StepKey, now: Timestamp) -> Option<Timestamp> {
    let stage = deployment.stage(step.stage).filter(|_| step.kind == StepKind::Migrate)?;
    window::backfills_until(&stage.spec, &stage.gates, now)
}

/// Ends when the agent has heard; dropped with the call when the step's outcome is there.
async fn ask_to_cancel(
    registry: Registry,
    environment: EnvironmentName,
    step: StepKey,
    request: v1::CancelRequest,
) {
    let mut pause = CANCEL_AGAIN;
    loop {
        if let Some(link) = registry.agent_of(&environment, &step.database) {
            match link.client().cancel(request.clone()).await {
                Ok(answer) if answer.get_ref().was_running => return,
                Ok(_) => {}
                Err(status) => {
                    tracing::warn!(agent = %link.agent, %step, %status, "could not ask the agent to cancel; trying again");
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(CANCEL_AGAIN_AT_MOST);
    }
}

impl Calling {
    /// Passes updates on to the actor, for as long as there is one.
    async fn tell(&self, update: Update) {
        if let Some(actor) = self.actor.upgrade() {
            let message = Message::Update { step: self.step.clone(), call: self.id, update };
            let _ = actor.send(message).await;
        }
    }

    fn say_lost(&self, status: &Status) {
        if self.lost < MANY_LOST {
            tracing::info!(step = %self.step, %status, "the call to the agent was lost; its work may go on");
        } else {
            tracing::warn!(step = %self.step, %status, lost = self.lost,
                "the agent takes no call although it is connected; look at its log, and start it again");
        }
    }

    /// What a refusal means for the step. A call that was lost is none.
    async fn tell_refusal(&self, status: &Status, may_have_acted: bool) {
        let Some(class) = refusal(status) else { return self.tell(Update::Lost).await };
        let mut error = StepError::new(class, format!("the agent refused: {}", status.message()));
        if status.code() == Code::DeadlineExceeded {
            error = error.with_hint("compare the clocks of the agent's machine and of the server's");
        }
        let writes = matches!(self.step.kind, StepKind::Migrate | StepKind::Rollback);
        // Where a newer attempt is known to the agent, that one may have acted.
        let outcome = if writes && (may_have_acted || class == ErrorClass::Fenced) {
            Outcome::Unknown { error: error.with_effect(Effect::Possible) }
        } else {
            Outcome::Failed { error, report: None }
        };
        self.tell(Update::Outcome(Box::new(outcome))).await;
    }

    /// Longer from one lost call to the next, but not beyond the next change of the world: an agent that comes back is
    /// asked at once.
    async fn pause(&self, registry: &Registry) {
        let mut changes = registry.changes();
        sleep(PAUSE).await;
        let whole = PAUSE.saturating_mul(2_u32.saturating_pow(self.lost)).min(LONGEST_PAUSE);
        let _ = timeout(whole.saturating_sub(PAUSE), changes.changed()).await;
    }
}

/// What kind of error an agent's refusal is; None where the connection was lost and nothing was refused.
fn refusal(status: &Status) -> Option<ErrorClass> {
    // A status with a source was not sent by the agent: it was made here, of what broke on the way.
    if std::error::Error::source(status).is_some() {
        return None;
    }
    match status.code() {
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::PermissionDenied
        | Code::ResourceExhausted => Some(ErrorClass::Setup),
        Code::Aborted => Some(ErrorClass::Fenced),
        // The command came too late. The next attempt's may come in time.
        Code::DeadlineExceeded => Some(ErrorClass::Transient),
        Code::Unimplemented | Code::Internal | Code::NotFound | Code::OutOfRange | Code::DataLoss => {
            Some(ErrorClass::Internal)
        }
        _ => None,
    }
}

/// Passes on what is said of each of them, the first one first; `left` are those that have no outcome yet.
async fn listen(left: &mut &[Calling], mut updates: tonic::Streaming<v1::StepUpdate>) -> Result<(), Status> {
    let mut place = 0;
    while let Some(update) = updates.next().await {
        let update = update?;
        let Some((calling, behind)) = left.split_first().filter(|_| update.place == place) else {
            return Err(nonsense("an update about another migration than the one whose turn it is"));
        };
        let run = update.run;
        match update.kind {
            Some(v1::step_update::Kind::Line(numbered)) => {
                let run: RunId = run.parse().map_err(nonsense)?;
                let line = LogLine::try_from(numbered.line.unwrap_or_default()).map_err(nonsense)?;
                calling.tell(Update::Line { run, line_number: numbered.line_number, line }).await;
            }
            Some(v1::step_update::Kind::Progress(progress)) => {
                let progress = Progress::try_from(progress).map_err(nonsense)?;
                calling.tell(Update::Progress(progress)).await;
            }
            Some(v1::step_update::Kind::Outcome(outcome)) => {
                let outcome = Outcome::try_from(outcome).map_err(nonsense)?;
                if report_of(&outcome).is_some_and(|report| !calling.step.kind.reports(report)) {
                    return Err(nonsense("the report is another step's"));
                }
                calling.tell(Update::Outcome(Box::new(outcome))).await;
                *left = behind;
                place += 1;
                if left.is_empty() {
                    return Ok(());
                }
            }
            None => return Err(nonsense("an update without content")),
        }
    }
    Err(Status::unavailable("the agent's answer ended without an outcome"))
}

fn report_of(outcome: &Outcome) -> Option<&StepReport> {
    match outcome {
        Outcome::Succeeded { report } => Some(report),
        Outcome::Failed { report, .. } => report.as_ref(),
        Outcome::Unknown { .. } | Outcome::NotBegun { .. } => None,
    }
}

fn nonsense(why: impl std::fmt::Display) -> Status {
    Status::internal(format!(
        "the agent's report makes no sense ({why}); are agent and server of the same version?"
    ))
}
