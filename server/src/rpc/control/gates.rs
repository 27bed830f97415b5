//! What people do at a stage's gates: approve, reject, tick.

use stopover_model::event::{Event, StageIndex};
use stopover_model::id::{DeploymentId, EnvironmentName, OperatorName, Seq};
use stopover_proto::convert::InvalidWire;
use stopover_proto::convert::field::{digest, name, optional_name};
use stopover_proto::v1;

use super::Api;
use super::requests::stage_in;
use crate::conductor::Request;
use crate::rpc::auth::Operator;
use crate::rpc::status::RpcError;

impl Api {
    pub(super) async fn approve(
        &self,
        by: Operator,
        request: v1::ApproveDeploymentRequest,
    ) -> Result<v1::ApproveDeploymentResponse, RpcError> {
        let (id, stage) = self.stage_named(&request.deployment, request.environment).await?;
        let digest = digest::read(request.digest, "digest")?;
        let wish = Request::Approve { stage, groups: by.groups, digest, reason: request.reason };
        let (stage, _) = self.said(&id, by.name, wish).await?;
        let whole = self.services.conductor.state_of(&id).await?;
        let stage = whole.stage(stage);
        let have = stage.map_or(0, |stage| stage.gates.approvals.len());
        Ok(v1::ApproveDeploymentResponse {
            environment: stage.map(|stage| name::write(stage.spec.environment.clone())).unwrap_or_default(),
            have: u32::try_from(have).unwrap_or(u32::MAX),
            need: stage.map_or(0, |stage| stage.spec.approvals.needed),
        })
    }

    pub(super) async fn reject(
        &self,
        by: Operator,
        request: v1::RejectDeploymentRequest,
    ) -> Result<v1::RejectDeploymentResponse, RpcError> {
        if request.reason.trim().is_empty() {
            let why = "is empty; say why, since everybody who looks is shown it";
            return Err(InvalidWire::new("reason", why).into());
        }
        let (id, stage) = self.stage_named(&request.deployment, request.environment).await?;
        let wish = Request::Reject { stage, groups: by.groups, reason: request.reason };
        let (stage, _) = self.said(&id, by.name, wish).await?;
        let pipeline = self.pipeline_of(&id).await?;
        let spec = pipeline.stages.get(stage.0 as usize);
        let environment = spec.map(|spec| name::write(spec.environment.clone())).unwrap_or_default();
        Ok(v1::RejectDeploymentResponse { environment })
    }

    pub(super) async fn override_window_of(
        &self,
        by: OperatorName,
        request: v1::OverrideWindowRequest,
    ) -> Result<v1::OverrideWindowResponse, RpcError> {
        if request.reason.trim().is_empty() {
            let why = "is empty; say why, since everybody who looks is shown it";
            return Err(InvalidWire::new("reason", why).into());
        }
        let (id, stage) = self.stage_named(&request.deployment, request.environment).await?;
        let wish = Request::OverrideWindow { stage, reason: request.reason };
        let (stage, _) = self.said(&id, by.clone(), wish).await?;
        let whole = self.services.conductor.state_of(&id).await?;
        if whole.paused.is_some() {
            self.services.conductor.request(&id, by, Request::Resume).await?;
        }
        let environment = whole.stage(stage).map(|stage| name::write(stage.spec.environment.clone()));
        Ok(v1::OverrideWindowResponse { environment: environment.unwrap_or_default() })
    }

    pub(super) async fn tick(
        &self,
        by: OperatorName,
        request: v1::TickItemRequest,
    ) -> Result<v1::TickItemResponse, RpcError> {
        let (id, stage) = self.stage_named(&request.deployment, request.environment).await?;
        let (stage, item) = self.said(&id, by, Request::Tick { stage, item: request.item }).await?;
        let whole = self.services.conductor.state_of(&id).await?;
        let Some(stage) = whole.stage(stage) else { return Ok(v1::TickItemResponse::default()) };
        let left = stage.spec.checklist.iter().filter(|item| !stage.gates.ticked.contains_key(*item));
        Ok(v1::TickItemResponse {
            environment: name::write(stage.spec.environment.clone()),
            item,
            left: left.cloned().collect(),
        })
    }

    /// The deployment, and its stage in an environment where one is named.
    async fn stage_named(
        &self,
        deployment: &str,
        environment: String,
    ) -> Result<(DeploymentId, Option<StageIndex>), RpcError> {
        let id = self.deployment_named(deployment).await?;
        let Some(environment) = optional_name::read::<EnvironmentName>(environment, "environment")? else {
            return Ok((id, None));
        };
        let stage = stage_in(&self.pipeline_of(&id).await?, id.as_str(), &environment)?;
        Ok((id, Some(stage)))
    }

    /// Asks, and says which stage it came to be about, and which item.
    async fn said(
        &self,
        id: &DeploymentId,
        by: OperatorName,
        wish: Request,
    ) -> Result<(StageIndex, String), RpcError> {
        let seq = self.services.conductor.request(id, by, wish).await?;
        let records = self.services.store.records(id, Seq(seq.0.saturating_sub(1)), 1).await?;
        Ok(match records.into_iter().next().map(|record| record.event) {
            Some(
                Event::Approved { stage, .. }
                | Event::Rejected { stage, .. }
                | Event::WindowOverridden { stage, .. },
            ) => (stage, String::new()),
            Some(Event::Ticked { stage, item, .. }) => (stage, item),
            _ => (StageIndex(0), String::new()),
        })
    }
}
