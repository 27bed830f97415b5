//! What `decide` may know beyond the deployment itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::StepKey;
use crate::follow_up::FailedFollowUp;
use crate::id::{AgentName, DatabaseName, DeploymentId, EnvironmentName, HookName};
use crate::plan::Measurement;
use crate::quarantine::Quarantined;
use crate::wave::Labels;

/// The surroundings of a deployment at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    /// The environments that exist.
    pub environments: BTreeMap<EnvironmentName, EnvironmentView>,
    /// Steps of this deployment that are being listened to.
    pub in_flight: BTreeSet<StepKey>,
    /// What earlier deployments' statements took: of the same migrations, and in the environment that is planned for.
    /// Looked up only where a plan is due.
    pub history: Vec<Measurement>,
    /// What was rolled back in the environment that is planned for. Looked up together with that.
    pub quarantined: Vec<Quarantined>,
    /// Why the last call of a hook that is being called came to nothing.
    pub hook_errors: BTreeMap<HookName, String>,
    /// Follow-ups of any deployment that failed, and that nobody has acknowledged.
    pub failed_follow_ups: Vec<FailedFollowUp>,
}

/// One environment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EnvironmentView {
    /// Its databases, as its agents announced them.
    pub databases: BTreeMap<DatabaseName, AgentPresence>,
    /// What their agents say of them; who is not here has none.
    pub labels: BTreeMap<DatabaseName, Labels>,
    /// Those that two agents serve at the same time, with the other one.
    pub disputed: BTreeMap<DatabaseName, AgentName>,
    /// Those whose agents take migrations before their turn has come.
    pub queueing: BTreeSet<DatabaseName>,
    /// The other deployment that is in it.
    pub held_by: Option<DeploymentId>,
}

/// The agent of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentPresence {
    Connected(AgentName),
    Away(AgentName),
}

impl World {
    #[must_use]
    pub fn presence(&self, environment: &EnvironmentName, database: &DatabaseName) -> Option<&AgentPresence> {
        self.environments.get(environment)?.databases.get(database)
    }
}
