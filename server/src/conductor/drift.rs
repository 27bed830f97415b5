//! Schemas that are not as Stopover left them: looking at them, and taking a person's word that they are right.
//!
//! Unlike other acts this one may come while a deployment is in the environment: one that was refused for the drift waits
//! there for it. The agent lets no step run beside it.

use futures::future::join_all;
use stopover_model::digest::Digest;
use stopover_model::drift::SchemaLook;
use stopover_model::id::{DatabaseName, DeploymentId, EnvironmentName, OperatorName};
use stopover_model::report::StepError;
use stopover_proto::convert::field::{digest, name};
use stopover_proto::v1;

use super::act::{checked, refused};
use super::{ConductError, Conductor};
use crate::registry::AgentLink;

impl Conductor {
    /// How the databases' schemas are beside what is remembered of them; of each, that or why it could not be seen.
    pub async fn read_drift(
        &self,
        environment: &EnvironmentName,
        database: Option<&DatabaseName>,
    ) -> Result<Vec<(DatabaseName, Result<SchemaLook, StepError>)>, ConductError> {
        let looks = self.shared.looks(environment, database).await?.into_iter().map(|act| {
            let database = act.database.clone();
            let request = v1::ReadDriftRequest { act: Some(act.into()) };
            async move {
                let found = self.shared.ask(environment, &database, |link| read(link, request)).await;
                (database, found)
            }
        });
        Ok(join_all(looks).await)
    }

    /// From now on the schema counts as known, when it is still the one that was seen. The inner error is the database's.
    pub async fn accept_drift(
        &self,
        environment: &EnvironmentName,
        database: &DatabaseName,
        schema: Digest,
        by: OperatorName,
    ) -> Result<Result<SchemaLook, StepError>, ConductError> {
        self.shared.served(environment, database).await?;
        let id = DeploymentId::from_random(rand::random());
        let epoch = self.shared.store.next_epoch().await?;
        let act = self.shared.act(environment, database, id.clone(), epoch);
        tracing::info!(act = %id, %environment, %database, %by, "accepting the schema {schema}");
        let request = v1::AcceptDriftRequest {
            act: Some(act.into()),
            by: name::write(by),
            schema: digest::write(schema),
        };
        Ok(self.shared.ask(environment, database, |link| accept(link, request)).await)
    }
}

async fn read(link: AgentLink, request: v1::ReadDriftRequest) -> Result<SchemaLook, StepError> {
    use v1::read_drift_response::Result as Answer;
    let answer = link.client().read_drift(request).await.map_err(|status| refused(&link, &status))?;
    let told = answer.into_inner().result.map(|answer| match answer {
        Answer::Found(look) => Ok(look),
        Answer::Failed(error) => Err(error),
    });
    checked(&link, told, "found")
}

async fn accept(link: AgentLink, request: v1::AcceptDriftRequest) -> Result<SchemaLook, StepError> {
    use v1::accept_drift_response::Result as Answer;
    let answer = link.client().accept_drift(request).await.map_err(|status| refused(&link, &status))?;
    let told = answer.into_inner().result.map(|answer| match answer {
        Answer::Accepted(look) => Ok(look),
        Answer::Failed(error) => Err(error),
    });
    checked(&link, told, "accepted")
}
