//! An agent that says what it serves, and does nothing else.

use std::time::Duration;

use futures::stream::BoxStream;
use stopover_proto::tunnel::{Ended, KeepAlive, OpenTunnel};
use stopover_proto::v1;
use stopover_proto::v1::agent_server::{Agent, AgentServer};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

type Updates = BoxStream<'static, Result<v1::StepUpdate, Status>>;
type BackupUpdates = BoxStream<'static, Result<v1::BackupUpdate, Status>>;

pub(super) struct Described(pub(super) v1::DescribeResponse);

impl Described {
    pub(super) fn new(environment: &str, databases: &[&str]) -> Self {
        let databases = databases.iter().map(|name| (*name).to_owned()).collect();
        Self(v1::DescribeResponse {
            labels: Vec::new(),
            queues: true,
            environment: environment.into(),
            databases,
            version: "0.1.0-test".into(),
        })
    }

    /// Serves until the tunnel ends.
    pub(super) async fn serve(self, outer: Channel) -> Result<Ended, Status> {
        let tunnel = OpenTunnel::open(outer).await?;
        let routes = Routes::new(AgentServer::new(self));
        let never = CancellationToken::new();
        Ok(tunnel.serve(routes, KeepAlive::default(), never, Duration::ZERO).await)
    }
}

fn idle<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("this agent does nothing"))
}

#[tonic::async_trait]
impl Agent for Described {
    type InspectStream = Updates;
    type BackupStream = Updates;
    type RehearseStream = Updates;
    type MigrateStream = Updates;
    type VerifyStream = Updates;
    type MeasureStream = Updates;
    type RollbackStream = Updates;
    type VerifyBackupStream = BackupUpdates;
    type RestoreBackupStream = BackupUpdates;

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn inspect(&self, _: Request<v1::InspectRequest>) -> Result<Response<Updates>, Status> {
        idle()
    }

    async fn backup(&self, _: Request<v1::BackupRequest>) -> Result<Response<Updates>, Status> {
        idle()
    }

    async fn rehearse(&self, _: Request<v1::RehearseRequest>) -> Result<Response<Updates>, Status> {
        idle()
    }

    async fn migrate(&self, _: Request<v1::MigrateRequest>) -> Result<Response<Updates>, Status> {
        idle()
    }

    async fn read_saved(
        &self,
        _: Request<v1::ReadSavedRequest>,
    ) -> Result<Response<v1::ReadSavedResponse>, Status> {
        idle()
    }

    async fn restore_saved(
        &self,
        _: Request<v1::RestoreSavedRequest>,
    ) -> Result<Response<v1::RestoreSavedResponse>, Status> {
        idle()
    }

    async fn follow_up(
        &self,
        _: Request<v1::FollowUpRequest>,
    ) -> Result<Response<v1::FollowUpResponse>, Status> {
        idle()
    }

    async fn purge_saved(
        &self,
        _: Request<v1::PurgeSavedRequest>,
    ) -> Result<Response<v1::PurgeSavedResponse>, Status> {
        idle()
    }

    async fn verify(&self, _: Request<v1::VerifyRequest>) -> Result<Response<Updates>, Status> {
        idle()
    }

    async fn measure(&self, _: Request<v1::MeasureRequest>) -> Result<Response<Updates>, Status> {
        idle()
    }

    async fn rollback(&self, _: Request<v1::RollbackRequest>) -> Result<Response<Updates>, Status> {
        idle()
    }

    async fn read_history(
        &self,
        _: Request<v1::ReadHistoryRequest>,
    ) -> Result<Response<v1::ReadHistoryResponse>, Status> {
        idle()
    }

    async fn read_drift(
        &self,
        _: Request<v1::ReadDriftRequest>,
    ) -> Result<Response<v1::ReadDriftResponse>, Status> {
        idle()
    }

    async fn plan_rollback(
        &self,
        _: Request<v1::PlanRollbackRequest>,
    ) -> Result<Response<v1::PlanRollbackResponse>, Status> {
        idle()
    }

    async fn list_backups(
        &self,
        _: Request<v1::ListBackupsRequest>,
    ) -> Result<Response<v1::ListBackupsResponse>, Status> {
        idle()
    }

    async fn verify_backup(
        &self,
        _: Request<v1::VerifyBackupRequest>,
    ) -> Result<Response<BackupUpdates>, Status> {
        idle()
    }

    async fn restore_backup(
        &self,
        _: Request<v1::RestoreBackupRequest>,
    ) -> Result<Response<BackupUpdates>, Status> {
        idle()
    }

    async fn accept_drift(
        &self,
        _: Request<v1::AcceptDriftRequest>,
    ) -> Result<Response<v1::AcceptDriftResponse>, Status> {
        idle()
    }

    async fn record(&self, _: Request<v1::RecordRequest>) -> Result<Response<v1::RecordResponse>, Status> {
        idle()
    }

    async fn throttle(
        &self,
        _: Request<v1::ThrottleRequest>,
    ) -> Result<Response<v1::ThrottleResponse>, Status> {
        idle()
    }

    async fn cancel(&self, _: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        idle()
    }
}
