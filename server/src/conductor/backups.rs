//! Backups that lie with the agents: which there are, whether one is what it was, and to have it back.
//!
//! A look ends with its call, and so does a restore: who hangs up stops it. While the live database is restored over, no
//! deployment gets into its environment. The key of an encrypted backup goes through here and stays nowhere.

use futures::future::join_all;
use futures::stream::{self, BoxStream, StreamExt as _};
use stopover_model::backup::{BackupShelf, BackupUpdate, RestoreTarget};
use stopover_model::id::{BackupId, DatabaseName, DeploymentId, EnvironmentName, Epoch, OperatorName};
use stopover_model::report::{ErrorClass, StepError};
use stopover_proto::convert::field::{direct, message, name};
use stopover_proto::v1;
use tonic::Streaming;

use super::act::{Stay, checked, nonsense, refused};
use super::plan::nobody_serves;
use super::restore_approvals::Replacement;
use super::{ConductError, Conductor};
use crate::registry::AgentLink;

/// What comes of it; the last one is an end.
pub type BackupUpdates = BoxStream<'static, BackupUpdate>;

/// Of each database, or why it could not be looked for.
pub type Shelves = Vec<(EnvironmentName, DatabaseName, Result<BackupShelf, StepError>)>;

/// One backup of a database.
pub struct BackupAsked {
    pub environment: EnvironmentName,
    pub database: DatabaseName,
    pub backup: BackupId,
    /// Of this one file; empty where it is not encrypted.
    pub file_key: Vec<u8>,
}

impl Conductor {
    /// The backups of an environment's databases, or of all there are.
    pub async fn list_backups(
        &self,
        environment: Option<&EnvironmentName>,
        database: Option<&DatabaseName>,
    ) -> Result<Shelves, ConductError> {
        let places = self.shared.places(environment, database).await?;
        let id = DeploymentId::from_random(rand::random());
        let looks = places.into_iter().map(|(environment, database)| {
            // Looking is not fenced.
            let act = self.shared.act(&environment, &database, id.clone(), Epoch(1));
            let request = v1::ListBackupsRequest { act: Some(act.into()) };
            async move {
                let found = self.shared.ask(&environment, &database, |link| list(link, request)).await;
                (environment, database, found)
            }
        });
        Ok(join_all(looks).await)
    }

    /// Reads all of a backup back.
    pub async fn verify_backup(
        &self,
        asked: BackupAsked,
        restore: bool,
    ) -> Result<BackupUpdates, ConductError> {
        let BackupAsked { environment, database, backup, file_key } = asked;
        self.shared.served(&environment, &database).await?;
        let id = DeploymentId::from_random(rand::random());
        let act = self.shared.act(&environment, &database, id, Epoch(1));
        let request =
            v1::VerifyBackupRequest { act: Some(act.into()), backup: name::write(backup), file_key, restore };
        let Some(link) = self.shared.registry.agent_of(&environment, &database) else {
            return Ok(failed(nobody_serves(&database)));
        };
        let begun = link.client().verify_backup(request).await;
        Ok(self.followed(link, begun.map(tonic::Response::into_inner), None))
    }

    /// Restores a backup; over the live database only while no deployment is in its environment.
    pub async fn restore_backup(
        &self,
        asked: BackupAsked,
        target: RestoreTarget,
        by: OperatorName,
    ) -> Result<BackupUpdates, ConductError> {
        let BackupAsked { environment, database, backup, file_key } = asked;
        self.shared.served(&environment, &database).await?;
        let id = DeploymentId::from_random(rand::random());
        let stay = match &target {
            RestoreTarget::NewDatabase { .. } => None,
            RestoreTarget::Live { .. } => {
                let stay = Stay::begin(&self.shared, &environment, &id).await?;
                let of = Replacement {
                    environment: environment.clone(),
                    database: database.clone(),
                    backup: backup.clone(),
                };
                self.shared.use_restore_approvals(&of, &by).await?;
                Some(stay)
            }
        };
        let epoch = self.shared.store.next_epoch().await?;
        let act = self.shared.act(&environment, &database, id.clone(), epoch);
        tracing::info!(act = %id, %environment, %database, %backup, %by, ?target, "restoring a backup");
        let request = v1::RestoreBackupRequest {
            act: Some(act.into()),
            backup: name::write(backup),
            file_key,
            target: message::write(target),
        };
        let Some(link) = self.shared.registry.agent_of(&environment, &database) else {
            return Ok(failed(nobody_serves(&database)));
        };
        let begun = link.client().restore_backup(request).await;
        Ok(self.followed(link, begun.map(tonic::Response::into_inner), stay))
    }

    /// What the agent says, to its end. `stay` lasts as long.
    fn followed(
        &self,
        link: AgentLink,
        begun: Result<Streaming<v1::BackupUpdate>, tonic::Status>,
        stay: Option<Stay>,
    ) -> BackupUpdates {
        let updates = match begun {
            Ok(updates) => updates,
            Err(status) => return failed(refused(&link, &status)),
        };
        let stop = self.shared.stop.clone();
        let state = Some((updates, link, stay));
        let said = stream::unfold(state, |state| async move {
            let (mut updates, link, stay) = state?;
            let update = match updates.message().await {
                Ok(Some(update)) => direct::read(update, "update")
                    .unwrap_or_else(|e| BackupUpdate::Failed(nonsense(&link, e))),
                Ok(None) => BackupUpdate::Failed(lost(&link, "it said no more")),
                Err(status) => BackupUpdate::Failed(lost(&link, status.message())),
            };
            let ended = !matches!(update, BackupUpdate::Line(_) | BackupUpdate::Progress(_));
            Some((update, (!ended).then_some((updates, link, stay))))
        });
        said.take_until(stop.cancelled_owned()).boxed()
    }
}

fn failed(error: StepError) -> BackupUpdates {
    stream::iter([BackupUpdate::Failed(error)]).boxed()
}

fn lost(link: &AgentLink, why: &str) -> StepError {
    let message = format!("the agent {} was lost on the way: {why}", link.agent);
    StepError::new(ErrorClass::Transient, message).with_hint(
        "it drops what was restored so far; look which databases there are (`\\l` in psql), and run the same command again",
    )
}

async fn list(link: AgentLink, request: v1::ListBackupsRequest) -> Result<BackupShelf, StepError> {
    use v1::list_backups_response::Result as Answer;
    let answer = link.client().list_backups(request).await.map_err(|status| refused(&link, &status))?;
    let told = answer.into_inner().result.map(|answer| match answer {
        Answer::Found(found) => Ok(found),
        Answer::Failed(error) => Err(error),
    });
    checked(&link, told, "found")
}
