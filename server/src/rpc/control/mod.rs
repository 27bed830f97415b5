//! What operators ask for: one file a group of verbs. Here is only which method is which verb.

mod backups;
mod deployments;
mod drift;
mod environments;
mod follow_ups;
mod gates;
mod histories;
mod pipelines;
mod plan;
mod requests;
mod saved;
mod tokens;
mod watch;

use futures::stream::BoxStream;
use stopover_proto::v1;
use stopover_proto::v1::control_server::Control;
use tonic::{Request, Response, Status};

use super::Services;
use super::auth::Operator;
use super::status::RpcError;

/// The Control service.
#[derive(Clone)]
pub(super) struct Api {
    services: Services,
}

type Answer<T> = Result<Response<T>, Status>;

impl Api {
    pub(super) fn new(services: Services) -> Self {
        Self { services }
    }
}

fn answer<T>(made: Result<T, RpcError>) -> Answer<T> {
    Ok(Response::new(made?))
}

#[tonic::async_trait]
impl Control for Api {
    type WatchStream = BoxStream<'static, Result<v1::WatchUpdate, Status>>;
    type VerifyBackupStream = backups::Updates;
    type RestoreBackupStream = backups::Updates;

    async fn plan(&self, request: Request<v1::PlanRequest>) -> Answer<v1::PlanResponse> {
        answer(self.show_plan(request.into_inner()).await)
    }

    async fn deploy(&self, request: Request<v1::DeployRequest>) -> Answer<v1::DeployResponse> {
        let by = Operator::of(&request)?;
        answer(self.create_deployment(by, request.into_inner()).await)
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        answer(self.follow(request.into_inner()).await)
    }

    async fn get_deployment(
        &self,
        request: Request<v1::GetDeploymentRequest>,
    ) -> Answer<v1::GetDeploymentResponse> {
        answer(self.whole_log(&request.into_inner().deployment).await)
    }

    async fn rehearse(&self, request: Request<v1::RehearseEnvironmentRequest>) -> Answer<v1::DeployResponse> {
        let by = Operator::of(&request)?;
        answer(self.create_rehearsal(by, request.into_inner()).await)
    }

    async fn list_deployments(
        &self,
        request: Request<v1::ListDeploymentsRequest>,
    ) -> Answer<v1::ListDeploymentsResponse> {
        answer(self.newest_deployments(request.into_inner().limit).await)
    }

    async fn cancel_deployment(
        &self,
        request: Request<v1::CancelDeploymentRequest>,
    ) -> Answer<v1::CancelDeploymentResponse> {
        let by = Operator::of(&request)?;
        answer(self.cancel(by, request.into_inner()).await)
    }

    async fn plan_rollback(
        &self,
        request: Request<v1::PlanDeploymentRollbackRequest>,
    ) -> Answer<v1::PlanDeploymentRollbackResponse> {
        answer(self.rollback_plan(request.into_inner()).await)
    }

    async fn rollback_deployment(
        &self,
        request: Request<v1::RollbackDeploymentRequest>,
    ) -> Answer<v1::RollbackDeploymentResponse> {
        let by = Operator::of(&request)?;
        answer(self.roll_back(by, request.into_inner()).await)
    }

    async fn pause_deployment(
        &self,
        request: Request<v1::PauseDeploymentRequest>,
    ) -> Answer<v1::PauseDeploymentResponse> {
        let by = Operator::of(&request)?;
        answer(self.pause(by, request.into_inner()).await)
    }

    async fn resume_deployment(
        &self,
        request: Request<v1::ResumeDeploymentRequest>,
    ) -> Answer<v1::ResumeDeploymentResponse> {
        let by = Operator::of(&request)?;
        answer(self.resume(by, request.into_inner()).await)
    }

    async fn throttle_deployment(
        &self,
        request: Request<v1::ThrottleDeploymentRequest>,
    ) -> Answer<v1::ThrottleDeploymentResponse> {
        let by = Operator::of(&request)?;
        answer(self.throttle(by, request.into_inner()).await)
    }

    async fn resolve_deployment(
        &self,
        request: Request<v1::ResolveDeploymentRequest>,
    ) -> Answer<v1::ResolveDeploymentResponse> {
        let by = Operator::of(&request)?;
        answer(self.resolve(by, request.into_inner()).await)
    }

    async fn approve_deployment(
        &self,
        request: Request<v1::ApproveDeploymentRequest>,
    ) -> Answer<v1::ApproveDeploymentResponse> {
        let by = Operator::whole(&request)?;
        answer(self.approve(by, request.into_inner()).await)
    }

    async fn reject_deployment(
        &self,
        request: Request<v1::RejectDeploymentRequest>,
    ) -> Answer<v1::RejectDeploymentResponse> {
        let by = Operator::whole(&request)?;
        answer(self.reject(by, request.into_inner()).await)
    }

    async fn override_window(
        &self,
        request: Request<v1::OverrideWindowRequest>,
    ) -> Answer<v1::OverrideWindowResponse> {
        let by = Operator::admin(&request, "override windows")?;
        answer(self.override_window_of(by, request.into_inner()).await)
    }

