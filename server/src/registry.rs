//! The agents that hold a tunnel to this server now, and how to call them.
//!
//! What must survive a restart (which agent serves which database) is in the store; here is only who can be reached.

use std::collections::BTreeMap;
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
    pub databases: Vec<DatabaseName>,
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
    /// By tunnel, in the order in which they were opened.
    links: Mutex<BTreeMap<u64, AgentLink>>,
    changes: watch::Sender<u64>,
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
        let twins = links.values().filter(|l| l.agent == link.agent).count();
        if twins > 0 {
            tracing::warn!(agent = %link.agent, tunnels = twins + 1,
                "an agent's identity is in use more than once; unless its last connection is just ending, its key was copied");
        }
        let tunnel = links.keys().next_back().map_or(1, |last| last + 1);
        links.insert(tunnel, link);
        drop(links);
        self.touch();
        Connected { registry: self.clone(), tunnel }
    }

    /// The agent of a database; of several tunnels, the newest.
    #[must_use]
    pub fn agent_of(&self, environment: &EnvironmentName, database: &DatabaseName) -> Option<AgentLink> {
        let serves = |l: &&AgentLink| l.environment == *environment && l.databases.contains(database);
        self.links().values().rev().find(serves).cloned()
    }

    /// All open tunnels, the oldest first.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentLink> {
        self.links().values().cloned().collect()
    }

    /// Tells everybody who waits for a change of the world to look again.
    pub fn touch(&self) {
        self.inner.changes.send_modify(|n| *n += 1);
    }

    /// Changes with every [`Registry::touch`] and with every agent that comes or goes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<u64, AgentLink>> {
        // Nothing can leave the map half changed.
        self.inner.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.registry.links().remove(&self.tunnel);
        self.registry.touch();
    }
}
