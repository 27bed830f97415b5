//! Trying again where a lock was not to be had, without ever making a queue.
//!
//! After a try the locks are free for at least as long as it may have kept others waiting. Then it is the blockers' end
//! that matters: another try while they are there would only stop everybody once more.

use std::time::Duration;

use rand::RngExt;
use stopover_model::duration::human;
use stopover_model::report::{Effect, LogLine, Session as Blocker, StepError};
use tokio::time::{Instant, sleep_until};

use super::job::ScriptStep;
use super::place::statement_error;
use super::stop::Stop;
use super::{Engine, Job};
use crate::postgres::{QueryError, Session};

/// Readers and writers get in between two tries, however short the stage's `lock_timeout`.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// Whoever frees the lock, unseen, is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_millis(300);
/// For so long at most the blockers' end is waited for: one may let go without ending.
const LONGEST_WATCH: Duration = Duration::from_secs(5);
/// At most one line in this time tells of a wait.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// For how long a transaction is tried again.
pub(super) struct LockBudget {
    began: Option<Instant>,
    total: Duration,
    retries: u32,
    /// When a wait was last told of, and whether with whom it was for.
    said: Option<(Instant, bool)>,
}

impl LockBudget {
    pub(super) fn new(total: Duration) -> Self {
        Self { began: None, total, retries: 0, said: None }
    }

    /// Waits before the next try, or says that there is none. The transaction has let all its locks go.
    pub(super) async fn wait(
        &mut self,
        engine: &mut Engine<'_>,
        session: &Session,
        index: u32,
        error: QueryError,
        effect: Effect,
    ) -> Result<(), Stop> {
        if effect == Effect::None {
            engine.in_time()?;
        }
        let blockers = engine.observer.blockers();
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        let until = began + self.total;
        if now >= until {
            return Err(Stop::failed(self.exhausted(&engine.job, index, error, &blockers, effect)));
        }
        self.retries += 1;
        engine.tally.lock_retries += 1;
        let pause = Pause::after(engine.job.locks.lock_timeout, engine.observer.knows_blockers());
        let latest = (now + pause.longest).min(until);
        let named = !blockers.is_empty();
        if self.said.is_none_or(|(at, was_named)| at + BETWEEN_LINES <= now || named && !was_named) {
            self.said = Some((now, named));
            let within = u64::try_from((latest - now).as_millis()).unwrap_or_default().max(1);
            engine.context.reporter.line(LogLine::LockWait {
                index,
                retry: self.retries,
                again_in: Duration::from_millis(within),
                blockers,
            });
        }
        let context = engine.context;
        let vacuumed = engine.observer.vacuumed();
        let watching = async {
            if let Some(table) = vacuumed {
                return end_vacuum(session, &table).await;
            }
            tokio::join!(sleep_until((now + pause.shortest).min(until)), engine.observer.prepare(context));
            // The longer it has taken, the less a moment more matters.
            let between_looks = (began.elapsed() / 40).clamp(SHORTEST_PAUSE, LONGEST_PAUSE / 2);
            tokio::select! {
                () = sleep_until(latest) => {}
                () = engine.observer.until_blockers_end(between_looks) => {}
            }
        };
        tokio::select! {
            () = watching => Ok(()),
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
        let times = if self.retries == 0 { "once".to_owned() } else { format!("{} times", self.retries + 1) };
        error.message = format!("{}; tried {times} in {}", error.message, human(self.total));
        let who: Vec<_> = blockers.iter().map(ToString::to_string).collect();
        error.hint = Some(if who.is_empty() {
            "try when the database is quieter, or raise the stage's lock_timeout or lock_retry_for".to_owned()
        } else {
            format!(
                "blocked by {}: end it, or try when the database is quieter, or raise the stage's lock_retry_for",
                who.join(", ")
            )
        });
        error
    }
}

/// An automatic VACUUM gives way to whoever has waited for it as long as `deadlock_timeout`, and no try waits so long. This
/// waits for a lock that VACUUM alone keeps from it, and that keeps nobody from reading and writing.
async fn end_vacuum(session: &Session, table: &str) {
    let lock = format!(
        "BEGIN; SELECT pg_catalog.set_config('lock_timeout', ((extract(epoch FROM \
             pg_catalog.current_setting('deadlock_timeout')::pg_catalog.interval) * 1000)::bigint + 1000)::text, true); \
         LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE"
    );
    // One that keeps the transaction numbers from running out does not give way; the next try shows who is there.
    let _ = session.client().batch_execute(&lock).await;
    let _ = session.client().batch_execute("ROLLBACK").await;
}

/// How long to let others pass before the next try.
#[derive(Debug, Clone, Copy)]
struct Pause {
    shortest: Duration,
    /// Where nobody is seen to end before.
    longest: Duration,
}

impl Pause {
    fn after(lock_timeout: Duration, blockers_are_known: bool) -> Self {
        let mut random = rand::rng();
        if blockers_are_known {
            let shortest = lock_timeout.mul_f64(random.random_range(0.5..=1.0));
            let longest = lock_timeout.mul_f64(random.random_range(20.0..=40.0));
            return Self {
                shortest: shortest.clamp(SHORTEST_PAUSE, LONGEST_PAUSE / 2),
                longest: longest.clamp(LONGEST_PAUSE, LONGEST_WATCH),
            };
        }
        let pause = lock_timeout.mul_f64(random.random_range(0.5..=3.0));
        let pause = pause.clamp(SHORTEST_PAUSE.mul_f64(random.random_range(1.0..=2.0)), LONGEST_PAUSE);
        Self { shortest: pause, longest: pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_in_proportion_to_the_lock_timeout_and_let_a_ddl_in_within_half_a_second() {
        for ms in [1, 50, 100, 400, 5_000] {
            let lock_timeout = Duration::from_millis(ms);
            for _ in 0..100 {
                for known in [false, true] {
                    let pause = Pause::after(lock_timeout, known);
                    assert!(pause.shortest >= SHORTEST_PAUSE && pause.shortest <= LONGEST_PAUSE, "{pause:?}");
                    assert!(pause.longest >= pause.shortest && pause.longest <= LONGEST_WATCH, "{pause:?}");
                    assert!(known || pause.longest <= LONGEST_PAUSE, "{pause:?}");
                }
            }
        }
    }
}
