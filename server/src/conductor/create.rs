//! How a deployment begins.

use std::collections::BTreeSet;
use std::sync::Arc;

use stopover_model::deployment::Deployment;
use stopover_model::digest::Digest;
use stopover_model::event::{DeploymentKind, Event, Record};
use stopover_model::id::{DeploymentId, OperatorName, Seq};
use stopover_model::migration::Migration;
use stopover_model::pipeline::Pipeline;
use stopover_model::plan::MigrationSummary;
use uuid::Uuid;

use super::{ConductError, Conductor};
use crate::store::{Bundle, Creation, NewDeployment};

/// What an operator wants deployed.
#[derive(Debug)]
pub struct Create {
    pub pipeline: Pipeline,
    /// In the order in which they are to be applied.
    pub migrations: Vec<Migration>,
    pub by: OperatorName,
    pub kind: DeploymentKind,
    /// The same request sent twice makes one deployment.
    pub request_id: Uuid,
    /// Refused unless the deployment has this digest.
    pub expected_digest: Option<Digest>,
    /// Why it may apply what was rolled back before.
    pub again: Option<String>,
    /// What earlier rollbacks of the migrations have dropped is put back once they are applied.
    pub restore_saved: bool,
}

impl Conductor {
    /// Writes a deployment's first event and takes it up.
    pub async fn create(&self, new: Create) -> Result<(DeploymentId, Digest), ConductError> {
        check_migrations(&new.migrations)?;
        let scripts: Arc<[Migration]> = new.migrations.into();
        let migrations: Vec<_> = scripts.iter().map(MigrationSummary::of).collect();
        // Before anything else: the answer to a request that was lost is the same although the pipeline has changed since.
        if let Some(id) = self.shared.store.deployment_of_request(new.request_id).await? {
            return self.known(id, new.kind, &migrations).await;
        }
        let digest = Deployment::digest_of(&new.pipeline, &migrations);
        if let Some(expected) = new.expected_digest.filter(|e| *e != digest) {
            return Err(ConductError::Digest { expected, found: digest });
        }
        if new.again.is_none() && new.kind == DeploymentKind::Migration {
            self.refuse_quarantined(&new.pipeline, &migrations).await?;
        }
        refuse_unapprovable(&new.pipeline, &new.by)?;
        let lint = self.lint_new(&new.pipeline, &scripts, digest).await?;
        let bundles: Vec<_> = scripts.iter().map(|m| Bundle { digest: m.digest, files: m.files() }).collect();
        let event = Event::Created {
            pipeline: new.pipeline,
            migrations: migrations.clone(),
            digest,
            by: new.by,
            lint,
            again: new.again,
            kind: new.kind,
            restore_saved: new.restore_saved,
        };
        let mut record = Record {
            deployment: DeploymentId::from_random(rand::random()),
            seq: Seq(1),
            at: (self.shared.clock)(),
            event,
        };
        loop {
            let request = NewDeployment { record: &record, bundles: &bundles, request_id: new.request_id };
            match self.shared.store.create_deployment(request).await? {
                Creation::Created => break,
                Creation::Existing(id) => return self.known(id, new.kind, &migrations).await,
                Creation::IdTaken => record.deployment = DeploymentId::from_random(rand::random()),
            }
        }
        tracing::info!(deployment = %record.deployment, kind = new.kind.word(), digest = %digest.short(), "deployment created");
        self.shared.actor(&record.deployment);
        Ok((record.deployment, digest))
    }

    /// What was rolled back on the pipeline's way is not deployed again by itself. A stage looks once more when it plans.
    async fn refuse_quarantined(
        &self,
        pipeline: &Pipeline,
        migrations: &[MigrationSummary],
    ) -> Result<(), ConductError> {
        for stage in &pipeline.stages {
            let quarantined = self.shared.store.quarantined(&stage.environment).await?;
            let found = quarantined.iter().find(|q| migrations.iter().any(|m| m.digest == q.digest));
            if let Some(found) = found {
                return Err(ConductError::Quarantined(Box::new(found.refusal())));
            }
        }
        Ok(())
    }

    /// What the same request made earlier.
    async fn known(
        &self,
        id: DeploymentId,
        kind: DeploymentKind,
        migrations: &[MigrationSummary],
    ) -> Result<(DeploymentId, Digest), ConductError> {
        let records = self.shared.store.records(&id, Seq::ZERO, 1).await?;
        let deployment =
            Deployment::fold(&records)?.ok_or_else(|| ConductError::NoDeployment(id.to_string()))?;
        let same = |(a, b): (&MigrationSummary, &MigrationSummary)| a.id == b.id && a.digest == b.digest;
        if deployment.kind != kind
            || deployment.migrations.len() != migrations.len()
            || !deployment.migrations.iter().zip(migrations).all(same)
        {
            return Err(ConductError::RequestUsed(id));
        }
        Ok((id, deployment.digest))
    }
}

/// What the one who creates it would be the only one to approve.
fn refuse_unapprovable(pipeline: &Pipeline, by: &OperatorName) -> Result<(), ConductError> {
    let stuck = pipeline.stages.iter().find(|stage| !stage.approvals.possible_without(by));
    let Some(stage) = stuck else { return Ok(()) };
    Err(ConductError::NobodyCouldApprove {
        environment: stage.environment.clone(),
        by: by.clone(),
        needed: stage.approvals.needed,
        who: stage.approvals.who(&[by]),
    })
}

pub(super) fn check_migrations(migrations: &[Migration]) -> Result<(), ConductError> {
    if migrations.is_empty() {
        return Err(ConductError::NoMigration);
    }
    let mut seen = BTreeSet::new();
    match migrations.iter().find(|m| !seen.insert(&m.id)) {
        Some(twice) => Err(ConductError::TwiceGiven(twice.id.clone())),
        None => Ok(()),
    }
}