    async fn tick_item(&self, request: Request<v1::TickItemRequest>) -> Answer<v1::TickItemResponse> {
        let by = Operator::of(&request)?;
        answer(self.tick(by, request.into_inner()).await)
    }

    async fn approve_restore(
        &self,
        request: Request<v1::ApproveRestoreRequest>,
    ) -> Answer<v1::ApproveRestoreResponse> {
        let by = Operator::whole(&request)?;
        answer(self.approve_restore(by, request.into_inner()).await)
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Answer<v1::CreateTokenResponse> {
        let by = Operator::admin(&request, "make tokens")?;
        answer(self.make_token(by, request.into_inner()).await)
    }

    async fn list_tokens(&self, _: Request<v1::ListTokensRequest>) -> Answer<v1::ListTokensResponse> {
        answer(self.tokens().await)
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Answer<v1::RevokeTokenResponse> {
        let by = Operator::admin(&request, "revoke tokens")?;
        answer(self.revoke(by, request.into_inner()).await)
    }

    async fn read_histories(
        &self,
        request: Request<v1::ReadHistoriesRequest>,
    ) -> Answer<v1::ReadHistoriesResponse> {
        answer(self.histories(request.into_inner()).await)
    }

    async fn record_applied(
        &self,
        request: Request<v1::RecordAppliedRequest>,
    ) -> Answer<v1::RecordAppliedResponse> {
        let by = Operator::of(&request)?;
        answer(self.record(by, request.into_inner()).await)
    }

    async fn read_drift(
        &self,
        request: Request<v1::ReadEnvironmentDriftRequest>,
    ) -> Answer<v1::ReadEnvironmentDriftResponse> {
        answer(self.drift(request.into_inner()).await)
    }

    async fn accept_drift(
        &self,
        request: Request<v1::AcceptEnvironmentDriftRequest>,
    ) -> Answer<v1::AcceptEnvironmentDriftResponse> {
        let by = Operator::of(&request)?;
        answer(self.accept(by, request.into_inner()).await)
    }

    async fn list_follow_ups(
        &self,
        request: Request<v1::ListFollowUpsRequest>,
    ) -> Answer<v1::ListFollowUpsResponse> {
        answer(self.follow_ups(request.into_inner()).await)
    }

    async fn acknowledge_follow_up(
        &self,
        request: Request<v1::AcknowledgeFollowUpRequest>,
    ) -> Answer<v1::AcknowledgeFollowUpResponse> {
        let by = Operator::of(&request)?;
        answer(self.acknowledge(by, request.into_inner()).await)
    }

    async fn list_backups(
        &self,
        request: Request<v1::ListEnvironmentBackupsRequest>,
    ) -> Answer<v1::ListEnvironmentBackupsResponse> {
        answer(self.backups(request.into_inner()).await)
    }

    async fn verify_backup(
        &self,
        request: Request<v1::VerifyStoredBackupRequest>,
    ) -> Answer<Self::VerifyBackupStream> {
        answer(self.verify_stored(request.into_inner()).await)
    }

    async fn restore_backup(
        &self,
        request: Request<v1::RestoreStoredBackupRequest>,
    ) -> Answer<Self::RestoreBackupStream> {
        let by = Operator::of(&request)?;
        answer(self.restore_stored(by, request.into_inner()).await)
    }

    async fn list_saved(&self, request: Request<v1::ListSavedRequest>) -> Answer<v1::ListSavedResponse> {
        answer(self.saved(request.into_inner()).await)
    }

    async fn restore_saved(
        &self,
        request: Request<v1::RestoreEnvironmentSavedRequest>,
    ) -> Answer<v1::RestoreEnvironmentSavedResponse> {
        let by = Operator::of(&request)?;
        answer(self.restore(by, request.into_inner()).await)
    }

    async fn purge_saved(
        &self,
        request: Request<v1::PurgeEnvironmentSavedRequest>,
    ) -> Answer<v1::PurgeEnvironmentSavedResponse> {
        let by = Operator::of(&request)?;
        answer(self.purge(by, request.into_inner()).await)
    }

    async fn create_environment(
        &self,
        request: Request<v1::CreateEnvironmentRequest>,
    ) -> Answer<v1::CreateEnvironmentResponse> {
        answer(self.make_environment(request.into_inner()).await)
    }

    async fn list_environments(
        &self,
        _: Request<v1::ListEnvironmentsRequest>,
    ) -> Answer<v1::ListEnvironmentsResponse> {
        answer(self.environments().await)
    }

    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Answer<v1::CreateJoinTokenResponse> {
        answer(self.make_join_token(request.into_inner()).await)
    }

    async fn list_agents(&self, _: Request<v1::ListAgentsRequest>) -> Answer<v1::ListAgentsResponse> {
        answer(self.agents().await)
    }

    async fn apply_pipeline(
        &self,
        request: Request<v1::ApplyPipelineRequest>,
    ) -> Answer<v1::ApplyPipelineResponse> {
        answer(self.store_pipeline(request.into_inner()).await)
    }

    async fn get_pipeline(
        &self,
        request: Request<v1::GetPipelineRequest>,
    ) -> Answer<v1::GetPipelineResponse> {
        answer(self.show_pipeline(&request.into_inner().name).await)
    }
}
