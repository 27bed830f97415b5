//! Whose backups may still be needed: retention on the agent's side leaves those alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stopover_model::event::StepKey;
use stopover_model::id::{DatabaseName, DeploymentId, EnvironmentName, Seq};
use stopover_proto::convert::field::names;
use stopover_proto::v1::backup_request::Needed;

use super::super::keep;
use super::super::load::{LoadError, load};
use crate::store::{DeploymentRow, Store, StoreError};

/// Older deployments than these are not looked at: with so many on top of it, nobody rolls one back.
const NEWEST: u32 = 100;

/// In which databases deployments that have ended have left something: it is asked before each of thousands of backups.
/// Clones share it.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Affected {
    known: Arc<tokio::sync::Mutex<BTreeMap<DeploymentId, AsOf>>>,
}

/// As of which event. None: nobody can read it.
type AsOf = (Seq, Option<Places>);
type Places = Arc<BTreeSet<(EnvironmentName, DatabaseName)>>;

impl Affected {
    /// None: nobody can read it.
    async fn by(&self, store: &Store, row: &DeploymentRow) -> Result<Option<Places>, StoreError> {
        let mut known = self.known.lock().await;
        if let Some((_, places)) = known.get(&row.id).filter(|(seq, _)| *seq == row.seq) {
            return Ok(places.clone());
        }
        let places = places(store, &row.id).await?;
        while known.len() >= NEWEST as usize {
            // Ids begin with nothing that tells their age: whichever goes is found out again.
            known.pop_first();
        }
        known.insert(row.id.clone(), (row.seq, places.clone()));
        Ok(places)
    }
}

async fn places(store: &Store, id: &DeploymentId) -> Result<Option<Places>, StoreError> {
    let deployment = match keep::glance(store, id).await? {
        Some(glance) => glance.into_shown().0,
        None => match load(store, id).await {
            Ok(deployment) => deployment,
            Err(LoadError::Store(error)) => return Err(error),
            Err(_) => return Ok(None),
        },
    };
    let of_stages = deployment.stages.iter().flat_map(|stage| {
        let environment = &stage.spec.environment;
        stage.affected_targets().map(move |target| (environment.clone(), target.database.clone()))
    });
    Ok(Some(Arc::new(of_stages.collect())))
}

/// None where it can't be found out; then no backup goes.
pub(super) async fn needed(
    store: &Store,
    affected: &Affected,
    environment: &EnvironmentName,
    step: &StepKey,
) -> Option<Needed> {
    match deployments(store, affected, environment, &step.database).await {
        Ok(deployments) => Some(Needed { deployments: names::write(deployments) }),
        Err(error) => {
            tracing::warn!(%environment, "whose backups are still needed could not be found out: {error}");
            None
        }
    }
}

/// Those that go on, and of the others the one that has changed the database last, which is the one that can be rolled back
/// without taking another's work away.
async fn deployments(
    store: &Store,
    affected: &Affected,
    environment: &EnvironmentName,
    database: &DatabaseName,
) -> Result<Vec<DeploymentId>, StoreError> {
    let place = (environment.clone(), database.clone());
    let mut needed = store.open_deployments().await?;
    for row in store.list_deployments(NEWEST).await? {
        if row.outcome.is_none() {
            continue;
        }
        match affected.by(store, &row).await? {
            // What nobody can read may have changed the database as well.
            None => needed.push(row.id),
            Some(places) if places.contains(&place) => {
                needed.push(row.id);
                break;
            }
            Some(_) => {}
        }
    }
    Ok(needed)
}
