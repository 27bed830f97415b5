//! Renews the certificate at half of its life, for as long as the agent runs.

use std::time::Duration;

use jiff::Timestamp;
use rand::RngExt as _;
use stopover_model::cause;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Identity, IdentityError, IdentityStore, renew};
use crate::connection::ServerUrl;

/// The clock is looked at this often: a machine that slept, or whose clock was set, must not miss the time.
const LOOK_EVERY: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Keeps the identity fresh, and tells of each new one.
pub struct Renewal {
    server: ServerUrl,
    store: IdentityStore,
    current: watch::Sender<Identity>,
}

impl Renewal {
    #[must_use]
    pub fn new(server: ServerUrl, store: IdentityStore, identity: Identity) -> Self {
        Self { server, store, current: watch::Sender::new(identity) }
    }

    /// The identity, and its successors.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Identity> {
        self.current.subscribe()
    }

    /// Runs until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let due = self.current.borrow().renew_at();
            let wait = if Timestamp::now() < due { LOOK_EVERY.min(until(due)) } else { Duration::ZERO };
            if stopped(&stop, wait).await {
                return;
            }
            if Timestamp::now() < due {
                continue;
            }
            match self.renew().await {
                Ok(identity) => {
                    tracing::info!(until = %identity.not_after, "renewed the agent's certificate");
                    self.current.send_replace(identity);
                    pause = FIRST_PAUSE;
                }
                Err(error) => {
                    let end = self.current.borrow().not_after;
                    tracing::warn!(until = %end, "could not renew the agent's certificate: {}", cause::once(&error));
                    if stopped(&stop, jittered(pause)).await {
                        return;
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn renew(&self) -> Result<Identity, IdentityError> {
        // A person may have let the agent join anew in the meantime: what lies on the disk counts.
        let on_disk = self.store.load()?;
        if on_disk.renew_at() > Timestamp::now() {
            return Ok(on_disk);
        }
        let channel = on_disk.connect(&self.server).await?;
        let identity = renew(channel).await?;
        self.store.save(&identity)?;
        Ok(identity)
    }
}

async fn stopped(stop: &CancellationToken, wait: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(wait) => false,
    }
}

fn until(time: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default()
}

/// Between half of it and all of it, so that agents that lost the server together don't come back together.
pub(crate) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}
