//! The work that this agent does and has done, known by deployment, step and attempt.
//!
//! Work belongs to nobody: a caller attaches to it, goes away and comes back. It ends by itself, by a wish to cancel it, or
//! because a newer attempt of its step came. On one database one step runs at a time, so that a backup's snapshot and an
//! index that waits for all snapshots never meet. Nothing here is kept on disk: after a restart the database itself says
//! what took effect.

mod history;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use stopover_model::backfill::Throttle;
use stopover_model::event::{StepKey, StepKind};
use stopover_model::id::{Attempt, DatabaseName, DeploymentId, RunId};
use stopover_model::report::{Effect, ErrorClass, Outcome, StepError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::step::Reporter;
use history::History;

/// A step of a deployment; its attempts follow one another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkKey {
    pub deployment: DeploymentId,
    pub step: StepKey,
}

/// One attempt of a step, running or finished.
#[derive(Debug)]
pub struct Work {
    pub run: RunId,
    pub attempt: Attempt,
    pub reporter: Reporter,
    cancel: CancellationToken,
    throttle: watch::Sender<Throttle>,
    outcome: watch::Sender<Option<Outcome>>,
}

/// What the work of an attempt is given.
#[derive(Debug, Clone)]
pub struct Begin {
    pub run: RunId,
    pub reporter: Reporter,
    pub cancel: CancellationToken,
    pub throttle: watch::Receiver<Throttle>,
}

/// Why there is no such work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("attempt {newest} of this step is known here, so an older one is not taken up")]
    Older { newest: Attempt },
    #[error("the command had to begin by {not_after}, and it is later than that by this machine's clock")]
    TooLate { not_after: Timestamp },
    #[error("this agent is stopping, and begins nothing new")]
    Stopping,
}

/// All work of this process.
#[derive(Debug, Default)]
pub struct Registry {
    history: Mutex<History>,
    databases: Mutex<HashMap<DatabaseName, Arc<tokio::sync::Mutex<()>>>>,
    tasks: TaskTracker,
}

impl Registry {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The attempt's work: what runs or ran, else new work made by `start`. A newer attempt ends the older one first.
    pub fn start_or_attach(
        &self,
        key: &WorkKey,
        attempt: Attempt,
        not_after: Timestamp,
        start: impl FnOnce(Begin) -> BoxFuture<'static, Outcome>,
    ) -> Result<Arc<Work>, Refused> {
        let mut history = self.history();
        if let Some(known) = history.get(key) {
            if known.attempt == attempt {
                return Ok(Arc::clone(known));
            }
            if known.attempt > attempt {
                return Err(Refused::Older { newest: known.attempt });
            }
        }
        if self.tasks.is_closed() {
            return Err(Refused::Stopping);
        }
        if Timestamp::now() > not_after {
            return Err(Refused::TooLate { not_after });
        }
        if let Some(older) = history.get(key) {
            older.cancel.cancel();
        }
        let work = Arc::new(Work::new(attempt));
        history.insert(key.clone(), Arc::clone(&work));
        drop(history);
        let turn = self.turn_on(&key.step.database);
        self.tasks.spawn(perform(Arc::clone(&work), key.step.kind, turn, start(work.begin())));
        Ok(work)
    }

    /// Asks an attempt to stop; whether it was running.
    pub fn cancel(&self, key: &WorkKey, attempt: Attempt) -> bool {
        let history = self.history();
        let running = history.get(key).filter(|work| work.attempt == attempt && !work.has_ended());
        running.inspect(|work| work.cancel.cancel()).is_some()
    }

    /// Tells an attempt that runs how fast its backfills may go; whether it was running.
    pub fn throttle(&self, key: &WorkKey, attempt: Attempt, throttle: Throttle) -> bool {
        let history = self.history();
        let running = history.get(key).filter(|work| work.attempt == attempt && !work.has_ended());
        match running {
            Some(work) => {
                work.throttle.send_replace(throttle);
                true
            }
            None => false,
        }
    }

    /// Takes no new work from here on; what runs goes on.
    pub fn close(&self) {
        self.tasks.close();
    }

    /// Asks everything that runs to stop.
    pub fn cancel_all(&self) {
        for work in self.history().all() {
            work.cancel.cancel();
        }
    }

    #[must_use]
    pub fn running(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until everything has ended, after [`Registry::close`].
    pub async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// What a step on this database holds while it runs; others that write there take it too.
    pub(crate) fn turn_on(&self, database: &DatabaseName) -> Arc<tokio::sync::Mutex<()>> {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(databases.entry(database.clone()).or_default())
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    fn new(attempt: Attempt) -> Self {
        let run = uuid::Uuid::new_v4().to_string();
        Self {
            // A UUID in lower case is a name by every rule.
            run: run.parse().unwrap_or_else(|_| unreachable!("a UUID is a run's id")),
            attempt,
            reporter: Reporter::new(),
            cancel: CancellationToken::new(),
            throttle: watch::Sender::default(),
            outcome: watch::Sender::new(None),
        }
    }

    fn begin(&self) -> Begin {
        Begin {
            run: self.run.clone(),
            reporter: self.reporter.clone(),
            cancel: self.cancel.clone(),
            throttle: self.throttle.subscribe(),
        }
    }

    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.outcome.borrow().is_some()
    }

    /// Becomes Some once, after the last line was reported.
    #[must_use]
    pub fn watch_outcome(&self) -> watch::Receiver<Option<Outcome>> {
        self.outcome.subscribe()
    }
}

async fn perform(
    work: Arc<Work>,
    kind: StepKind,
    turn: Arc<tokio::sync::Mutex<()>>,
    step: BoxFuture<'static, Outcome>,
) {
    let turn = wait_for_turn(&work, turn).await;
    let outcome = match turn {
        None => cancelled_before_it_began(),
        Some(_turn) => match AssertUnwindSafe(step).catch_unwind().await {
            Ok(outcome) => outcome,
            Err(panic) => outcome_of_panic(kind, panic.as_ref()),
        },
    };
    work.outcome.send_replace(Some(outcome));
}

async fn wait_for_turn(
    work: &Work,
    turn: Arc<tokio::sync::Mutex<()>>,
) -> Option<tokio::sync::OwnedMutexGuard<()>> {
    if let Ok(turn) = Arc::clone(&turn).try_lock_owned() {
        return (!work.cancel.is_cancelled()).then_some(turn);
    }
    work.reporter.message("waiting for the step that runs on this database to end");
    tokio::select! {
        biased;
        () = work.cancel.cancelled() => None,
        turn = turn.lock_owned() => Some(turn),
    }
}

fn cancelled_before_it_began() -> Outcome {
    let error = StepError::new(ErrorClass::Cancelled, "the step was cancelled before it began");
    Outcome::Failed { error, report: None }
}

/// Nobody can say how far a step had come that fell over a fault of the product.
fn outcome_of_panic(kind: StepKind, panic: &(dyn std::any::Any + Send)) -> Outcome {
    let what = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason was given".to_owned());
    tracing::error!(panic = %what.escape_debug(), "a step panicked");
    let message = format!("the agent fell over a fault of its own: {}", what.escape_debug());
    let error =
        StepError::new(ErrorClass::Internal, message).with_hint("please report it with the agent's log");
    match kind {
        StepKind::Migrate | StepKind::Rollback => {
            Outcome::Unknown { error: error.with_effect(Effect::Possible) }
        }
        _ => Outcome::Failed { error, report: None },
    }
}
