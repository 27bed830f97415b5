//! The work that this agent does and has done, known by deployment, step and attempt.
//!
//! Work belongs to nobody: a caller attaches to it, goes away and comes back. It ends by itself, by a wish to cancel it, or
//! because a newer attempt of its step came. On one database one step runs at a time, so that a backup's snapshot and an
//! index that waits for all snapshots never meet. Work may stand behind other work: it begins by itself when that has
//! succeeded, and never otherwise. Nothing here is kept on disk: after a restart the database itself says what took effect.

mod history;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use stopover_model::backfill::Throttle;
use stopover_model::event::{StepKey, StepKind};
use stopover_model::id::{Attempt, DatabaseName, DeploymentId, RunId};
use stopover_model::report::{Effect, ErrorClass, Outcome, StepError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::step::{Pass, Reporter};
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
    batches_until: watch::Sender<Option<Instant>>,
    outcome: watch::Sender<Option<Outcome>>,
    turn: watch::Sender<Turn>,
    pass: Pass,
    /// The database is free, whatever the outcome will say.
    passed: CancellationToken,
    /// Callers who follow it now.
    followers: AtomicUsize,
}

/// Whether work may begin, or has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Behind,
    Has,
    /// It never begins.
    Left,
}

/// When work begins.
#[derive(Debug, Clone)]
pub enum Place {
    /// As soon as nothing else runs on its database.
    First,
    /// Once this attempt of a step has succeeded, or has let others pass.
    Behind(WorkKey, Attempt),
    /// It only looks. What stands behind other work is left by it.
    Look,
}

/// Somebody who follows a piece of work, until this is dropped.
#[derive(Debug)]
pub struct Following(Arc<Work>);

/// What the work of an attempt is given.
#[derive(Debug, Clone)]
pub struct Begin {
    pub run: RunId,
    pub reporter: Reporter,
    pub cancel: CancellationToken,
    pub throttle: watch::Receiver<Throttle>,
    pub pass: Pass,
    pub batches_until: watch::Receiver<Option<Instant>>,
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

