//! Takes the signed heads to a webhook: at least once, in their order, and for as long as it takes.
//!
//! They are in the store's outbox from the transaction of their record on. None is ever given up: to whoever keeps them
//! elsewhere, one that never came looks as if nobody had signed it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use stopover_model::cause;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::head_file::as_json;
use crate::conductor::Clock;
use crate::config::AuditWebhook;
use crate::notify::{Answer, LONGEST_PAUSE, Sender, growing_pauses};
use crate::store::{SignedHead, Store, StoreError, Undelivered};

/// Heads in one call.
const BATCH: u32 = 100;
/// It is looked at so often even if nothing seems to happen.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Carries the outbox of heads out.
pub struct Herald {
    store: Store,
    sender: Sender,
    outlet: Arc<Outlet>,
    /// Base64, as it lies in audit.pub.
    public_key: String,
    clock: Clock,
}

/// What those who write the log and the one who sends its heads share.
pub(super) struct Outlet {
    webhook: AuditWebhook,
    news: Notify,
    failing: Mutex<Option<(Failing, Batch)>>,
}

/// Tries that came to nothing, since one got through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    pub tries: u32,
    /// Of the last one.
    pub error: String,
}

/// How far the heads have got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub url: String,
    pub undelivered: Undelivered,
    pub failing: Option<Failing>,
}

/// The heads of one call, by the first and the last record. The same are tried again, so that the receiver knows the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Batch {
    first: u64,
    last: u64,
}

/// What became of the next call.
enum Sent {
    /// There is none.
    Nothing,
    Arrived,
    Failed,
}

impl Outlet {
    pub(super) fn new(webhook: AuditWebhook) -> Self {
        Self { webhook, news: Notify::new(), failing: Mutex::default() }
    }

    pub(super) fn news(&self) {
        self.news.notify_one();
    }

    pub(super) fn delivery(&self, undelivered: Undelivered) -> Delivery {
        let failing = self.failing().as_ref().map(|(failing, _)| failing.clone());
        Delivery { url: self.webhook.url.clone(), undelivered, failing }
    }

    fn failing(&self) -> MutexGuard<'_, Option<(Failing, Batch)>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tries came to nothing by now.
    fn failed(&self, batch: Batch, error: &str) -> u32 {
        let mut failing = self.failing();
        let tries = failing.as_ref().map_or(0, |(failing, _)| failing.tries).saturating_add(1);
        *failing = Some((Failing { tries, error: error.to_owned() }, batch));
        tries
    }
}

impl Herald {
    pub(super) fn new(
        store: Store,
        sender: Sender,
        outlet: Arc<Outlet>,
        public_key: &[u8],
        clock: Clock,
    ) -> Self {
        Self { store, sender, outlet, public_key: STANDARD.encode(public_key), clock }
    }

    /// Works until `stop` fires. What is under way then is sent again by the next server.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(self) {
        let mut pauses = growing_pauses();
        loop {
            let pause = match self.send_next().await {
                Ok(Sent::Nothing) => {
                    // Either way it is looked at again.
                    let _ = tokio::time::timeout(LONGEST_SLEEP, self.outlet.news.notified()).await;
                    continue;
                }
                Ok(Sent::Arrived) => {
                    pauses = growing_pauses();
                    continue;
                }
                Ok(Sent::Failed) => pauses.next(),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the audit log's heads wait for the store; trying again");
                    pauses.next()
                }
            };
            tokio::time::sleep(pause.unwrap_or(LONGEST_PAUSE)).await;
        }
    }

    async fn send_next(&self) -> Result<Sent, StoreError> {
        let mut heads = self.store.audit_outbox(BATCH).await?;
        let earlier = self.outlet.failing().as_ref().map(|(_, batch)| *batch);
        if let Some(earlier) =
            earlier.filter(|earlier| heads.first().is_some_and(|h| h.head.seq == earlier.first))
        {
            heads.retain(|head| head.head.seq <= earlier.last);
        }
        let (Some(first), Some(last)) = (heads.first(), heads.last()) else { return Ok(Sent::Nothing) };
        let batch = Batch { first: first.head.seq, last: last.head.seq };
        let AuditWebhook { url, secret } = &self.outlet.webhook;
        let (now, id) = ((self.clock)(), format!("audit-{}-{}", batch.first, batch.last));
        let sent = self.sender.post_signed((url, secret), &id, self.body(&heads, now), now).await;
        if let Err(error) = sent.and_then(Answer::successful) {
            let error = cause::chain(&error);
            let tries = self.outlet.failed(batch, &error);
            let Batch { first, last } = batch;
            tracing::warn!(
                first,
                last,
                tries,
                error,
                "the audit log's heads have not arrived at {url}; trying again"
            );
            return Ok(Sent::Failed);
        }
        if let Some((Failing { tries, .. }, _)) = self.outlet.failing().take() {
            tracing::info!(last = batch.last, tries, "the audit log's heads arrive at {url} again");
        }
        self.store.audit_delivered(batch.last).await?;
        Ok(Sent::Arrived)
    }

    fn body(&self, heads: &[SignedHead], now: Timestamp) -> Vec<u8> {
        let heads: Vec<_> = heads.iter().map(as_json).collect();
        let data = serde_json::json!({ "public_key": self.public_key, "heads": heads });
        let body = serde_json::json!({ "type": "audit.heads", "timestamp": now, "data": data });
        body.to_string().into_bytes()
    }
}
