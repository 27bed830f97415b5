//! What operators ask for: one file a group of verbs. Here is only which method is which verb.

mod asks;
mod audit;
mod backups;
mod deployments;
mod drift;
mod environments;
mod follow_ups;
mod gates;
mod histories;
mod login;
mod notifications;
mod people;
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
        let (_, request) = self.admit(request).await?;
        answer(self.show_plan(request).await)
    }

    async fn deploy(&self, request: Request<v1::DeployRequest>) -> Answer<v1::DeployResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.create_deployment(by.name, request).await)
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let (by, request) = self.admit(request).await?;
        answer(self.follow(by, request).await)
    }

    async fn get_deployment(
        &self,
        request: Request<v1::GetDeploymentRequest>,
    ) -> Answer<v1::GetDeploymentResponse> {
        let (_, request) = self.admit(request).await?;
        answer(self.whole_log(&request.deployment).await)
    }

    async fn glance(&self, request: Request<v1::GlanceRequest>) -> Answer<v1::GlanceResponse> {
        let (_, request) = self.admit(request).await?;
        answer(self.look_at(request).await)
    }

    async fn rehearse(&self, request: Request<v1::RehearseEnvironmentRequest>) -> Answer<v1::DeployResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.create_rehearsal(by.name, request).await)
    }

    async fn list_deployments(
        &self,
        request: Request<v1::ListDeploymentsRequest>,
    ) -> Answer<v1::ListDeploymentsResponse> {
        let (_, request) = self.admit(request).await?;
        answer(self.newest_deployments(request.limit).await)
    }

    async fn cancel_deployment(
        &self,
        request: Request<v1::CancelDeploymentRequest>,
    ) -> Answer<v1::CancelDeploymentResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.cancel(by.name, request).await)
    }

    async fn plan_rollback(
        &self,
        request: Request<v1::PlanDeploymentRollbackRequest>,
    ) -> Answer<v1::PlanDeploymentRollbackResponse> {
        let (_, request) = self.admit(request).await?;
        answer(self.rollback_plan(request).await)
    }

    async fn rollback_deployment(
        &self,
        request: Request<v1::RollbackDeploymentRequest>,
    ) -> Answer<v1::RollbackDeploymentResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.roll_back(&by, request).await)
    }

    async fn pause_deployment(
        &self,
        request: Request<v1::PauseDeploymentRequest>,
    ) -> Answer<v1::PauseDeploymentResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.pause(by.name, request).await)
    }

    async fn resume_deployment(
        &self,
        request: Request<v1::ResumeDeploymentRequest>,
    ) -> Answer<v1::ResumeDeploymentResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.resume(by.name, request).await)
    }

    async fn throttle_deployment(
        &self,
        request: Request<v1::ThrottleDeploymentRequest>,
    ) -> Answer<v1::ThrottleDeploymentResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.throttle(by.name, request).await)
    }

    async fn resolve_deployment(
        &self,
        request: Request<v1::ResolveDeploymentRequest>,
    ) -> Answer<v1::ResolveDeploymentResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.resolve(by.name, request).await)
    }

    async fn approve_deployment(
        &self,
        request: Request<v1::ApproveDeploymentRequest>,
    ) -> Answer<v1::ApproveDeploymentResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.approve(by, request).await)
    }

    async fn reject_deployment(
        &self,
        request: Request<v1::RejectDeploymentRequest>,
    ) -> Answer<v1::RejectDeploymentResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.reject(by, request).await)
    }

    async fn override_window(
        &self,
        request: Request<v1::OverrideWindowRequest>,
    ) -> Answer<v1::OverrideWindowResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.override_window_of(&by, request).await)
    }

    async fn tick_item(&self, request: Request<v1::TickItemRequest>) -> Answer<v1::TickItemResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.tick(&by, request).await)
    }

    async fn approve_restore(
        &self,
        request: Request<v1::ApproveRestoreRequest>,
    ) -> Answer<v1::ApproveRestoreResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.approve_restore(by, request).await)
    }

    async fn answer_hook(&self, request: Request<v1::AnswerHookRequest>) -> Answer<v1::AnswerHookResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.answer_hook_of(&by, request).await)
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Answer<v1::CreateTokenResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.make_token(&by, request).await)
    }

    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Answer<v1::WhoAmIResponse> {
        let (by, _) = self.admit(request).await?;
        answer(Ok(self.identity_of(by)))
    }

    async fn show_login(&self, _: Request<v1::ShowLoginRequest>) -> Answer<v1::ShowLoginResponse> {
        answer(Ok(self.ways_in()))
    }

    async fn list_audit(&self, request: Request<v1::ListAuditRequest>) -> Answer<v1::ListAuditResponse> {
        let (_, request) = self.admit(request).await?;
        answer(self.audit(request).await)
    }

    async fn list_tokens(&self, request: Request<v1::ListTokensRequest>) -> Answer<v1::ListTokensResponse> {
        self.admit(request).await?;
        answer(self.tokens().await)
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Answer<v1::RevokeTokenResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.revoke(&by, request).await)
    }

    async fn list_people(&self, request: Request<v1::ListPeopleRequest>) -> Answer<v1::ListPeopleResponse> {
        self.admit(request).await?;
        answer(self.people().await)
    }

    async fn forget_person(
        &self,
        request: Request<v1::ForgetPersonRequest>,
    ) -> Answer<v1::ForgetPersonResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.forget(&by, request).await)
    }

    async fn read_histories(
        &self,
        request: Request<v1::ReadHistoriesRequest>,
    ) -> Answer<v1::ReadHistoriesResponse> {
        let (_, request) = self.admit(request).await?;
        answer(self.histories(request).await)
    }

    async fn record_applied(
        &self,
        request: Request<v1::RecordAppliedRequest>,
    ) -> Answer<v1::RecordAppliedResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.record(by.name, request).await)
    }

    async fn read_drift(
        &self,
        request: Request<v1::ReadEnvironmentDriftRequest>,
    ) -> Answer<v1::ReadEnvironmentDriftResponse> {
        let (_, request) = self.admit(request).await?;
        answer(self.drift(request).await)
    }

    async fn accept_drift(
        &self,
        request: Request<v1::AcceptEnvironmentDriftRequest>,
    ) -> Answer<v1::AcceptEnvironmentDriftResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.accept(by.name, request).await)
    }

    async fn list_follow_ups(
        &self,
        request: Request<v1::ListFollowUpsRequest>,
    ) -> Answer<v1::ListFollowUpsResponse> {
        let (_, request) = self.admit(request).await?;
        answer(self.follow_ups(request).await)
    }

    async fn acknowledge_follow_up(
        &self,
        request: Request<v1::AcknowledgeFollowUpRequest>,
    ) -> Answer<v1::AcknowledgeFollowUpResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.acknowledge(by.name, request).await)
    }

    async fn list_backups(
        &self,
        request: Request<v1::ListEnvironmentBackupsRequest>,
    ) -> Answer<v1::ListEnvironmentBackupsResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.backups(&by, request).await)
    }

    async fn verify_backup(
        &self,
        request: Request<v1::VerifyStoredBackupRequest>,
    ) -> Answer<Self::VerifyBackupStream> {
        let (_, request) = self.admit(request).await?;
        answer(self.verify_stored(request).await)
    }

    async fn restore_backup(
        &self,
        request: Request<v1::RestoreStoredBackupRequest>,
    ) -> Answer<Self::RestoreBackupStream> {
        let (by, request) = self.admit(request).await?;
        answer(self.restore_stored(by.name, request).await)
    }

    async fn list_saved(&self, request: Request<v1::ListSavedRequest>) -> Answer<v1::ListSavedResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.saved(&by, request).await)
    }

    async fn restore_saved(
        &self,
        request: Request<v1::RestoreEnvironmentSavedRequest>,
    ) -> Answer<v1::RestoreEnvironmentSavedResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.restore(by.name, request).await)
    }

    async fn purge_saved(
        &self,
        request: Request<v1::PurgeEnvironmentSavedRequest>,
    ) -> Answer<v1::PurgeEnvironmentSavedResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.purge(by.name, request).await)
    }

    async fn create_environment(
        &self,
        request: Request<v1::CreateEnvironmentRequest>,
    ) -> Answer<v1::CreateEnvironmentResponse> {
        let (_, request) = self.admit(request).await?;
        answer(self.make_environment(request).await)
    }

    async fn list_environments(
        &self,
        request: Request<v1::ListEnvironmentsRequest>,
    ) -> Answer<v1::ListEnvironmentsResponse> {
        let (by, _) = self.admit(request).await?;
        answer(self.environments(&by).await)
    }

    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Answer<v1::CreateJoinTokenResponse> {
        let (_, request) = self.admit(request).await?;
        answer(self.make_join_token(request).await)
    }

    async fn list_agents(&self, request: Request<v1::ListAgentsRequest>) -> Answer<v1::ListAgentsResponse> {
        let (by, _) = self.admit(request).await?;
        answer(self.agents(&by).await)
    }

    async fn apply_pipeline(
        &self,
        request: Request<v1::ApplyPipelineRequest>,
    ) -> Answer<v1::ApplyPipelineResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.store_pipeline(&by, request).await)
    }

    async fn get_pipeline(
        &self,
        request: Request<v1::GetPipelineRequest>,
    ) -> Answer<v1::GetPipelineResponse> {
        let (_, request) = self.admit(request).await?;
        answer(self.show_pipeline(&request.name).await)
    }

    async fn list_notifications(
        &self,
        request: Request<v1::ListNotificationsRequest>,
    ) -> Answer<v1::ListNotificationsResponse> {
        let (_, request) = self.admit(request).await?;
        answer(self.notifications(&request).await)
    }

    async fn test_notifications(
        &self,
        request: Request<v1::TestNotificationsRequest>,
    ) -> Answer<v1::TestNotificationsResponse> {
        let (by, request) = self.admit(request).await?;
        answer(self.try_notifications(by.name, &request.pipeline).await)
    }
}