    /// The attempt's work: what runs or ran, else new work made by `start`, which may have to wait for its turn. A newer
    /// attempt ends the older one first.
    pub fn start_or_attach(
        &self,
        key: &WorkKey,
        attempt: Attempt,
        not_after: Timestamp,
        place: &Place,
        start: impl FnOnce(Begin) -> BoxFuture<'static, Outcome>,
    ) -> Result<Arc<Work>, Refused> {
        let mut history = self.history();
        if let Some(known) = history.get(key) {
            if known.attempt == attempt {
                if matches!(place, Place::Look) {
                    known.leave();
                }
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
        let before = match place {
            Place::Behind(before, of) => {
                let Some(work) = history.get(before).filter(|work| work.attempt == *of) else {
                    let why = format!("{}, which it is to follow, is not known to this agent", before.step);
                    return Ok(Work::over(attempt, Outcome::NotBegun { why }));
                };
                work.pass.follow();
                Some(Arc::clone(work))
            }
            Place::First | Place::Look => None,
        };
        let work = Arc::new(Work::new(attempt, if before.is_some() { Turn::Behind } else { Turn::Has }));
        history.insert(key.clone(), Arc::clone(&work));
        drop(history);
        let performance = Performance {
            work: Arc::clone(&work),
            key: key.clone(),
            not_after,
            tasks: self.tasks.clone(),
            database: self.turn_on(&key.step.database),
        };
        self.tasks.spawn(performance.run(before, start(work.begin())));
        Ok(work)
    }

    /// Leaves an attempt that stands behind other work; whether it was running.
    pub fn leave(&self, key: &WorkKey, attempt: Attempt) -> bool {
        let history = self.history();
        let running = history.get(key).filter(|work| work.attempt == attempt && !work.has_ended());
        running.inspect(|work| work.leave()).is_some()
    }

    /// Asks an attempt to stop; whether it was running.
    pub fn cancel(&self, key: &WorkKey, attempt: Attempt) -> bool {
        let history = self.history();
        let running = history.get(key).filter(|work| work.attempt == attempt && !work.has_ended());
        running.inspect(|work| work.cancel.cancel()).is_some()
    }

    /// Tells an attempt that runs how fast its backfills may go, and until when; whether it was running.
    pub fn throttle(
        &self,
        key: &WorkKey,
        attempt: Attempt,
        throttle: Throttle,
        batches_until: Option<Instant>,
    ) -> bool {
        let history = self.history();
        let running = history.get(key).filter(|work| work.attempt == attempt && !work.has_ended());
        match running {
            Some(work) => {
                work.throttle.send_replace(throttle);
                work.batches_until.send_replace(batches_until);
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
    fn new(attempt: Attempt, turn: Turn) -> Self {
        let run = uuid::Uuid::new_v4().to_string();
        Self {
            // A UUID in lower case is a name by every rule.
            run: run.parse().unwrap_or_else(|_| unreachable!("a UUID is a run's id")),
            attempt,
            reporter: Reporter::new(),
            cancel: CancellationToken::new(),
            throttle: watch::Sender::default(),
            batches_until: watch::Sender::default(),
            outcome: watch::Sender::new(None),
            turn: watch::Sender::new(turn),
            pass: Pass::default(),
            passed: CancellationToken::new(),
            followers: AtomicUsize::new(0),
        }
    }

    /// Work that is over before it began, and that nobody remembers.
    #[must_use]
    pub fn over(attempt: Attempt, outcome: Outcome) -> Arc<Self> {
        let work = Self::new(attempt, Turn::Left);
        work.outcome.send_replace(Some(outcome));
        Arc::new(work)
    }

    fn leave(&self) {
        self.take_turn(Turn::Left);
    }

    /// Whether it may begin. This is decided once.
    fn take_turn(&self, turn: Turn) -> bool {
        self.turn.send_if_modified(|now| {
            let undecided = *now == Turn::Behind;
            if undecided {
                *now = turn;
            }
            undecided
        });
        *self.turn.borrow() == Turn::Has
    }

    #[must_use]
    pub fn follow(self: &Arc<Self>) -> Following {
        self.followers.fetch_add(1, Ordering::Relaxed);
        Following(Arc::clone(self))
    }

    fn begin(&self) -> Begin {
        Begin {
            run: self.run.clone(),
            reporter: self.reporter.clone(),
            cancel: self.cancel.clone(),
            throttle: self.throttle.subscribe(),
            pass: self.pass.clone(),
            batches_until: self.batches_until.subscribe(),
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

impl Drop for Following {
    fn drop(&mut self) {
        self.0.followers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::ops::Deref for Following {
    type Target = Work;

    fn deref(&self) -> &Work {
        &self.0
    }
}

/// Work on its way from being asked for to its outcome.
struct Performance {
    work: Arc<Work>,
    key: WorkKey,
    not_after: Timestamp,
    tasks: TaskTracker,
    database: Arc<tokio::sync::Mutex<()>>,
}

impl Performance {
    async fn run(self, before: Option<Arc<Work>>, step: BoxFuture<'static, Outcome>) {
        let outcome = match before {
            Some(before) => self.after(&before, step).await,
            None => self.perform(step).await,
        };
        self.work.outcome.send_replace(Some(outcome));
    }

    /// Waits until the work before has succeeded, or has let others pass. Whoever asked may have been away since: then nothing new is begun.
    async fn after(&self, before: &Work, step: BoxFuture<'static, Outcome>) -> Outcome {
        let not_begun = |why: &str| Outcome::NotBegun { why: why.to_owned() };
        let (mut ended, mut turn) = (before.watch_outcome(), self.work.turn.subscribe());
        let left = turn.wait_for(|turn| *turn == Turn::Left);
        let succeeded = tokio::select! {
            biased;
            () = self.work.cancel.cancelled() => return not_begun("it was cancelled before its turn came"),
            _ = left => return not_begun("it was withdrawn before its turn came"),
            ended = ended.wait_for(Option::is_some) => {
                ended.is_ok_and(|outcome| matches!(*outcome, Some(Outcome::Succeeded { .. })))
            }
            () = before.passed.cancelled() => true,
        };
        if !succeeded {
            return not_begun("the migration before it did not succeed");
        }
        let asked_for = self.work.followers.load(Ordering::Relaxed) > 0 || Timestamp::now() <= self.not_after;
        if !asked_for || self.tasks.is_closed() {
            return not_begun("when its turn came, nobody asked for it any more");
        }
        if !self.work.take_turn(Turn::Has) {
            return not_begun("it was withdrawn before its turn came");
        }
        self.perform(step).await
    }

    async fn perform(&self, step: BoxFuture<'static, Outcome>) -> Outcome {
        match wait_for_turn(&self.work, Arc::clone(&self.database)).await {
            None => cancelled_before_it_began(),
            Some(turn) => match self.let_pass(turn, AssertUnwindSafe(step).catch_unwind()).await {
                Ok(outcome) => outcome,
                Err(panic) => outcome_of_panic(self.key.step.kind, panic.as_ref()),
            },
        }
    }

    /// The turn ends with the step, or before it where the step says so.
    async fn let_pass<T>(&self, turn: tokio::sync::OwnedMutexGuard<()>, step: impl Future<Output = T>) -> T {
        tokio::pin!(step);
        tokio::select! {
            biased;
            ended = &mut step => return ended,
            () = self.work.pass.given() => {}
        }
        drop(turn);
        self.work.passed.cancel();
        step.await
    }
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
