//! Calls hooks. Answers that come later are taken elsewhere (`crate::callback`).
//!
//! A call is signed, and has the same id however often it is made; what is answered goes to the conductor. When a hook is
//! called, and what its answer means, is not decided here.

mod call;
mod said;

use std::sync::Arc;

use jiff::Timestamp;
use stopover_model::deployment::{Deployment, Stage};
use stopover_model::gate::{HookOutcome, hook_call_id};
use stopover_model::pipeline::{Hook, HookWay};

use crate::notify::{SendError, Sender};
use crate::store::HookAttempt;
pub(crate) use said::Said;

/// Where answers are taken that come later: behind it goes the token of the attempt.
pub(crate) const CALLBACK_PATH: &str = "/v1/hooks/";

/// Calls whom a pipeline names. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller {
    sender: Sender,
    /// How the server is reached by those who answer later.
    url: Arc<str>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    Now(HookOutcome),
    /// It calls back.
    Later,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(
        "it answered {status} without saying how it went: with 200 goes {{\"status\": \"passed\"}}, or \"failed\" and a \
         \"reason\"; 202 says that the answer comes later"
    )]
    Unclear { status: u16 },
}

impl CallError {
    /// Whether the same would come of it again and again.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Send(error) => error.is_final(),
            Self::Unclear { .. } => true,
        }
    }
}

impl Caller {
    #[must_use]
    pub fn new(sender: Sender, url: &str) -> Self {
        Self { sender, url: url.trim_end_matches('/').into() }
    }

    /// The body of a call, whose receiver may answer later with this token.
    pub(crate) fn body(
        &self,
        (deployment, stage, hook): (&Deployment, &Stage, &Hook),
        of: &HookAttempt,
        token: &str,
        now: Timestamp,
    ) -> Vec<u8> {
        let until = stage.gates.hooks.get(&hook.name).map(|run| run.until(hook));
        let callback = format!("{}{}{token}", self.url, CALLBACK_PATH);
        call::body((deployment, stage, hook), of.attempt, until, &callback, now).to_string().into_bytes()
    }

    /// Calls once.
    pub(crate) async fn call(
        &self,
        hook: &Hook,
        of: &HookAttempt,
        body: Vec<u8>,
        now: Timestamp,
    ) -> Result<Answered, CallError> {
        let HookWay::Webhook { url, secret } = &hook.way else { return Ok(Answered::Later) };
        let id = hook_call_id(&of.deployment, &of.hook, of.attempt);
        let answer = self.sender.post_signed((url, secret), &id, body, now).await?;
        if answer.status == 202 {
            return Ok(Answered::Later);
        }
        let answer = answer.successful()?;
        match Said::read(answer.body.as_bytes()) {
            Ok(said) => Ok(Answered::Now(said.outcome())),
            Err(_) => Err(CallError::Unclear { status: answer.status }),
        }
    }
}
