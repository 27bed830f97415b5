//! Reads a deployment's log into its state.

use stopover_model::deployment::{Deployment, IllegalEvent};
use stopover_model::event::Record;
use stopover_model::id::{DeploymentId, Seq};

use super::keep;
use crate::store::{Store, StoreError};

/// Records read at a time.
const PAGE: u32 = 5_000;

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// Passes when the store is back.
    #[error(transparent)]
    Store(StoreError),
    #[error("there is no such deployment in the store")]
    Missing,
    #[error("the deployment's log can't be read; it is left alone. Restore the store from its backup")]
    Unreadable(#[source] StoreError),
    #[error("the deployment's log makes no sense; it is left alone. Restore the store from its backup")]
    Senseless(#[source] IllegalEvent),
}

/// The deployment as its log has it; begun with what was kept of it, where that fits the log.
pub(super) async fn load(store: &Store, id: &DeploymentId) -> Result<Deployment, LoadError> {
    if let Some(kept) = keep::state(store, id).await.map_err(LoadError::Store)?
        && fits(store, &kept).await?
        && let Ok(deployment) = fold_on(store, id, Some(kept)).await
    {
        return Ok(deployment);
    }
    fold_on(store, id, None).await
}

/// Whether the last event of the state is in the log.
async fn fits(store: &Store, kept: &Deployment) -> Result<bool, LoadError> {
    let before = Seq(kept.seq.0.saturating_sub(1));
    let last = store.records(&kept.id, before, 1).await.map_err(LoadError::Store)?;
    Ok(last.first().is_some_and(|record| record.seq == kept.seq && record.at == kept.updated_at))
}

async fn fold_on(
    store: &Store,
    id: &DeploymentId,
    mut deployment: Option<Deployment>,
) -> Result<Deployment, LoadError> {
    loop {
        let after = deployment.as_ref().map_or(Seq::ZERO, |d| d.seq);
        let page = store.records(id, after, PAGE).await.map_err(|error| match error {
            StoreError::Nonsense { .. } => LoadError::Unreadable(error),
            error => LoadError::Store(error),
        })?;
        let Some(first) = page.first() else { return deployment.ok_or(LoadError::Missing) };
        let folded = match deployment.take() {
            None => Deployment::open(first).and_then(|d| fold(d, &page[1..])),
            Some(d) => fold(d, &page),
        };
        deployment = Some(folded.map_err(LoadError::Senseless)?);
    }
}

fn fold(mut deployment: Deployment, records: &[Record]) -> Result<Deployment, IllegalEvent> {
    for record in records {
        deployment.apply(record)?;
    }
    Ok(deployment)
}
