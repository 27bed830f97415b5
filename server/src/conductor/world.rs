//! The surroundings of deployments, from the store and the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stopover_model::decide::{AgentPresence, EnvironmentView, World};
use stopover_model::deployment::Deployment;
use stopover_model::event::StepKey;
use stopover_model::id::HookName;
use stopover_model::plan::Measurement;
use stopover_model::quarantine::Quarantined;
use tokio::time::Instant;

use super::Shared;
use crate::store::StoreError;

/// It is read anew after so long even where nobody has said that it changed.
const LONGEST_WITHOUT_A_LOOK: Duration = Duration::from_secs(1);

/// What a plan is made from besides what is found.
#[derive(Default)]
pub(super) struct Past {
    pub(super) measured: Vec<Measurement>,
    pub(super) quarantined: Vec<Quarantined>,
    /// Why the last calls of hooks came to nothing.
    pub(super) hook_errors: BTreeMap<HookName, String>,
}

/// What a deployment last saw of the world.
#[derive(Default)]
pub(super) struct Around {
    seen: Option<(World, Instant)>,
    /// How often the world is known to have changed so far.
    changes: u64,
}

impl Around {
    /// The world, as it was a moment ago where nothing is known to have changed in it since.
    pub(super) async fn look(
        &mut self,
        shared: &Shared,
        of: &Deployment,
        in_flight: BTreeSet<StepKey>,
        past: Past,
    ) -> Result<&World, StoreError> {
        let known = self.seen.take().filter(|(_, at)| at.elapsed() < LONGEST_WITHOUT_A_LOOK);
        let (mut world, at) = if let Some(seen) = known {
            seen
        } else {
            let at = Instant::now();
            (shared.world(of).await?, at)
        };
        world.in_flight = in_flight;
        (world.history, world.quarantined) = (past.measured, past.quarantined);
        world.hook_errors = past.hook_errors;
        Ok(&self.seen.insert((world, at)).0)
    }

    /// The world has changed so often by now.
    pub(super) fn changed(&mut self, changes: u64) {
        if self.changes != changes {
            self.changes = changes;
            self.forget();
        }
    }

    pub(super) fn forget(&mut self) {
        self.seen = None;
    }
}

impl Shared {
    /// What a deployment sees around it.
    async fn world(&self, of: &Deployment) -> Result<World, StoreError> {
        let mut world = World::default();
        // Of others there may be thousands.
        for environment in of.pipeline.environments() {
            if !self.store.has_environment(&environment).await? {
                continue;
            }
            let mut view = EnvironmentView::default();
            for (database, (agent, labels)) in self.store.databases_in(&environment).await? {
                let presence = match self.registry.reached(&environment, &database) {
                    Some((agent, queues)) => {
                        if queues {
                            view.queueing.insert(database.clone());
                        }
                        AgentPresence::Connected(agent)
                    }
                    None => AgentPresence::Away(agent),
                };
                if !labels.is_empty() {
                    view.labels.insert(database.clone(), labels);
                }
                view.databases.insert(database, presence);
            }
            view.disputed = self.registry.disputed(&environment);
            view.held_by = self.store.holder(&environment).await?.filter(|holder| *holder != of.id);
            world.environments.insert(environment, view);
        }
        world.failed_follow_ups = self.store.failed_follow_ups().await?;
        for (environment, act) in self.acts.running().iter() {
            if let Some(view) = world.environments.get_mut(environment) {
                view.held_by = Some(act.clone());
            }
        }
        Ok(world)
    }
}
