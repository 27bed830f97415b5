//! The certificates that were taken back, as of a moment ago: one look at the store for all of thousands of tunnels.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::store::{Store, StoreError};

/// With the pause between two looks of a tunnel, this is how long one that was revoked stays open.
const FRESH: Duration = Duration::from_secs(1);

/// Clones share what they have seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Revocations {
    seen: Arc<Mutex<Option<Seen>>>,
}

/// When, and their serials.
type Seen = (Instant, HashSet<String>);

impl Revocations {
    pub(super) async fn has(&self, store: &Store, serial: &str) -> Result<bool, StoreError> {
        let mut seen = self.seen.lock().await;
        if let Some((_, revoked)) = seen.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(revoked.contains(serial));
        }
        let at = Instant::now();
        let (_, revoked) = seen.insert((at, store.revoked_certificates().await?));
        Ok(revoked.contains(serial))
    }
}
