//! Tells people: takes what is in the outbox to where it goes, at least once, and in order for each target.
//!
//! Each target has its own task while something is due for it: one that is down delays nobody else. What has not arrived
//! after a set age is given up, and said so. Nothing here decides what is worth telling.

mod email;
mod error;
mod http;
mod sender;
mod signature;
mod slack;
mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::Timestamp;
use stopover_model::cause;
use stopover_model::pipeline::{NoticeKind, NotifyTarget};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

pub use error::SendError;
pub use http::{Answer, Http, Post};
pub use sender::Sender;
pub use signature::Signature;

use crate::store::{Notification, Store, StoreError};

/// It is looked at so often even if nothing seems to happen: the clock may jump.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// After the store could not be asked.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// Between two tries, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// For so long it can be looked up what was told.
const KEPT: Duration = Duration::from_hours(24 * 90);

/// Carries the outbox out. Cheap to clone.
#[derive(Clone)]
pub struct Courier {
    store: Store,
    sender: Sender,
    clock: fn() -> Timestamp,
    give_up_after: Duration,
}

impl Courier {
    #[must_use]
    pub fn new(store: Store, sender: Sender, clock: fn() -> Timestamp, give_up_after: Duration) -> Self {
        Self { store, sender, clock, give_up_after }
    }

    /// Works until `stop` fires. What is under way then is sent again by the next server.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(self) {
        let mut rounds = JoinSet::new();
        let mut under_way: BTreeMap<Id, NotifyTarget> = BTreeMap::new();
        let mut tidied = None;
        loop {
            let now = (self.clock)();
            if let Err(error) = self.begin_rounds(&mut rounds, &mut under_way, now).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the outbox can't be read; trying again");
            }
            if tidied.is_none_or(|at: Timestamp| now.duration_since(at).as_hours() >= 1) {
                self.tidy(now).await;
                tidied = Some(now);
            }
            let sleep = self.time_to_next(now).await;
            tokio::select! {
                () = self.store.news() => {}
                () = tokio::time::sleep(sleep) => {}
                Some(ended) = rounds.join_next_with_id(), if !rounds.is_empty() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    under_way.remove(&id);
                }
            }
        }
    }

    /// A task for each target to whom something is due and who has none yet.
    async fn begin_rounds(
        &self,
        rounds: &mut JoinSet<()>,
        under_way: &mut BTreeMap<Id, NotifyTarget>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for target in self.store.due_targets(now).await? {
            if under_way.values().all(|other| *other != target) {
                let task = rounds.spawn(self.clone().round(target.clone()));
                under_way.insert(task.id(), target);
            }
        }
        Ok(())
    }

    /// Sends a target all that is due, one after the other.
    async fn round(self, target: NotifyTarget) {
        let mut pauses = growing_pauses();
        loop {
            let pause = match self.send_next(&target).await {
                Ok(Sent::Nothing) => return,
                Ok(Sent::Settled) => {
                    pauses = growing_pauses();
                    continue;
                }
                Ok(Sent::Failed) => pauses.next().unwrap_or(LONGEST_PAUSE),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, %target, "a notification waits for the store");
                    STORE_PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn send_next(&self, target: &NotifyTarget) -> Result<Sent, StoreError> {
        let now = (self.clock)();
        let Some(next) = self.store.next_notification(target, now).await? else { return Ok(Sent::Nothing) };
        let Err(error) = self.sender.send(target, &next.notice, &next.id(), now).await else {
            self.store.notification_delivered(next.number, (self.clock)()).await?;
            tracing::debug!(number = next.number, %target, "notified");
            return Ok(Sent::Settled);
        };
        let now = (self.clock)();
        let age = Duration::try_from(now.duration_since(next.notice.due())).unwrap_or_default();
        let given_up = error.is_final() || age >= self.give_up_after;
        let text = cause::chain(&error);
        self.store.notification_failed(next.number, &text, given_up.then_some(now)).await?;
        let (number, tries) = (next.number, next.tries + 1);
        if given_up {
            tracing::error!(
                number,
                tries,
                error = text,
                "{target} was not told, and will not be: {}",
                next.notice.subject()
            );
            return Ok(Sent::Settled);
        }
        tracing::warn!(number, tries, error = text, "{target} could not be told yet; trying again");
        Ok(Sent::Failed)
    }

    async fn time_to_next(&self, now: Timestamp) -> Duration {
        let next = self.store.next_due(now).await.ok().flatten();
        let until = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
        // A millisecond more, so that it is due when it is looked for.
        next.map_or(LONGEST_SLEEP, |at| (until(at) + Duration::from_millis(1)).min(LONGEST_SLEEP))
    }

    async fn tidy(&self, now: Timestamp) {
        let Ok(before) = now.checked_sub(KEPT) else { return };
        if let Err(error) = self.store.forget_notifications(before).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "old notifications are kept for now");
        }
    }
}

/// Between the tries of something that must get through.
pub(crate) fn growing_pauses() -> impl Iterator<Item = Duration> + Send {
    let pauses = ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE);
    pauses.with_jitter().without_max_times().build()
}

/// What became of the next one.
enum Sent {
    /// There is none.
    Nothing,
    /// It arrived, or was given up.
    Settled,
    Failed,
}

impl Notification {
    /// The same however often it is sent, so that a receiver knows it again.
    fn id(&self) -> String {
        match &self.notice.about {
            // It is no event of the deployment's.
            Some(about) if self.notice.kind == NoticeKind::FollowUpFailed => {
                format!("{}-follow-up-{}", about.deployment, self.number)
            }
            Some(about) => format!("{}-{}", about.deployment, about.seq),
            None => format!("trial-{}", self.number),
        }
    }
}

#[cfg(test)]
mod tests;
