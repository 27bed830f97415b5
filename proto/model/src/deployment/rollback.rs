//! What a rollback has taken back, what it has yet to take back, and where it came to a stop.

use super::step::StepState;
use super::target::MigrationSteps;
use super::{Deployment, IllegalEvent, Set, Stage, StageStatus, Target};
use crate::event::{StageIndex, StepKey, StepKind};
use crate::id::MigrationId;
use crate::quarantine::{QuarantineChange, Quarantined};
use crate::report::StepReport;

impl Stage {
    /// Taking it back came to a stop, and nobody has decided yet how it goes on.
    #[must_use]
    pub fn rollback_failed(&self) -> bool {
        matches!(self.status, StageStatus::RollbackFailed { .. })
    }

    /// The migration that stays, with those before it, when the stage is taken back.
    #[must_use]
    pub fn rolled_back_to(&self) -> Option<&MigrationId> {
        self.rollback.as_ref()?.to.as_ref()
    }

    /// What the stage's rollback has yet to take back from a database, in its order.
    pub fn left_to_take_back<'a>(&'a self, target: &'a Target) -> impl Iterator<Item = &'a MigrationSteps> {
        target.to_take_back(self.rolled_back_to())
    }

    /// Whether everything that the stage's rollback is about is gone.
    #[must_use]
    pub fn is_taken_back(&self) -> bool {
        self.targets.that_are(Set::Affected).all(|target| self.left_to_take_back(target).next().is_none())
    }
}

impl Deployment {
    /// The rollbacks of migrations at which a stage's rollback came to a stop, of those whose outcome is known.
    #[must_use]
    pub fn failed_rollbacks(&self) -> Vec<StepKey> {
        let of_target = |index: StageIndex, target: &Target| {
            let failed = target
                .migrations
                .iter()
                .filter(|m| matches!(m.rollback.state, StepState::Failed { .. }) && m.has_effect());
            let key =
                |m: &MigrationSteps| StepKey::migration(index, &target.database, StepKind::Rollback, &m.id);
            failed.map(key).collect::<Vec<_>>()
        };
        self.indexed_stages()
            .filter(|(_, stage)| stage.rollback_failed())
            .flat_map(|(index, stage)| stage.targets.iter().flat_map(move |t| of_target(index, t)))
            .collect()
    }
}

impl Deployment {
    /// Whether a stage can be taken back, or why not; whatever else goes on in the deployment.
    pub fn can_be_rolled_back(
        &self,
        index: StageIndex,
        to: Option<&MigrationId>,
    ) -> Result<(), IllegalEvent> {
        self.check_way_back(index, to)
    }

    /// What a step that has just ended makes of its environment's quarantine.
    #[must_use]
    pub fn quarantine_change(&self, key: &StepKey) -> Option<QuarantineChange> {
        let stage = self.stage(key.stage)?;
        let migration = self.migration(key.migration.as_ref()?)?;
        let step = self.step(key).filter(|step| step.succeeded())?;
        let environment = stage.spec.environment.clone();
        match (key.kind, step.report()?) {
            (StepKind::Rollback, StepReport::RolledBack(report)) if !report.nothing_to_do => {
                let rollback = stage.rollback.as_ref()?;
                Some(QuarantineChange::Put(Quarantined {
                    environment,
                    digest: migration.digest,
                    migration: migration.id.clone(),
                    deployment: self.id.clone(),
                    at: self.updated_at,
                    by: rollback.by.clone(),
                    cause: rollback.cause.clone(),
                }))
            }
            // Others can't have applied what is quarantined.
            (StepKind::Migrate, _) if self.again.is_some() => {
                Some(QuarantineChange::Lift { environment, digest: migration.digest })
            }
            _ => None,
        }
    }
}
