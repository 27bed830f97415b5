//! Reads a deployment's log into its state.

use stopover_model::deployment::{Deployment, IllegalEvent};
use stopover_model::event::Record;
use stopover_model::id::{DeploymentId, Seq};

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

/// The deployment as its log has it.
pub(super) async fn load(store: &Store, id: &DeploymentId) -> Result<Deployment, LoadError> {
    let mut deployment: Option<Deployment> = None;
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
