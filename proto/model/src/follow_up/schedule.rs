//! What the events of a deployment make of its follow-ups.

use jiff::Timestamp;

use super::{FollowUpKey, Scheduled};
use crate::deployment::{Deployment, Stage};
use crate::event::{Event, StageOutcome, StepKind};
use crate::id::{DatabaseName, DeploymentId, EnvironmentName, MigrationId};
use crate::report::Outcome;

/// What an event makes of follow-ups.
#[derive(Debug, Clone, PartialEq)]
pub enum FollowUpChange {
    Schedule(Box<Scheduled>),
    /// The migration was rolled back there.
    Cancel {
        deployment: DeploymentId,
        environment: EnvironmentName,
        database: DatabaseName,
        migration: MigrationId,
        at: Timestamp,
    },
}

/// Of an event that the deployment has taken already.
#[must_use]
pub fn follow_up_changes(deployment: &Deployment, event: &Event, at: Timestamp) -> Vec<FollowUpChange> {
    match event {
        Event::StageFinished { stage, outcome: StageOutcome::Succeeded } => {
            deployment.stage(*stage).map_or_else(Vec::new, |stage| scheduled(deployment, stage, at))
        }
        Event::StepFinished { step, outcome: Outcome::Succeeded { .. }, .. }
            if step.kind == StepKind::Rollback =>
        {
            let environment = deployment.stage(step.stage).map(|stage| stage.spec.environment.clone());
            let cancel = |(environment, migration)| FollowUpChange::Cancel {
                deployment: deployment.id.clone(),
                environment,
                database: step.database.clone(),
                migration,
                at,
            };
            environment.zip(step.migration.clone()).map(cancel).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn scheduled(deployment: &Deployment, stage: &Stage, at: Timestamp) -> Vec<FollowUpChange> {
    let mut changes = Vec::new();
    for target in &stage.targets {
        let system_identifier = target.inspection().map(|i| i.system_identifier.clone()).unwrap_or_default();
        let applied = deployment.migrations_in(target).filter(|(_, steps)| steps.migrate.succeeded());
        for (migration, _) in applied {
            changes.extend(migration.manifest.follow_ups.iter().map(|follow_up| {
                FollowUpChange::Schedule(Box::new(Scheduled {
                    key: FollowUpKey {
                        deployment: deployment.id.clone(),
                        environment: stage.spec.environment.clone(),
                        database: target.database.clone(),
                        migration: migration.id.clone(),
                        name: follow_up.name.clone(),
                    },
                    digest: migration.digest,
                    follow_up: follow_up.clone(),
                    since: at,
                    system_identifier: system_identifier.clone(),
                    runs: Vec::new(),
                    held: None,
                    acknowledged: None,
                    cancelled: None,
                }))
            }));
        }
    }
    changes
}
