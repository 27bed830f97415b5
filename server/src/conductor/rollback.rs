//! A stage that is to be taken back: what that would take is looked at in its databases, and whether others have applied
//! something on top, since then it is not taken back.

use std::time::Duration;

use futures::future::join_all;
use stopover_model::deployment::{Deployment, IllegalEvent, Stage};
use stopover_model::digest::Digest;
use stopover_model::event::StageIndex;
use stopover_model::id::{
    DatabaseName, DeploymentId, EnvironmentName, Epoch, MigrationId, OperatorName, Seq,
};
use stopover_model::pipeline::BackupLevel;
use stopover_model::report::{ErrorClass, StepError};
use stopover_model::rollback::RollbackPlan;
use stopover_proto::convert::field::{name, or_default};
use stopover_proto::v1;

use super::act::{checked, refused};
use super::dispatch::bundles;
use super::load::{LoadError, load};
use super::{ConductError, Conductor, Request};
use crate::registry::AgentLink;

/// What a look whether others have come on top may take, before a rollback begins without knowing: the agent looks again
/// in any case.
const SHORT: Duration = Duration::from_secs(10);

/// What taking a stage back would do.
#[derive(Debug)]
pub struct StageRollbackPlan {
    pub environment: EnvironmentName,
    /// Before anything is taken back.
    pub backup: BackupLevel,
    /// In the order in which they are taken back; of each that, or why it could not be looked at.
    pub databases: Vec<(DatabaseName, Result<RollbackPlan, StepError>)>,
}

impl Conductor {
    /// What taking a stage back would take, and what stands in its way.
    pub async fn plan_rollback(
        &self,
        id: &DeploymentId,
        stage: Option<StageIndex>,
        to: Option<MigrationId>,
    ) -> Result<StageRollbackPlan, ConductError> {
        let deployment = self.state_of(id).await?;
        let (index, stage) = stage_of(&deployment, stage)?;
        deployment.can_be_rolled_back(index, to.as_ref())?;
        Ok(StageRollbackPlan {
            environment: stage.spec.environment.clone(),
            backup: stage.spec.backup.level,
            databases: self.look_back(&deployment, stage, to.as_ref(), false).await,
        })
    }

    /// Begins to take a stage back, unless others have applied something on top.
    pub async fn roll_back(
        &self,
        id: &DeploymentId,
        by: OperatorName,
        stage: Option<StageIndex>,
        to: Option<MigrationId>,
    ) -> Result<Seq, ConductError> {
        let deployment = self.state_of(id).await?;
        if let Ok((_, stage)) = stage_of(&deployment, stage) {
            let looking = self.look_back(&deployment, stage, to.as_ref(), true);
            let looked = tokio::time::timeout(SHORT, looking).await.unwrap_or_default();
            let later = looked.iter().find_map(|(database, plan)| {
                let later = plan.as_ref().ok()?.refusal(&stage.spec.environment, database, id)?;
                Some(ConductError::NotLast(Box::new(later)))
            });
            later.map_or(Ok(()), Err)?;
        }
        self.request(id, by, Request::Rollback { stage, to }).await
    }

    /// The deployment as its log has it.
    pub async fn state_of(&self, id: &DeploymentId) -> Result<Deployment, ConductError> {
        load(&self.shared.store, id).await.map_err(|error| match error {
            LoadError::Store(error) => error.into(),
            LoadError::Missing => ConductError::NoDeployment(id.to_string()),
            LoadError::Unreadable(_) | LoadError::Senseless(_) => ConductError::Unreadable(id.clone()),
        })
    }

    /// Asks the agent of each database in which something is to be taken back.
    async fn look_back(
        &self,
        deployment: &Deployment,
        stage: &Stage,
        to: Option<&MigrationId>,
        only_later: bool,
    ) -> Vec<(DatabaseName, Result<RollbackPlan, StepError>)> {
        let environment = &stage.spec.environment;
        let act = DeploymentId::from_random(rand::random());
        let looks = stage.targets.iter().rev().filter_map(|target| {
            let ids: Vec<MigrationId> = target.to_take_back(to).map(|m| m.id.clone()).collect();
            if ids.is_empty() {
                return None;
            }
            let (database, act) = (target.database.clone(), act.clone());
            let saving = or_default::write(stage.spec.saving);
            Some(async move {
                // Looking is not fenced.
                let act = self.shared.act(environment, &database, act, Epoch(1));
                let plan = match self.bundles_of(deployment, &ids).await {
                    Ok(migrations) => {
                        let request = v1::PlanRollbackRequest {
                            act: Some(act.into()),
                            deployment: name::write(deployment.id.clone()),
                            migrations,
                            only_later,
                            saving,
                        };
                        self.shared.ask(environment, &database, |link| ask(link, request)).await
                    }
                    Err(error) => Err(error),
                };
                (database, plan)
            })
        });
        join_all(looks.collect::<Vec<_>>()).await
    }

    async fn bundles_of(
        &self,
        deployment: &Deployment,
        ids: &[MigrationId],
    ) -> Result<Vec<v1::MigrationBundle>, StepError> {
        let named = |id: &MigrationId| Some((id.clone(), deployment.migration(id)?.digest));
        let named: Vec<(MigrationId, Digest)> = ids.iter().filter_map(named).collect();
        let found = bundles(&self.shared.store, &named).await;
        found.map_err(|status| StepError::new(ErrorClass::Transient, status.message()))
    }
}

/// The stage that is meant: where none is named the last one in which something of the deployment is.
fn stage_of(
    deployment: &Deployment,
    index: Option<StageIndex>,
) -> Result<(StageIndex, &Stage), ConductError> {
    let index = index
        .or_else(|| deployment.last_stage_with_effects())
        .ok_or_else(|| ConductError::NothingToRollBack(deployment.id.clone()))?;
    let stage = deployment.stage(index).ok_or(IllegalEvent::NoStage(index))?;
    Ok((index, stage))
}

async fn ask(link: AgentLink, request: v1::PlanRollbackRequest) -> Result<RollbackPlan, StepError> {
    use v1::plan_rollback_response::Result as Answer;
    let answer = link.client().plan_rollback(request).await.map_err(|status| refused(&link, &status))?;
    let told = answer.into_inner().result.map(|answer| match answer {
        Answer::Plan(plan) => Ok(plan),
        Answer::Failed(error) => Err(error),
    });
    checked(&link, told, "plan")
}
