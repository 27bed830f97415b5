//! Where work has done all that it does in its database, and only waits for a last word on it: what stands behind it may
//! begin, although it has no outcome yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Clones are of the same work.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    followed: Arc<AtomicBool>,
    given: CancellationToken,
}

impl Pass {
    /// Whether work stands behind this.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Acquire)
    }

    /// Lets the work behind this begin. What this has done must not be taken back any more without that one too.
    pub fn give(&self) {
        self.given.cancel();
    }

    /// Work stands behind this.
    pub fn follow(&self) {
        self.followed.store(true, Ordering::Release);
    }

    /// Waits until others may pass.
    pub async fn given(&self) {
        self.given.cancelled().await;
    }
}
