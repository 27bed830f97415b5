//! Brings a deployment's records and progress to those who watch it: the log first, then what happens, without a gap and
//! without a double. A watcher that is too slow reads the log again; progress it missed is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stopover_model::event::{Event, Record, StepKey};
use stopover_model::id::{DeploymentId, Seq};
use stopover_model::report::Progress;
use tokio::sync::{broadcast, mpsc};

use crate::store::{Store, StoreError};

/// What a watcher gets.
#[derive(Debug, Clone)]
pub enum WatchItem {
    Record(Arc<Record>),
    Progress(StepKey, Box<Progress>),
    /// All that was in the log when the watch began was sent.
    CaughtUp,
}

/// Live items that a slow watcher may be behind before it goes back to the log.
const LIVE: usize = 4096;
/// Records read from the log at a time.
const PAGE: u32 = 1000;

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hub {
    topics: Arc<Mutex<HashMap<DeploymentId, broadcast::Sender<WatchItem>>>>,
}

impl Hub {
    /// Passes on what was appended to the log, in order.
    pub fn publish(&self, id: &DeploymentId, item: WatchItem) {
        let mut topics = self.topics();
        if let Some(topic) = topics.get(id)
            && topic.send(item).is_err()
        {
            topics.remove(id);
        }
    }

    /// Sends everything after `after` to `out`, until the deployment has ended or nobody reads.
    pub async fn watch(
        &self,
        store: Store,
        id: DeploymentId,
        after: Seq,
        out: mpsc::Sender<Result<WatchItem, StoreError>>,
    ) {
        // Subscribed before the log is read: what is appended in between comes twice, and is known by its seq.
        let live = self.subscribe(&id);
        let watcher = Watcher { store, id, seq: after, ended: false, out };
        if let Err(Stop::Failed(error, out)) = watcher.run(live).await {
            let _ = out.send(Err(error)).await;
        }
    }

    fn subscribe(&self, id: &DeploymentId) -> broadcast::Receiver<WatchItem> {
        let mut topics = self.topics();
        topics.retain(|_, topic| topic.receiver_count() > 0);
        topics.entry(id.clone()).or_insert_with(|| broadcast::Sender::new(LIVE)).subscribe()
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<DeploymentId, broadcast::Sender<WatchItem>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watcher {
    store: Store,
    id: DeploymentId,
    /// The last that was sent.
    seq: Seq,
    /// The last record that was sent ends the deployment.
    ended: bool,
    out: mpsc::Sender<Result<WatchItem, StoreError>>,
}

enum Stop {
    Gone,
    Failed(StoreError, mpsc::Sender<Result<WatchItem, StoreError>>),
}

impl Watcher {
    async fn run(mut self, mut live: broadcast::Receiver<WatchItem>) -> Result<(), Stop> {
        self.look_at_last().await?;
        self.catch_up().await?;
        self.send(WatchItem::CaughtUp).await?;
        while !self.ended {
            let item = tokio::select! {
                item = live.recv() => item,
                // Nothing may happen for days; whoever has gone is not waited for.
                () = self.out.closed() => return Err(Stop::Gone),
            };
            match item {
                Ok(WatchItem::Record(record)) => self.record(record).await?,
                Ok(item) => self.send(item).await?,
                Err(broadcast::error::RecvError::Lagged(_)) => self.catch_up().await?,
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            }
        }
        Ok(())
    }

    /// A watcher that has the whole log of an ended deployment has nothing to wait for.
    async fn look_at_last(&mut self) -> Result<(), Stop> {
        if self.seq > Seq::ZERO {
            let before = Seq(self.seq.0 - 1);
            let last = self.read(before, 1).await?;
            self.ended = last.first().is_some_and(ends);
        }
        Ok(())
    }

    async fn catch_up(&mut self) -> Result<(), Stop> {
        loop {
            let records = self.read(self.seq, PAGE).await?;
            if records.is_empty() {
                return Ok(());
            }
            for record in records {
                if record.seq != self.seq.next() {
                    return Err(self.gap(record.seq));
                }
                self.pass_on(Arc::new(record)).await?;
            }
        }
    }

    async fn record(&mut self, record: Arc<Record>) -> Result<(), Stop> {
        if record.seq <= self.seq {
            return Ok(());
        }
        if record.seq != self.seq.next() {
            // Records of a batch come in order; a gap can only mean that some were missed.
            return self.catch_up().await;
        }
        self.pass_on(record).await
    }

    async fn pass_on(&mut self, record: Arc<Record>) -> Result<(), Stop> {
        self.seq = record.seq;
        self.ended = ends(&record);
        self.send(WatchItem::Record(record)).await
    }

    fn gap(&self, found: Seq) -> Stop {
        let error = StoreError::Nonsense {
            attempt: format!("read the events of deployment {}", self.id),
            place: "its log".to_owned(),
            source: format!("event {found} comes after event {}", self.seq).into(),
        };
        Stop::Failed(error, self.out.clone())
    }

    async fn read(&mut self, after: Seq, limit: u32) -> Result<Vec<Record>, Stop> {
        self.store
            .records(&self.id, after, limit)
            .await
            .map_err(|error| Stop::Failed(error, self.out.clone()))
    }

    async fn send(&mut self, item: WatchItem) -> Result<(), Stop> {
        match item {
            // Weather is dropped for a reader who does not keep up, and never holds anything back.
            WatchItem::Progress(..) => match self.out.try_send(Ok(item)) {
                Err(mpsc::error::TrySendError::Closed(_)) => Err(Stop::Gone),
                _ => Ok(()),
            },
            _ => self.out.send(Ok(item)).await.map_err(|_| Stop::Gone),
        }
    }
}

fn ends(record: &Record) -> bool {
    matches!(record.event, Event::Finished { .. })
}

#[cfg(test)]
mod tests;
