//! What is looked at after a deployment has ended.

use stopover_model::id::{DeploymentId, MigrationId, OperatorName};
use stopover_proto::convert::field::{messages, name, optional_name};
use stopover_proto::v1;

use super::Api;
use crate::rpc::status::RpcError;

impl Api {
    pub(super) async fn follow_ups(
        &self,
        request: v1::ListFollowUpsRequest,
    ) -> Result<v1::ListFollowUpsResponse, RpcError> {
        let deployment: DeploymentId = name::read(request.deployment, "deployment")?;
        let follow_ups = self.services.conductor.follow_ups(&deployment).await?;
        Ok(v1::ListFollowUpsResponse { follow_ups: messages::write(follow_ups) })
    }

    pub(super) async fn acknowledge(
        &self,
        by: OperatorName,
        request: v1::AcknowledgeFollowUpRequest,
    ) -> Result<v1::AcknowledgeFollowUpResponse, RpcError> {
        let deployment: DeploymentId = name::read(request.deployment, "deployment")?;
        let migration: Option<MigrationId> = optional_name::read(request.migration, "migration")?;
        let conductor = &self.services.conductor;
        let word = (by, request.reason.as_str());
        let acknowledged =
            conductor.acknowledge(&deployment, request.name.trim(), migration.as_ref(), word).await?;
        Ok(v1::AcknowledgeFollowUpResponse { follow_ups: messages::write(acknowledged) })
    }
}
