//! Writes down who asked what of the server, before it is done, and what became of it. What can't be written down is not done.
//!
//! The chain's head is signed with a key of the data directory, and appended to a file that the server never reads: whoever
//! changes the store can't make that fit. It goes to a webhook as well, where there is one.

mod head_file;
mod herald;
mod key;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stopover_model::audit::{AuditActor, AuditEntry, AuditOutcome, AuditRecord};
use tokio::time::Instant;

use crate::conductor::Clock;
use crate::config::AuditSettings;
use crate::notify::Sender;
use crate::store::{SignedHead, Store, StoreError};
use head_file::HeadFile;
use herald::Outlet;
pub use herald::{Delivery, Failing, Herald};
use key::Key;

/// So many refusals of strangers are written down one by one in a minute; of more, only how many there were.
const STRANGERS: u32 = 60;
const MINUTE: Duration = Duration::from_mins(1);

/// Why something could not be written down.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("could not {action} `{path}`; the audit log needs it, and nothing is changed without one")]
    File {
        action: &'static str,
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the audit log's key `{0}` is not usable; put the one of this server back, from a backup of its data directory"
    )]
    Key(std::path::PathBuf),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The audit log.
pub struct Audit {
    store: Store,
    clock: Clock,
    key: Key,
    file: tokio::sync::Mutex<HeadFile>,
    outlet: Option<Arc<Outlet>>,
    strangers: Mutex<Strangers>,
}

#[derive(Debug)]
struct Strangers {
    since: Instant,
    written: u32,
    omitted: u64,
}

impl Audit {
    /// Makes the key where there is none.
    pub async fn open(
        data_dir: &Path,
        settings: &AuditSettings,
        store: Store,
        clock: Clock,
    ) -> Result<Self, AuditError> {
        let key = Key::open(data_dir)?;
        let path = settings.head_file.clone().unwrap_or_else(|| data_dir.join("audit.heads"));
        let strangers = Mutex::new(Strangers { since: Instant::now(), written: 0, omitted: 0 });
        let file = tokio::sync::Mutex::new(HeadFile::open(path)?);
        let outlet = settings.webhook.clone().map(Outlet::new).map(Arc::new);
        let audit = Self { store, clock, key, file, outlet, strangers };
        // A crash may have come between the store and the file, and the webhook may be a new one.
        let head = audit.store.audit_head().await?;
        if head.head.seq > 0 {
            audit.file.lock().await.append(&head)?;
            if audit.outlet.is_some() {
                audit.store.send_audit_head(&head, (audit.clock)()).await?;
            }
        }
        Ok(audit)
    }

    /// Who takes the heads to the webhook, where there is one; to be run.
    #[must_use]
    pub fn herald(&self, sender: Sender) -> Option<Herald> {
        let outlet = Arc::clone(self.outlet.as_ref()?);
        Some(Herald::new(self.store.clone(), sender, outlet, self.key.public(), self.clock))
    }

    /// How far the heads have got there.
    pub async fn delivery(&self) -> Result<Option<Delivery>, StoreError> {
        let Some(outlet) = &self.outlet else { return Ok(None) };
        Ok(Some(outlet.delivery(self.store.audit_undelivered().await?)))
    }

    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.key.public()
    }

    /// Writes something down; answers with its seq.
    pub async fn record(&self, entry: AuditEntry) -> Result<u64, AuditError> {
        let at = (self.clock)();
        let mut file = self.file.lock().await;
        let make = |seq| serde_json::to_string(&AuditRecord { seq, at, entry });
        let sign = |head: &stopover_model::audit::AuditHead| self.key.sign(head);
        let to_send = self.outlet.is_some().then_some(at);
        let head: SignedHead = self.store.append_audit(make, sign, to_send).await?;
        file.append(&head)?;
        if let Some(outlet) = &self.outlet {
            outlet.news();
        }
        Ok(head.head.seq)
    }

    /// Writes a refusal down, as far as there are not too many of those whom nobody knows. The refusal stands in any case.
    pub async fn refused(&self, entry: AuditEntry) {
        let known = !matches!(entry.by, AuditActor::Stranger);
        let Some(omitted) = (if known { Some(0) } else { self.admit_stranger() }) else { return };
        if omitted > 0 {
            let outcome = AuditOutcome::Omitted { refusals: omitted };
            let more = AuditEntry { outcome, what: String::new(), from: String::new(), ..entry.clone() };
            self.outcome(more).await;
        }
        self.outcome(entry).await;
    }

    /// What became of something that was written down already: it has happened, whether this can be written or not.
    pub async fn outcome(&self, entry: AuditEntry) {
        if let Err(error) = self.record(entry).await {
            tracing::error!(error = &error as &dyn std::error::Error, "could not write the audit log");
        }
    }

    /// How many were left out before this one, where it is to be written down.
    fn admit_stranger(&self) -> Option<u64> {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if strangers.since.elapsed() > MINUTE {
            (strangers.since, strangers.written) = (Instant::now(), 0);
        }
        if strangers.written >= STRANGERS {
            strangers.omitted += 1;
            return None;
        }
        strangers.written += 1;
        Some(std::mem::take(&mut strangers.omitted))
    }
}
