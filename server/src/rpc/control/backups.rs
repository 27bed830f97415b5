//! Backups that lie with the agents.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use stopover_model::backup::RestoreTarget;
use stopover_model::id::{DatabaseName, OperatorName};
use stopover_proto::convert::field::{message, name, optional_name};
use stopover_proto::v1;
use stopover_proto::v1::list_environment_backups_response::{DatabaseBackups, database_backups};
use tonic::Status;

use super::Api;
use crate::conductor::{BackupAsked, BackupUpdates, Replacement};
use crate::rpc::auth::Operator;
use crate::rpc::status::RpcError;

pub(super) type Updates = BoxStream<'static, Result<v1::BackupUpdate, Status>>;

impl Api {
    pub(super) async fn backups(
        &self,
        by: &Operator,
        request: v1::ListEnvironmentBackupsRequest,
    ) -> Result<v1::ListEnvironmentBackupsResponse, RpcError> {
        use database_backups::Result as Answer;
        let environment = match request.environment.as_str() {
            "" => None,
            given => Some(self.existing_environment(given).await?),
        };
        let database: Option<DatabaseName> = optional_name::read(request.database, "database")?;
        let found = self.services.conductor.list_backups(environment.as_ref(), database.as_ref()).await?;
        let found = found.into_iter().filter(|(environment, ..)| by.sees(environment));
        let databases = found.map(|(environment, database, found)| DatabaseBackups {
            environment: name::write(environment),
            database: name::write(database),
            result: Some(match found {
                Ok(found) => Answer::Found(found.into()),
                Err(error) => Answer::Failed(error.into()),
            }),
        });
        Ok(v1::ListEnvironmentBackupsResponse { databases: databases.collect() })
    }

    pub(super) async fn verify_stored(
        &self,
        request: v1::VerifyStoredBackupRequest,
    ) -> Result<Updates, RpcError> {
        let asked = BackupAsked {
            environment: self.existing_environment(&request.environment).await?,
            database: name::read(request.database, "database")?,
            backup: name::read(request.backup, "backup")?,
            file_key: request.file_key,
        };
        Ok(sent(self.services.conductor.verify_backup(asked, request.restore).await?))
    }

    /// A person agrees that a backup takes the place of the live database.
    pub(super) async fn approve_restore(
        &self,
        by: Operator,
        request: v1::ApproveRestoreRequest,
    ) -> Result<v1::ApproveRestoreResponse, RpcError> {
        let of = Replacement {
            environment: self.existing_environment(&request.environment).await?,
            database: name::read(request.database, "database")?,
            backup: name::read(request.backup, "backup")?,
        };
        let (have, need) = self.services.conductor.approve_restore(of, by.name, by.groups).await?;
        Ok(v1::ApproveRestoreResponse { have, need })
    }

    pub(super) async fn restore_stored(
        &self,
        by: OperatorName,
        request: v1::RestoreStoredBackupRequest,
    ) -> Result<Updates, RpcError> {
        let asked = BackupAsked {
            environment: self.existing_environment(&request.environment).await?,
            database: name::read(request.database, "database")?,
            backup: name::read(request.backup, "backup")?,
            file_key: request.file_key,
        };
        let target: RestoreTarget = message::read(request.target, "target")?;
        Ok(sent(self.services.conductor.restore_backup(asked, target, by).await?))
    }
}

fn sent(updates: BackupUpdates) -> Updates {
    updates.map(|update| Ok(update.into())).boxed()
}
