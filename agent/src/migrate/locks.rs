//! Trying again where a lock was not to be had, without ever making a queue.

use std::time::Duration;

use rand::RngExt;
use stopover_model::report::{Effect, LogLine, Session as Blocker, StepError};
use tokio::time::{Instant, sleep};

use super::job::ScriptStep;
use super::place::statement_error;
use super::stop::Stop;
use super::{Engine, Job};
use crate::postgres::{QueryError, describe_blocker};

/// Readers and writers get in between two tries; whoever frees the lock is noticed within this time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(300);
/// At most one line in this time tells of a wait.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// For how long a transaction is tried again.
pub(super) struct LockBudget {
    until: Option<Instant>,
    total: Duration,
    retries: u32,
    said: Option<Instant>,
}

impl LockBudget {
    pub(super) fn new(total: Duration) -> Self {
        Self { until: None, total, retries: 0, said: None }
    }

    /// Waits before the next try, or says that there is none. The transaction has let all its locks go.
    pub(super) async fn wait(
        &mut self,
        engine: &mut Engine<'_>,
        index: u32,
        error: QueryError,
        effect: Effect,
    ) -> Result<(), Stop> {
        let blockers = engine.observer.blockers();
        let now = Instant::now();
        let until = *self.until.get_or_insert(now + self.total);
        if now >= until {
            return Err(Stop::failed(self.exhausted(&engine.job, index, error, &blockers, effect)));
        }
        self.retries += 1;
        engine.tally.lock_retries += 1;
        let again_in = rand::rng().random_range(
            SHORTEST_PAUSE..=LONGEST_PAUSE.min(engine.job.lock_timeout * 3).max(SHORTEST_PAUSE * 2),
        );
        if self.said.is_none_or(|said| now - said >= BETWEEN_LINES) {
            self.said = Some(now);
            let again_in = Duration::from_millis(u64::try_from(again_in.as_millis()).unwrap_or_default());
            engine.context.reporter.line(LogLine::LockWait {
                index,
                retry: self.retries,
                again_in,
                blockers,
            });
        }
        let context = engine.context;
        let pause = async { tokio::join!(sleep(again_in), engine.observer.prepare(context)) };
        tokio::select! {
            _ = pause => Ok(()),
            () = context.cancel.cancelled() => Err(Stop::cancelled(effect)),
        }
    }

    fn exhausted(
        &self,
        job: &Job<'_>,
        index: u32,
        error: QueryError,
        blockers: &[Blocker],
        effect: Effect,
    ) -> StepError {
        let mut error = match job.steps.iter().find(|step: &&ScriptStep<'_>| step.index == index) {
            Some(step) => statement_error(job, step, error, effect),
            None => error.into_step_error("take a lock").with_effect(effect),
        };
        let time = stopover_model::duration::human(self.total);
        error.message = format!("{}; tried {} times in {time}", error.message, self.retries + 1);
        let who: Vec<_> = blockers.iter().map(describe_blocker).collect();
        error.hint = Some(if who.is_empty() {
            "try when the database is quieter, or raise the stage's lock_timeout".to_owned()
        } else {
            format!("blocked by {}: end it, or try when the database is quieter", who.join(", "))
        });
        error
    }
}
