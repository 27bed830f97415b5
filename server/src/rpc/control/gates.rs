//! What people do at a stage's gates: approve, reject, tick.

use stopover_model::event::{Event, StageIndex};
use stopover_model::id::{DeploymentId, EnvironmentName, OperatorName, Seq};
use stopover_proto::convert::InvalidWire;
use stopover_proto::convert::field::{digest, message, name, optional_name};
use stopover_proto::v1;

use super::Api;
use super::asks::Meant;
use crate::conductor::Request;
use crate::rpc::auth::Operator;
use crate::rpc::status::RpcError;

impl Api {
    pub(super) async fn approve(
        &self,
        by: Operator,
        request: v1::ApproveDeploymentRequest,
    ) -> Result<v1::ApproveDeploymentResponse, RpcError> {
        let (id, stage) =
            self.stage_named(&by, &request.deployment, request.environment, Meant::Next).await?;
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
        let (id, stage) =
            self.stage_named(&by, &request.deployment, request.environment, Meant::Next).await?;
        let wish = Request::Reject { stage, groups: by.groups, reason: request.reason };
        let (stage, _) = self.said(&id, by.name, wish).await?;
        let pipeline = self.pipeline_of(&id).await?;
        let spec = pipeline.stages.get(stage.0 as usize);
        let environment = spec.map(|spec| name::write(spec.environment.clone())).unwrap_or_default();
        Ok(v1::RejectDeploymentResponse { environment })
    }

    pub(super) async fn override_window_of(
        &self,
        by: &Operator,
        request: v1::OverrideWindowRequest,
    ) -> Result<v1::OverrideWindowResponse, RpcError> {
        if request.reason.trim().is_empty() {
            let why = "is empty; say why, since everybody who looks is shown it";
            return Err(InvalidWire::new("reason", why).into());
        }
        let (id, stage) = self.stage_named(by, &request.deployment, request.environment, Meant::Next).await?;
        let wish = Request::OverrideWindow { stage, reason: request.reason };
        let (stage, _) = self.said(&id, by.name.clone(), wish).await?;
        let whole = self.services.conductor.state_of(&id).await?;
        if whole.paused.is_some() {
            let resume = Request::Resume { databases: Vec::new() };
            self.services.conductor.request(&id, by.name.clone(), resume).await?;
        }
        let environment = whole.stage(stage).map(|stage| name::write(stage.spec.environment.clone()));
        Ok(v1::OverrideWindowResponse { environment: environment.unwrap_or_default() })
    }

    pub(super) async fn answer_hook_of(
        &self,
        by: &Operator,
        request: v1::AnswerHookRequest,
    ) -> Result<v1::AnswerHookResponse, RpcError> {
        let (hook, outcome) = (name::read(request.hook, "hook")?, message::read(request.outcome, "outcome")?);
        let meant = Meant::WithHook(&hook);
        let (id, stage) = self.stage_named(by, &request.deployment, request.environment, meant).await?;
        let (stage, _) =
            self.said(&id, by.name.clone(), Request::AnswerHook { stage, hook, outcome }).await?;
        let whole = self.services.conductor.state_of(&id).await?;
        let environment = whole.stage(stage).map(|stage| name::write(stage.spec.environment.clone()));
        Ok(v1::AnswerHookResponse { environment: environment.unwrap_or_default() })
    }

    pub(super) async fn tick(
        &self,
        by: &Operator,
        request: v1::TickItemRequest,
    ) -> Result<v1::TickItemResponse, RpcError> {
        let meant = Meant::WithItem(&request.item);
        let (id, stage) = self.stage_named(by, &request.deployment, request.environment, meant).await?;
        let (stage, item) =
            self.said(&id, by.name.clone(), Request::Tick { stage, item: request.item }).await?;
        let whole = self.services.conductor.state_of(&id).await?;
        let Some(stage) = whole.stage(stage) else { return Ok(v1::TickItemResponse::default()) };
        let left = stage.spec.checklist.iter().filter(|item| !stage.gates.ticked.contains_key(*item));
        Ok(v1::TickItemResponse {
            environment: name::write(stage.spec.environment.clone()),
            item,
            left: left.cloned().collect(),
        })
    }

    /// The deployment, and its stage that is named or meant, where the caller may do this.
    async fn stage_named(
        &self,
        by: &Operator,
        deployment: &str,
        environment: String,
        meant: Meant<'_>,
    ) -> Result<(DeploymentId, Option<StageIndex>), RpcError> {
        let id = self.deployment_named(deployment).await?;
        let environment: Option<EnvironmentName> = optional_name::read(environment, "environment")?;
        let whole = self.services.conductor.state_of(&id).await?;
        let stage = self.stage_for(by, &whole, environment.as_ref(), meant).await?;
        Ok((id, stage))
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
                | Event::WindowOverridden { stage, .. }
                | Event::HookFinished { stage, .. },
            ) => (stage, String::new()),
            Some(Event::Ticked { stage, item, .. }) => (stage, item),
            _ => (StageIndex(0), String::new()),
        })
    }
}
