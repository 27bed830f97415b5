//! Commits that did not wait for the server's disk (`synchronous_commit = off`; PostgreSQL 15, 30.4, Asynchronous Commit).
//!
//! They can be lost with a crash of the server, each with all that came behind it and never alone. One that waits brings
//! all of the session's before it to disk as well; until then nobody may be told that they are there.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// Those of a session. Dropped with it, which tells all who wait.
#[derive(Debug, Default)]
pub struct Unflushed {
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
}

/// A commit that is on its way to the server's disk.
#[derive(Debug)]
pub struct Flush(oneshot::Receiver<()>);

impl Unflushed {
    /// One more.
    pub fn add(&self) -> Flush {
        let (told, flush) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        Flush(flush)
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A commit behind all of them was waited for.
    pub fn are_flushed(&self) {
        for told in self.waiting.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // Who no longer waits need not be told.
            let _ = told.send(());
        }
    }
}

impl Flush {
    /// Whether it got there; false where the session ended before.
    pub async fn wait(self) -> bool {
        self.0.await.is_ok()
    }
}
