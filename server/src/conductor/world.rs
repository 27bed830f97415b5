//! The surroundings of deployments, from the store and the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stopover_model::decide::{AgentPresence, EnvironmentView, World};
use stopover_model::deployment::Deployment;
use stopover_model::digest::Digest;
use stopover_model::event::StepKey;
use stopover_model::id::{EnvironmentName, HookName};
use tokio::time::Instant;

use super::Shared;
use crate::store::StoreError;

/// Of a large fleet a look takes long itself: it counts for so many times of that, up to a limit.
const LOOKS_APART: u32 = 50;
const FARTHEST_APART: Duration = Duration::from_secs(10);
/// It is read anew after so long even where nobody has said that it changed: of a fleet thousands of plans are made from it.
const LONGEST_WITHOUT_A_LOOK: Duration = Duration::from_secs(1);

/// What a deployment last saw of the world.
#[derive(Default)]
pub(super) struct Around {
    seen: Option<Seen>,
    /// How often the world is known to have changed so far.
    changes: u64,
}

struct Seen {
    world: World,
    look: Look,
    /// What of the past is in the world, and when that was read.
    past: Option<(Asked, Look)>,
}

/// When something was read, and how long that took.
#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    took: Duration,
}

/// Whose past plans are to be made from: that of an environment, and of migrations.
struct Asked {
    environment: EnvironmentName,
    digests: BTreeSet<Digest>,
}

impl Around {
    /// The world, as it was a moment ago where nothing is known to have changed in it since.
    pub(super) async fn look(
        &mut self,
        shared: &Shared,
        of: &Deployment,
        in_flight: BTreeSet<StepKey>,
        hook_errors: BTreeMap<HookName, String>,
    ) -> Result<&World, StoreError> {
        let mut seen = if let Some(seen) = self.seen.take().filter(|seen| seen.look.is_fresh()) {
            seen
        } else {
            let at = Instant::now();
            let world = shared.world(of).await?;
            Seen { world, look: Look::since(at), past: None }
        };
        if let Some(asked) = Asked::by(of)
            && !seen.past.as_ref().is_some_and(|(known, look)| known.covers(&asked) && look.is_fresh())
        {
            let at = Instant::now();
            let digests: Vec<_> = asked.digests.iter().copied().collect();
            seen.world.history = shared.store.measurements(&asked.environment, &digests).await?;
            seen.world.quarantined = shared.store.quarantined(&asked.environment).await?;
            seen.past = Some((asked, Look::since(at)));
        }
        seen.world.in_flight = in_flight;
        seen.world.hook_errors = hook_errors;
        Ok(&self.seen.insert(seen).world)
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

impl Asked {
    /// None where nothing is to be planned now.
    fn by(deployment: &Deployment) -> Option<Self> {
        let stage = deployment.stage(deployment.stage_to_plan()?)?;
        let digests = deployment.digests_to_apply(stage).into_iter().collect();
        Some(Self { environment: stage.spec.environment.clone(), digests })
    }

    fn covers(&self, other: &Self) -> bool {
        self.environment == other.environment && self.digests.is_superset(&other.digests)
    }
}

impl Look {
    fn since(at: Instant) -> Self {
        Self { at, took: at.elapsed() }
    }

    fn is_fresh(self) -> bool {
        self.at.elapsed() < LONGEST_WITHOUT_A_LOOK.max((self.took * LOOKS_APART).min(FARTHEST_APART))
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
