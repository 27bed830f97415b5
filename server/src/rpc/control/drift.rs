//! Schemas that are not as Stopover left them.

use stopover_model::id::{DatabaseName, OperatorName};
use stopover_proto::convert::field::{digest, name, optional_name};
use stopover_proto::v1;
use stopover_proto::v1::read_environment_drift_response::{DatabaseDrift, database_drift};

use super::Api;
use crate::rpc::status::RpcError;

impl Api {
    pub(super) async fn drift(
        &self,
        request: v1::ReadEnvironmentDriftRequest,
    ) -> Result<v1::ReadEnvironmentDriftResponse, RpcError> {
        use database_drift::Result as Answer;
        let environment = self.existing_environment(&request.environment).await?;
        let database: Option<DatabaseName> = optional_name::read(request.database, "database")?;
        let found = self.services.conductor.read_drift(&environment, database.as_ref()).await?;
        let databases = found.into_iter().map(|(database, found)| DatabaseDrift {
            database: name::write(database),
            result: Some(match found {
                Ok(found) => Answer::Found(found.into()),
                Err(error) => Answer::Failed(error.into()),
            }),
        });
        Ok(v1::ReadEnvironmentDriftResponse { databases: databases.collect() })
    }

    pub(super) async fn accept(
        &self,
        by: OperatorName,
        request: v1::AcceptEnvironmentDriftRequest,
    ) -> Result<v1::AcceptEnvironmentDriftResponse, RpcError> {
        use v1::accept_environment_drift_response::Result as Answer;
        let environment = self.existing_environment(&request.environment).await?;
        let database: DatabaseName = name::read(request.database, "database")?;
        let schema = digest::read(request.schema, "schema")?;
        let accepted = self.services.conductor.accept_drift(&environment, &database, schema, by).await?;
        let result = match accepted {
            Ok(look) => Answer::Accepted(look.into()),
            Err(error) => Answer::Failed(error.into()),
        };
        Ok(v1::AcceptEnvironmentDriftResponse { result: Some(result) })
    }
}
