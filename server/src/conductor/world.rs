//! The surroundings of deployments, from the store and the registry.

use std::collections::BTreeSet;

use stopover_model::decide::{AgentPresence, EnvironmentView, World};
use stopover_model::event::StepKey;
use stopover_model::id::DeploymentId;

use super::Shared;
use crate::store::StoreError;

impl Shared {
    /// What a deployment sees around it.
    pub(super) async fn world(
        &self,
        of: &DeploymentId,
        in_flight: BTreeSet<StepKey>,
    ) -> Result<World, StoreError> {
        let mut world = World { in_flight, ..World::default() };
        for environment in self.store.environments().await? {
            world.environments.insert(environment, EnvironmentView::default());
        }
        for (environment, databases) in self.store.environment_databases().await? {
            let presence = |(database, agent)| {
                let presence = match self.registry.agent_of(&environment, &database) {
                    Some(link) => AgentPresence::Connected(link.agent),
                    None => AgentPresence::Away(agent),
                };
                (database, presence)
            };
            let databases = databases.into_iter().map(presence).collect();
            world.environments.entry(environment).or_default().databases = databases;
        }
        for (environment, holder) in self.store.holds().await? {
            if holder != *of {
                world.environments.entry(environment).or_default().held_by = Some(holder);
            }
        }
        for (environment, act) in self.acts.running().iter() {
            world.environments.entry(environment.clone()).or_default().held_by = Some(act.clone());
        }
        Ok(world)
    }
}
