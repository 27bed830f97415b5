//! The agents that hold a tunnel to this server now, and how to call them.
//!
//! What must survive a restart (which agent serves which database) is in the store; here is only who can be reached.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stopover_model::id::{AgentName, DatabaseName, EnvironmentName};
use stopover_proto::tunnel::AgentChannel;
use stopover_proto::v1::agent_client::AgentClient;
use tokio::sync::watch;

/// Messages of agents: reports and lines, never rows. A larger one is refused.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
/// Messages to agents: whole migrations.
const LARGEST_REQUEST: usize = 64 * 1024 * 1024;

/// An open tunnel.
#[derive(Debug, Clone)]
pub struct AgentLink {
    pub agent: AgentName,
    /// From its certificate.
    pub environment: EnvironmentName,
    pub databases: Arc<[DatabaseName]>,
    pub version: String,
    /// It takes migrations behind others.
    pub queues: bool,
    pub channel: AgentChannel,
}

/// Cheap to clone; all clones see the same agents.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    links: Mutex<Links>,
    changes: watch::Sender<u64>,
    counts: Mutex<Counts>,
}

/// How often the world has changed.
#[derive(Debug, Default)]
struct Counts {
    /// For everybody.
    everywhere: u64,
    of: HashMap<EnvironmentName, u64>,
}

#[derive(Debug, Default)]
struct Links {
    /// By tunnel, in the order in which they were opened.
    tunnels: BTreeMap<u64, AgentLink>,
    /// The tunnels of those who serve a database.
    serving: HashMap<EnvironmentName, HashMap<DatabaseName, BTreeSet<u64>>>,
}

impl Links {
    fn insert(&mut self, tunnel: u64, link: AgentLink) {
        let environment = self.serving.entry(link.environment.clone()).or_default();
        for database in link.databases.iter() {
            environment.entry(database.clone()).or_default().insert(tunnel);
        }
        self.tunnels.insert(tunnel, link);
    }

    /// The environment of the one that is gone.
    fn remove(&mut self, tunnel: u64) -> Option<EnvironmentName> {
        let link = self.tunnels.remove(&tunnel)?;
        let environment = self.serving.get_mut(&link.environment)?;
        for database in link.databases.iter() {
            if let Some(tunnels) = environment.get_mut(database) {
                tunnels.remove(&tunnel);
                if tunnels.is_empty() {
                    environment.remove(database);
                }
            }
        }
        Some(link.environment)
    }

    fn newest(&self, environment: &EnvironmentName, database: &DatabaseName) -> Option<&AgentLink> {
        let tunnel = self.serving.get(environment)?.get(database)?.last()?;
        self.tunnels.get(tunnel)
    }
}

/// Keeps an agent in the registry until it is dropped.
#[derive(Debug)]
pub struct Connected {
    registry: Registry,
    tunnel: u64,
}

impl AgentLink {
    #[must_use]
    pub fn client(&self) -> AgentClient<AgentChannel> {
        AgentClient::new(self.channel.clone())
            .max_decoding_message_size(LARGEST_ANSWER)
            .max_encoding_message_size(LARGEST_REQUEST)
    }
}

impl Registry {
    /// Takes an agent in. Two tunnels under one name are both held, and said: a key may have been copied.
    #[must_use]
    pub fn connect(&self, link: AgentLink) -> Connected {
        let mut links = self.links();
        let twins = links.tunnels.values().filter(|l| l.agent == link.agent).count();
        if twins > 0 {
            tracing::warn!(agent = %link.agent, tunnels = twins + 1,
                "an agent's identity is in use more than once; unless its last connection is just ending, its key was copied");
        }
        let tunnel = links.tunnels.keys().next_back().map_or(1, |last| last + 1);
        let environment = link.environment.clone();
        links.insert(tunnel, link);
        drop(links);
        self.touch_in(&environment);
        Connected { registry: self.clone(), tunnel }
    }

    /// The agent of a database; of several tunnels, the newest.
    #[must_use]
    pub fn agent_of(&self, environment: &EnvironmentName, database: &DatabaseName) -> Option<AgentLink> {
        self.links().newest(environment, database).cloned()
    }

    /// The databases of an environment that two agents of different names serve now: with the older one.
    #[must_use]
    pub fn disputed(&self, environment: &EnvironmentName) -> BTreeMap<DatabaseName, AgentName> {
        let links = self.links();
        let Some(serving) = links.serving.get(environment) else { return BTreeMap::new() };
        let several = serving.iter().filter(|(_, tunnels)| tunnels.len() > 1);
        let disputed = several.filter_map(|(database, tunnels)| {
            let mut agents =
                tunnels.iter().rev().filter_map(|tunnel| links.tunnels.get(tunnel)).map(|l| &l.agent);
            let newest = agents.next()?;
            Some((database.clone(), agents.find(|agent| *agent != newest)?.clone()))
        });
        disputed.collect()
    }

    /// The name of that agent, and whether it takes migrations behind others.
    #[must_use]
    pub fn reached(
        &self,
        environment: &EnvironmentName,
        database: &DatabaseName,
    ) -> Option<(AgentName, bool)> {
        self.links().newest(environment, database).map(|link| (link.agent.clone(), link.queues))
    }

    /// All open tunnels, the oldest first.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentLink> {
        self.links().tunnels.values().cloned().collect()
    }

    /// Tells everybody who waits for a change of the world to look again.
    pub fn touch(&self) {
        self.counts().everywhere += 1;
        self.inner.changes.send_modify(|n| *n += 1);
    }

    /// Tells those whom an environment concerns: thousands may wait, each for another one.
    pub fn touch_in(&self, environment: &EnvironmentName) {
        *self.counts().of.entry(environment.clone()).or_default() += 1;
        self.inner.changes.send_modify(|n| *n += 1);
    }

    /// How often the world has changed for one whom these environments concern.
    #[must_use]
    pub fn changes_in(&self, environments: &[EnvironmentName]) -> u64 {
        let counts = self.counts();
        let of = environments.iter().map(|environment| counts.of.get(environment).copied().unwrap_or(0));
        counts.everywhere + of.sum::<u64>()
    }

    /// Changes with every [`Registry::touch`] and with every agent that comes or goes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Waits until that is another number than it was.
    pub async fn changed_in(
        &self,
        environments: &[EnvironmentName],
        seen: u64,
        changes: &mut watch::Receiver<u64>,
    ) {
        // The sender is this registry's own, so that it can't be gone.
        while changes.changed().await.is_ok() && self.changes_in(environments) == seen {}
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.inner.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        // Nothing can leave the map half changed.
        self.inner.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let removed = self.registry.links().remove(self.tunnel);
        if let Some(environment) = removed {
            self.registry.touch_in(&environment);
        }
    }
}
