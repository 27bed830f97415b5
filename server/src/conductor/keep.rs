//! Keeps what was made of a long log, so that a restart, and whoever looks, need not read all of it.
//!
//! The log stays the truth: what is kept names the last event that is in it, another build's is not read, and one that
//! does not fit its log is left alone. Nothing fails because something could not be kept.
//!
//! ```text
//! 1,000 events, then each time by a half more -> state    the deployment's end -> state and glance
//! ```

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stopover_model::cause;
use stopover_model::deployment::{Deployment, FORM, Glance};
use stopover_model::id::{DeploymentId, Seq};
use tokio::task::spawn_blocking;

use crate::store::{Kept, Snapshot, Store, StoreError};

/// A shorter log is read as quickly as what would be kept of it.
const LEAST: u64 = 1_000;
/// Quick, and a tenth of what it was.
const LEVEL: i32 = 1;

/// When a deployment's state was last kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping {
    last: Seq,
}

impl Keeping {
    pub(super) fn new() -> Self {
        Self { last: Seq::ZERO }
    }

    /// So that all that is ever written of a log stays within a few times what its end takes.
    fn is_due(self, deployment: &Deployment) -> bool {
        let new = deployment.seq.0.saturating_sub(self.last.0);
        let ended = deployment.outcome.is_some() && deployment.seq.0 >= LEAST && new > 0;
        ended || new >= LEAST.max(self.last.0 / 2)
    }

    /// Keeps the state where it is time to. It is not to change meanwhile.
    pub(super) async fn keep_up(&mut self, store: &Store, deployment: &Arc<Deployment>) {
        if !self.is_due(deployment) {
            return;
        }
        self.last = deployment.seq;
        if let Err(error) = keep(store, deployment).await {
            let error = cause::chain(error.as_ref());
            tracing::warn!(deployment = %deployment.id, error, "a deployment's state could not be kept; its log is read instead");
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn keep(store: &Store, deployment: &Arc<Deployment>) -> Result<(), Failure> {
    let (id, seq, state) = (&deployment.id, deployment.seq, Arc::clone(deployment));
    let body = spawn_blocking(move || packed(state.as_ref())).await??;
    store.keep_snapshot(id, Kept::State, FORM, Snapshot { seq, body: &body }).await?;
    if deployment.outcome.is_some() {
        let body = packed(&deployment.glance(&[].into()))?;
        store.keep_snapshot(id, Kept::Glance, FORM, Snapshot { seq, body: &body }).await?;
    }
    Ok(())
}

/// The state that was kept last, as of its seq; it may be behind the log.
pub(super) async fn state(store: &Store, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
    let Some(kept) = store.snapshot(id, Kept::State, FORM).await? else { return Ok(None) };
    let read =
        spawn_blocking(move || unpacked::<Deployment>(&kept.body).map(|state| (kept.seq, state))).await;
    Ok(match read {
        Ok(Ok((seq, state))) if state.id == *id && state.seq == seq => Some(state),
        Ok(Ok(_) | Err(_)) | Err(_) => {
            tracing::warn!(deployment = %id, "what was kept of a deployment's state can't be read; its log is read instead");
            None
        }
    })
}

/// What there is to be shown of a deployment that has ended.
pub(super) async fn glance(store: &Store, id: &DeploymentId) -> Result<Option<Glance>, StoreError> {
    let Some(kept) = store.snapshot(id, Kept::Glance, FORM).await? else { return Ok(None) };
    if store.last_seq(id).await? != Some(kept.seq) {
        return Ok(None);
    }
    Ok(unpacked(&kept.body).ok())
}

fn packed(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    serde_json::to_writer(&mut encoder, value)?;
    Ok(encoder.finish()?)
}

fn unpacked<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // Whole, since a reader is read byte by byte.
    Ok(serde_json::from_slice(&zstd::decode_all(body)?)?)
}
