//! Whose backups may still be needed: retention on the agent's side leaves those alone.

use stopover_model::deployment::Target;
use stopover_model::event::StepKey;
use stopover_model::id::{DatabaseName, DeploymentId, EnvironmentName};
use stopover_proto::convert::field::names;
use stopover_proto::v1::backup_request::Needed;

use super::super::load::{LoadError, load};
use crate::store::{Store, StoreError};

/// Older deployments than these are not looked at: with so many on top of it, nobody rolls one back.
const NEWEST: u32 = 100;

/// None where it can't be found out; then no backup goes.
pub(super) async fn needed(store: &Store, environment: &EnvironmentName, step: &StepKey) -> Option<Needed> {
    match deployments(store, environment, &step.database).await {
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
    environment: &EnvironmentName,
    database: &DatabaseName,
) -> Result<Vec<DeploymentId>, StoreError> {
    let mut needed = store.open_deployments().await?;
    for row in store.list_deployments(NEWEST).await? {
        if row.outcome.is_none() {
            continue;
        }
        let deployment = match load(store, &row.id).await {
            Ok(deployment) => deployment,
            Err(LoadError::Store(error)) => return Err(error),
            // What nobody can read may have changed the database as well.
            Err(_) => {
                needed.push(row.id);
                continue;
            }
        };
        let stages = deployment.stages.iter().filter(|stage| stage.spec.environment == *environment);
        let mut targets = stages.filter_map(|stage| stage.target(database));
        if targets.any(Target::has_effects) {
            needed.push(row.id);
            break;
        }
    }
    Ok(needed)
}
