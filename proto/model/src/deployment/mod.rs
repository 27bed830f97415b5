//! A deployment's state: deployment -> stages -> targets (databases) -> migrations -> steps, folded from its events.

mod apply;
mod baseline;
mod fleet;
mod fold;
mod gates;
mod glance;
mod legal;
mod measured;
mod rollback;
mod soak;
mod step;
mod target;
mod targets;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use baseline::{Baseline, Measured};
pub use fleet::WaveProgress;
pub use glance::Glance;
pub use legal::IllegalEvent;
pub use soak::{Watched, holds, monitors};
pub use step::{MOST_TRIES, StatementRun, Step, StepState};
pub use target::{LeftOut, MigrationSteps, Target};
pub(crate) use targets::Set;
#[cfg(test)]
pub(crate) use targets::looks;
pub use targets::{FleetCounts, Targets};

use crate::backfill::Throttle;
use crate::digest::{Digest, Digester};
use crate::event::{Actor, DeploymentKind, DeploymentOutcome, StageIndex, StageOutcome, StepKey, Waiting};
use crate::gate::GateState;
use crate::id::{DatabaseName, DeploymentId, MigrationId, OperatorName, Seq};
use crate::lint::LintFinding;
use crate::pipeline::{Pipeline, StageSpec};
use crate::plan::MigrationSummary;

/// Names the sources that say what a state looks like, and what events make of it: a state that another build has kept, or
/// sends, is not to be read.
pub const FORM: &str = env!("STOPOVER_MODEL_SOURCES");

/// All that is known of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: DeploymentId,
    /// Of the last event in it.
    pub seq: Seq,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub pipeline: Pipeline,
    pub migrations: Vec<MigrationSummary>,
    pub digest: Digest,
    pub by: OperatorName,
    /// What the linter found before it began.
    pub lint: Vec<LintFinding>,
    /// Why it may apply what was rolled back before.
    pub again: Option<String>,
    /// What earlier rollbacks of the migrations have dropped is put back once they are applied.
    pub restore_saved: bool,
    pub kind: DeploymentKind,
    pub stages: Vec<Stage>,
    pub waiting: Option<Waiting>,
    /// Since when it waits for something of that kind.
    pub waiting_since: Option<Timestamp>,
    pub paused: Option<Pause>,
    pub cancelling: Option<Actor>,
    /// How fast backfills may go, as a person has it.
    pub throttle: Throttle,
    /// None while it goes on. A rollback asked for later opens it again.
    pub outcome: Option<DeploymentOutcome>,
}

/// Held until a person decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub cause: String,
    pub by: Actor,
    pub since: Timestamp,
}

/// A stage of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    pub spec: StageSpec,
    pub status: StageStatus,
    pub gates: GateState,
    /// Known when the stage begins.
    pub targets: Targets,
    /// The last one that was begun here.
    pub rollback: Option<StageRollback>,
    /// Who came and went since it began.
    pub changed: Option<FleetChange>,
}

/// Databases that the stage would have, and those that it has and would not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetChange {
    pub joined: Vec<DatabaseName>,
    pub left: Vec<DatabaseName>,
}

/// Why, for whom and how far a stage is taken back, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRollback {
    pub at: Timestamp,
    pub cause: String,
    pub by: Actor,
    /// This migration and those before it stay; None: all are taken back.
    pub to: Option<MigrationId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageStatus {
    Pending,
    Running {
        since: Timestamp,
    },
    Soaking {
        since: Timestamp,
        until: Timestamp,
    },
    RollingBack {
        since: Timestamp,
    },
    /// Taking back came to a stop, and a person must say how it goes on.
    RollbackFailed {
        since: Timestamp,
        cause: String,
    },
    Ended {
        outcome: StageOutcome,
        at: Timestamp,
    },
}

impl Deployment {
    /// The digest that people agree to: over the pipeline and every migration, in order.
    #[must_use]
    pub fn digest_of(pipeline: &Pipeline, migrations: &[MigrationSummary]) -> Digest {
        let mut digester = Digester::new("stopover deployment v1");
        // A struct's JSON has its fields in the order of their declaration: the same pipeline gives the same bytes.
        digester.part("pipeline", &serde_json::to_vec(pipeline).unwrap_or_default());
        for migration in migrations {
            digester.part(migration.id.as_str(), migration.digest.as_bytes());
        }
        digester.finish()
    }

    #[must_use]
    pub fn stage(&self, index: StageIndex) -> Option<&Stage> {
        self.stages.get(index.0 as usize)
    }

    #[must_use]
    pub fn migration(&self, id: &MigrationId) -> Option<&MigrationSummary> {
        self.migrations.iter().find(|m| m.id == *id)
    }

    /// The migrations with their steps in a database; both are in the same order.
    pub fn migrations_in<'a, 'b>(
        &'a self,
        target: &'b Target,
    ) -> impl Iterator<Item = (&'a MigrationSummary, &'b MigrationSteps)> + Clone {
        self.migrations.iter().zip(&target.migrations)
    }

    #[must_use]
    pub fn step(&self, key: &StepKey) -> Option<&Step> {
        self.stage(key.stage)?.target(&key.database)?.step(key)
    }

    /// The stages with their places.
    pub fn indexed_stages(&self) -> impl DoubleEndedIterator<Item = (StageIndex, &Stage)> {
        (0..).map(StageIndex).zip(&self.stages).collect::<Vec<_>>().into_iter()
    }

    /// The steps that an agent may be working on.
    #[must_use]
    pub fn running_steps(&self) -> Vec<StepKey> {
        self.indexed_stages()
            .flat_map(|(index, stage)| {
                stage.targets.that_are(Set::Running).flat_map(move |t| t.running(index))
            })
            .collect()
    }

    /// The last stage in which something of this deployment is in a database: the one that a rollback means when it names none.
    #[must_use]
    pub fn last_stage_with_effects(&self) -> Option<StageIndex> {
        self.indexed_stages().rev().find(|(_, s)| s.has_effects()).map(|(index, _)| index)
    }
}

impl Stage {
    #[must_use]
    pub fn target(&self, database: &DatabaseName) -> Option<&Target> {
        self.targets.named(database)
    }

    /// Whether anything of this deployment is, or may be, in one of its databases.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        self.targets.any(Set::Affected)
    }

    /// Begun and not ended: it holds its environment.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.status, StageStatus::Pending | StageStatus::Ended { .. })
    }
}

#[cfg(test)]
pub(crate) mod tests;
