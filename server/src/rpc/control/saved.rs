//! What was dropped and is kept.

use stopover_model::id::{DatabaseName, OperatorName, SavedId};
use stopover_proto::convert::field::{messages, name, names, optional_name};
use stopover_proto::v1;
use stopover_proto::v1::list_saved_response::{DatabaseSaved, database_saved};

use super::Api;
use crate::conductor::RestoreSaved;
use crate::rpc::auth::Operator;
use crate::rpc::status::RpcError;

impl Api {
    pub(super) async fn saved(
        &self,
        by: &Operator,
        request: v1::ListSavedRequest,
    ) -> Result<v1::ListSavedResponse, RpcError> {
        use database_saved::Result as Answer;
        let environment = if request.environment.is_empty() {
            None
        } else {
            Some(self.existing_environment(&request.environment).await?)
        };
        let database: Option<DatabaseName> = optional_name::read(request.database, "database")?;
        let id: Option<SavedId> = optional_name::read(request.id, "id")?;
        let conductor = &self.services.conductor;
        let found = conductor
            .list_saved(environment.as_ref(), database.as_ref(), id.as_ref(), request.purged)
            .await?;
        let found = found.into_iter().filter(|(environment, ..)| by.sees(environment));
        let databases = found.map(|(environment, database, found)| DatabaseSaved {
            environment: name::write(environment),
            database: name::write(database),
            result: Some(match found {
                Ok(found) => Answer::Found(v1::SavedList { items: messages::write(found) }),
                Err(error) => Answer::Failed(error.into()),
            }),
        });
        Ok(v1::ListSavedResponse { databases: databases.collect() })
    }

    pub(super) async fn restore(
        &self,
        by: OperatorName,
        request: v1::RestoreEnvironmentSavedRequest,
    ) -> Result<v1::RestoreEnvironmentSavedResponse, RpcError> {
        use v1::restore_environment_saved_response::Result as Answer;
        let restore = RestoreSaved {
            environment: self.existing_environment(&request.environment).await?,
            database: name::read(request.database, "database")?,
            id: name::read(request.id, "id")?,
            into: request.into,
            overwrite: request.overwrite,
            goes_on: request.goes_on,
        };
        let result = match self.services.conductor.restore_saved(restore, by).await? {
            Ok(restored) => Answer::Restored(restored.into()),
            Err(error) => Answer::Failed(error.into()),
        };
        Ok(v1::RestoreEnvironmentSavedResponse { result: Some(result) })
    }

    pub(super) async fn purge(
        &self,
        by: OperatorName,
        request: v1::PurgeEnvironmentSavedRequest,
    ) -> Result<v1::PurgeEnvironmentSavedResponse, RpcError> {
        let environment = self.existing_environment(&request.environment).await?;
        let database: DatabaseName = name::read(request.database, "database")?;
        let ids: Vec<SavedId> = names::read(request.ids, "ids")?;
        let purged = self.services.conductor.purge_saved(&environment, &database, ids, by).await?;
        Ok(v1::PurgeEnvironmentSavedResponse { failed: purged.err().map(Into::into) })
    }
}
