//! What migrations and rollbacks have dropped and agents keep: looking at it, putting it back, purging it.
//!
//! As with drift, a deployment may be in the environment meanwhile: one that rests in its soak is just when values are put
//! back. The agent lets no step run beside it.

use std::time::Duration;

use futures::future::join_all;
use stopover_model::id::{DatabaseName, DeploymentId, EnvironmentName, Epoch, OperatorName, SavedId};
use stopover_model::report::{Effect, ErrorClass, StepError};
use stopover_model::saved::{RestoredValues, Saved};
use stopover_proto::convert::field::{direct, messages, name, names};
use stopover_proto::v1;

use super::act::{checked, in_doubt, nonsense, refused};
use super::plan::nobody_serves;
use super::{ConductError, Conductor};
use crate::registry::AgentLink;

/// Making a large table again is one transaction, which takes what it takes.
const LONGEST_RESTORE: Duration = Duration::from_hours(2);

/// What is to be put back, and how.
#[derive(Debug)]
pub struct RestoreSaved {
    pub environment: EnvironmentName,
    pub database: DatabaseName,
    pub id: SavedId,
    /// As SQL writes it; empty: where it was.
    pub into: String,
    pub overwrite: bool,
    pub goes_on: bool,
}

/// A database and what is kept there, or why that is not known.
pub type SavedIn = (EnvironmentName, DatabaseName, Result<Vec<Saved>, StepError>);

impl Conductor {
    /// What is kept in the databases of an environment, or of all.
    pub async fn list_saved(
        &self,
        environment: Option<&EnvironmentName>,
        database: Option<&DatabaseName>,
        id: Option<&SavedId>,
        purged: bool,
    ) -> Result<Vec<SavedIn>, ConductError> {
        let places = self.shared.places(environment, database).await?;
        let act = DeploymentId::from_random(rand::random());
        let looks = places.into_iter().map(|(environment, database)| {
            // Looking is not fenced.
            let act = self.shared.act(&environment, &database, act.clone(), Epoch(1));
            let id = id.map(ToString::to_string).unwrap_or_default();
            let request = v1::ReadSavedRequest { act: Some(act.into()), id, purged };
            async move {
                let found = self.shared.ask(&environment, &database, |link| read(link, request)).await;
                (environment, database, found)
            }
        });
        Ok(join_all(looks).await)
    }

    /// Puts values back, for a while. The inner error is the database's.
    pub async fn restore_saved(
        &self,
        restore: RestoreSaved,
        by: OperatorName,
    ) -> Result<Result<RestoredValues, StepError>, ConductError> {
        let RestoreSaved { environment, database, id, into, overwrite, goes_on } = restore;
        self.shared.served(&environment, &database).await?;
        let act = DeploymentId::from_random(rand::random());
        let epoch = self.shared.store.next_epoch().await?;
        tracing::info!(%act, %environment, %database, %by, saved = %id, overwrite, "putting saved values back");
        let act = self.shared.act(&environment, &database, act, epoch);
        let request = v1::RestoreSavedRequest {
            act: Some(act.into()),
            id: name::write(id),
            by: name::write(by),
            into,
            overwrite,
            goes_on,
        };
        let Some(link) = self.shared.registry.agent_of(&environment, &database) else {
            return Ok(Err(nobody_serves(&database)));
        };
        let agent = link.agent.clone();
        let restored = tokio::time::timeout(LONGEST_RESTORE, put_back(link, request)).await;
        Ok(restored.unwrap_or_else(|_| {
            let message = format!("the agent {agent} gave no answer within two hours");
            Err(StepError::new(ErrorClass::Transient, message).with_effect(Effect::Possible).with_hint(AGAIN))
        }))
    }

    /// Drops what is kept. The inner error is the database's.
    pub async fn purge_saved(
        &self,
        environment: &EnvironmentName,
        database: &DatabaseName,
        ids: Vec<SavedId>,
        by: OperatorName,
    ) -> Result<Result<(), StepError>, ConductError> {
        self.shared.served(environment, database).await?;
        let act = DeploymentId::from_random(rand::random());
        let epoch = self.shared.store.next_epoch().await?;
        tracing::info!(%act, %environment, %database, %by, saved = ids.len(), "purging what is saved");
        let act = self.shared.act(environment, database, act, epoch);
        let request =
            v1::PurgeSavedRequest { act: Some(act.into()), ids: names::write(ids), by: name::write(by) };
        Ok(self.shared.ask(environment, database, |link| purge(link, request)).await)
    }
}

const AGAIN: &str = "run the same command again: what is back already is left as it is";

async fn read(link: AgentLink, request: v1::ReadSavedRequest) -> Result<Vec<Saved>, StepError> {
    use v1::read_saved_response::Result as Answer;
    let answer = link.client().read_saved(request).await.map_err(|status| refused(&link, &status))?;
    match answer.into_inner().result {
        Some(Answer::Found(found)) => {
            messages::read(found.items, "found.items").map_err(|e| nonsense(&link, e))
        }
        Some(Answer::Failed(error)) => {
            Err(direct::read(error, "failed").unwrap_or_else(|e| nonsense(&link, e)))
        }
        None => Err(nonsense(&link, "it is empty")),
    }
}

async fn put_back(link: AgentLink, request: v1::RestoreSavedRequest) -> Result<RestoredValues, StepError> {
    use v1::restore_saved_response::Result as Answer;
    let answer =
        link.client().restore_saved(request).await.map_err(|status| in_doubt(&link, &status, AGAIN))?;
    let told = answer.into_inner().result.map(|answer| match answer {
        Answer::Restored(restored) => Ok(restored),
        Answer::Failed(error) => Err(error),
    });
    checked(&link, told, "restored")
}

async fn purge(link: AgentLink, request: v1::PurgeSavedRequest) -> Result<(), StepError> {
    let answer =
        link.client().purge_saved(request).await.map_err(|status| in_doubt(&link, &status, AGAIN))?;
    match answer.into_inner().failed {
        Some(error) => Err(direct::read(error, "failed").unwrap_or_else(|e| nonsense(&link, e))),
        None => Ok(()),
    }
}
