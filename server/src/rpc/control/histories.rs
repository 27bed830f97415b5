//! What other tools applied, and what counts as applied from then on.

use stopover_model::history::Origin;
use stopover_model::id::{DatabaseName, EnvironmentName, MigrationId, OperatorName};
use stopover_proto::convert::field::{messages, name, names, optional_name, optional_text};
use stopover_proto::v1;
use stopover_proto::v1::read_histories_response::{DatabaseHistories, database_histories};

use super::Api;
use crate::conductor::{ConductError, RecordApplied};
use crate::rpc::status::RpcError;

impl Api {
    pub(super) async fn histories(
        &self,
        request: v1::ReadHistoriesRequest,
    ) -> Result<v1::ReadHistoriesResponse, RpcError> {
        use database_histories::Result as Answer;
        let environment = self.existing_environment(&request.environment).await?;
        let database: Option<DatabaseName> = optional_name::read(request.database, "database")?;
        let migrations: Vec<MigrationId> = names::read(request.migrations, "migrations")?;
        let conductor = &self.services.conductor;
        let found = conductor.read_histories(&environment, database.as_ref(), &migrations).await?;
        let databases = found.into_iter().map(|(database, found)| DatabaseHistories {
            database: name::write(database),
            result: Some(match found {
                Ok(found) => Answer::Found(found.into()),
                Err(error) => Answer::Failed(error.into()),
            }),
        });
        Ok(v1::ReadHistoriesResponse { databases: databases.collect() })
    }

    pub(super) async fn record(
        &self,
        by: OperatorName,
        request: v1::RecordAppliedRequest,
    ) -> Result<v1::RecordAppliedResponse, RpcError> {
        use v1::record_applied_response::Result as Answer;
        let environment = self.existing_environment(&request.environment).await?;
        let origin = match optional_text::read(request.adopted_from, "adopted_from")? {
            Some(from) => Origin::Adopted { from, by },
            None => Origin::Baseline { by },
        };
        let record = RecordApplied {
            environment,
            database: name::read(request.database, "database")?,
            migrations: messages::read(request.migrations, "migrations")?,
            origin,
        };
        if record.migrations.is_empty() {
            return Err(ConductError::NoMigration.into());
        }
        let result = match self.services.conductor.record_applied(record).await? {
            Ok(recorded) => Answer::Recorded(recorded.into()),
            Err(error) => Answer::Failed(error.into()),
        };
        Ok(v1::RecordAppliedResponse { result: Some(result) })
    }

    pub(super) async fn existing_environment(&self, given: &str) -> Result<EnvironmentName, RpcError> {
        let environment: EnvironmentName = given.parse().map_err(RpcError::id("environment"))?;
        if !self.services.store.environments().await?.contains(&environment) {
            return Err(RpcError::NoEnvironment(environment));
        }
        Ok(environment)
    }
}
