//! The calls of a deployment's hooks: made until there is an answer, and again after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use stopover_model::cause;
use stopover_model::deployment::{Deployment, Stage};
use stopover_model::event::{Actor, Event, StageIndex};
use stopover_model::gate::HookOutcome;
use stopover_model::id::{Attempt, HookName, Seq};
use stopover_model::pipeline::Hook;
use stopover_proto::token::HookToken;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::message::{HookUpdate, Message};
use super::{ConductError, Conductor, Shared};
use crate::hooks::Answered;
use crate::store::HookAttempt;

/// Between two calls, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Those of one deployment.
#[derive(Default)]
pub(super) struct HookCalls {
    /// To be made as soon as the log has what they are for.
    due: Vec<(StageIndex, HookName, Attempt)>,
    calls: BTreeMap<(StageIndex, HookName), (Attempt, AbortOnDropHandle<()>)>,
    /// Why the last one came to nothing.
    errors: BTreeMap<HookName, String>,
}

impl HookCalls {
    pub(super) fn due(&mut self, stage: StageIndex, hook: HookName, attempt: Attempt) {
        self.due.push((stage, hook, attempt));
    }

    pub(super) fn errors(&self) -> BTreeMap<HookName, String> {
        self.errors.clone()
    }

    pub(super) fn failed(&mut self, of: &HookAttempt, error: String) {
        if self.calls.get(&(of.stage, of.hook.clone())).is_some_and(|(attempt, _)| *attempt == of.attempt) {
            self.errors.insert(of.hook.clone(), error);
        }
    }

    /// Nothing is known of them any more; those whose answer is waited for are called again.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Leaves what nobody waits for any more, and begins what is due.
    pub(super) fn keep_up(
        &mut self,
        shared: &Arc<Shared>,
        deployment: &Deployment,
        actor: &mpsc::WeakSender<Message>,
    ) {
        self.calls.retain(|(stage, hook), (attempt, _)| waits(deployment, *stage, hook, *attempt).is_some());
        for (index, name, attempt) in std::mem::take(&mut self.due) {
            let key = (index, name);
            if self.calls.contains_key(&key) {
                continue;
            }
            let Some((stage, hook)) = waits(deployment, index, &key.1, attempt) else { continue };
            self.errors.remove(&key.1);
            let of =
                HookAttempt { deployment: deployment.id.clone(), stage: index, hook: key.1.clone(), attempt };
            let token = HookToken::new(rand::random());
            let now = (shared.clock)();
            let body = shared.caller.body((deployment, stage, hook), &of, &token.expose(), now);
            let calling = Calling {
                shared: Arc::clone(shared),
                actor: actor.clone(),
                hook: hook.clone(),
                of,
                token,
                body,
            };
            let task = shared.tasks.spawn(calling.run());
            self.calls.insert(key, (attempt, AbortOnDropHandle::new(task)));
        }
    }
}

/// The stage and the hook, where the answer of this attempt is waited for.
fn waits<'a>(
    deployment: &'a Deployment,
    index: StageIndex,
    name: &HookName,
    attempt: Attempt,
) -> Option<(&'a Stage, &'a Hook)> {
    let stage = deployment.stage(index)?;
    stage.gates.hooks.get(name).filter(|run| run.attempt == attempt && run.ended.is_none())?;
    let hook = stage.spec.hooks.iter().find(|hook| hook.name == *name && stage.may_wait_for(hook))?;
    (deployment.outcome.is_none()).then_some((stage, hook))
}

/// One of them.
struct Calling {
    shared: Arc<Shared>,
    actor: mpsc::WeakSender<Message>,
    hook: Hook,
    of: HookAttempt,
    token: HookToken,
    body: Vec<u8>,
}

impl Calling {
    async fn run(self) {
        let pauses = ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE);
        let mut pauses = pauses.with_jitter().without_max_times().build();
        let mut is_kept = false;
        loop {
            let error = match self.call(&mut is_kept).await {
                Ok(Answered::Later) => return,
                Ok(Answered::Now(outcome)) => return self.tell(HookUpdate::Answered(outcome)).await,
                Err(Trouble { error, is_final: true }) => {
                    let outcome = HookOutcome::Failed { reason: error };
                    return self.tell(HookUpdate::Answered(outcome)).await;
                }
                Err(Trouble { error, .. }) => error,
            };
            tracing::warn!(deployment = %self.of.deployment, hook = %self.of.hook, attempt = %self.of.attempt, error,
                "a hook could not be called; trying again");
            self.tell(HookUpdate::Failed(error)).await;
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
        }
    }

    async fn call(&self, is_kept: &mut bool) -> Result<Answered, Trouble> {
        let now = (self.shared.clock)();
        if !*is_kept {
            // Before anybody could use it.
            let kept = self.shared.store.keep_hook_token(&self.token.hash(), &self.of, now).await;
            kept.map_err(|error| Trouble { error: cause::chain(&error), is_final: false })?;
            *is_kept = true;
        }
        let called = self.shared.caller.call(&self.hook, &self.of, self.body.clone(), now).await;
        called.map_err(|error| Trouble { error: cause::chain(&error), is_final: error.is_final() })
    }

    async fn tell(&self, update: HookUpdate) {
        if let Some(actor) = self.actor.upgrade() {
            let _ = actor.send(Message::Hook { of: self.of.clone(), update, reply: None }).await;
        }
    }
}

struct Trouble {
    error: String,
    is_final: bool,
}

impl Conductor {
    /// The receiver of a hook says how it went.
    pub async fn answer_hook(&self, of: HookAttempt, outcome: HookOutcome) -> Result<Seq, ConductError> {
        let (reply, answer) = oneshot::channel();
        let id = of.deployment.clone();
        let message = Message::Hook { of, update: HookUpdate::Answered(outcome), reply: Some(reply) };
        self.send(&id, message).await?;
        answer.await.unwrap_or(Err(ConductError::Stopping))
    }
}

/// What a receiver's answer becomes.
pub(super) fn event_of(of: HookAttempt, outcome: HookOutcome) -> Event {
    let by = Actor::Hook(of.hook.clone());
    Event::HookFinished { stage: of.stage, hook: of.hook, attempt: of.attempt, outcome, by }
}
