//! What is done in an environment outside of any deployment: reading other tools' histories, and recording migrations that
//! were applied before.
//!
//! An act that writes and a deployment keep out of each other's way: an environment that a deployment is in has no act,
//! and none gets in while an act writes. One server works on a store, so that this is kept in its memory; should it die,
//! the act's call to the agent dies with it, and the database's own lock settles the rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use stopover_model::history::{AppliedMigration, Histories, Origin, Recorded};
use stopover_model::id::{DatabaseName, DeploymentId, EnvironmentName, Epoch, MigrationId};
use stopover_model::report::{Effect, ErrorClass, StepError};
use stopover_proto::convert::field::{direct, message, messages, names};
use stopover_proto::convert::{AgentAct, InvalidWire};
use stopover_proto::v1;
use tonic::{Code, Status};

use super::plan::nobody_serves;
use super::{ConductError, Conductor, Shared};
use crate::registry::AgentLink;
use crate::store::AppendError;

/// What an agent may take to answer.
const LONGEST: Duration = Duration::from_mins(1);
const AGAIN: &str = "run the same command again: what is there already is left as it is";

/// Migrations that count as applied.
#[derive(Debug)]
pub struct RecordApplied {
    pub environment: EnvironmentName,
    pub database: DatabaseName,
    /// In the order in which they were applied.
    pub migrations: Vec<AppliedMigration>,
    pub origin: Origin,
}

/// The acts that write now.
#[derive(Debug, Default)]
pub(super) struct Acts {
    /// Whoever enters an environment, deployment or act, looks and enters under this.
    door: tokio::sync::Mutex<()>,
    running: Mutex<BTreeMap<EnvironmentName, DeploymentId>>,
}

/// An act's stay in an environment.
pub(super) struct Stay {
    shared: Arc<Shared>,
    environment: EnvironmentName,
}

impl Acts {
    /// By environment, with the act's own id.
    pub(super) fn running(&self) -> MutexGuard<'_, BTreeMap<EnvironmentName, DeploymentId>> {
        // Nothing can leave the map half changed.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a deployment that enters: what this gives is kept until it is written.
    pub(super) async fn enter(
        &self,
        environment: &EnvironmentName,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>, AppendError> {
        let door = self.door.lock().await;
        match self.running().get(environment) {
            Some(act) => Err(AppendError::Held { by: act.clone() }),
            None => Ok(door),
        }
    }
}

impl Stay {
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        environment: &EnvironmentName,
        act: &DeploymentId,
    ) -> Result<Self, ConductError> {
        let _door = shared.acts.door.lock().await;
        if let Some(by) = shared.store.holds().await?.remove(environment) {
            return Err(ConductError::Held { environment: environment.to_string(), by });
        }
        let mut running = shared.acts.running();
        if running.contains_key(environment) {
            return Err(ConductError::OtherAct(environment.clone()));
        }
        running.insert(environment.clone(), act.clone());
        Ok(Self { shared: Arc::clone(shared), environment: environment.clone() })
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.shared.acts.running().remove(&self.environment);
        // A deployment may be waiting for the environment.
        self.shared.registry.touch_in(&self.environment);
    }
}

impl Conductor {
    /// What the databases' histories say; of each database that, or why it could not be read.
    pub async fn read_histories(
        &self,
        environment: &EnvironmentName,
        database: Option<&DatabaseName>,
        migrations: &[MigrationId],
    ) -> Result<Vec<(DatabaseName, Result<Histories, StepError>)>, ConductError> {
        let looks = self.shared.looks(environment, database).await?.into_iter().map(|act| {
            let database = act.database.clone();
            let request = v1::ReadHistoryRequest {
                act: Some(act.into()),
                migrations: names::write(migrations.to_vec()),
            };
            async move {
                let found = self.shared.ask(environment, &database, |link| read(link, request)).await;
                (database, found)
            }
        });
        Ok(join_all(looks).await)
    }

    /// Writes migrations into a database's ledger. The inner error is the database's.
    pub async fn record_applied(
        &self,
        record: RecordApplied,
    ) -> Result<Result<Recorded, StepError>, ConductError> {
        let shared = Arc::clone(&self.shared);
        // It goes on when the caller hangs up: nobody gets into the environment before it has ended.
        let act = self.shared.tasks.spawn(async move {
            let stop = shared.stop.clone();
            stop.run_until_cancelled(shared.record(record)).await.unwrap_or(Err(ConductError::Stopping))
        });
        act.await.unwrap_or(Err(ConductError::Stopping))
    }
}

impl Shared {
    async fn record(
        self: &Arc<Self>,
        record: RecordApplied,
    ) -> Result<Result<Recorded, StepError>, ConductError> {
        let RecordApplied { environment, database, migrations, origin } = record;
        self.served(&environment, &database).await?;
        let id = DeploymentId::from_random(rand::random());
        let _stay = Stay::begin(self, &environment, &id).await?;
        let epoch = self.store.next_epoch().await?;
        let act = self.act(&environment, &database, id.clone(), epoch);
        tracing::info!(act = %id, %environment, %database, migrations = migrations.len(), "recording: {origin}");
        let digests: Vec<_> = migrations.iter().map(|m| m.digest).collect();
        let request = v1::RecordRequest {
            act: Some(act.into()),
            migrations: messages::write(migrations),
            origin: message::write(origin),
        };
        let recorded = self.ask(&environment, &database, |link| write(link, request)).await;
        if recorded.is_ok() {
            self.store.lift_quarantine(&environment, digests).await?;
        }
        Ok(recorded)
    }

    /// An act that looks at one of an environment's databases, or at each.
    pub(super) async fn looks(
        &self,
        environment: &EnvironmentName,
        database: Option<&DatabaseName>,
    ) -> Result<Vec<AgentAct>, ConductError> {
        let databases = self.one_or_all_served(environment, database).await?;
        let id = DeploymentId::from_random(rand::random());
        // Looking is not fenced.
        let look = |database| self.act(environment, database, id.clone(), Epoch(1));
        Ok(databases.iter().map(look).collect())
    }

    pub(super) fn act(
        &self,
        environment: &EnvironmentName,
        database: &DatabaseName,
        id: DeploymentId,
        epoch: Epoch,
    ) -> AgentAct {
        let not_after = (self.clock)().checked_add(LONGEST).unwrap_or(jiff::Timestamp::MAX);
        AgentAct { environment: environment.clone(), database: database.clone(), id, epoch, not_after }
    }

    pub(super) async fn ask<T>(
        &self,
        environment: &EnvironmentName,
        database: &DatabaseName,
        ask: impl AsyncFnOnce(AgentLink) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let link = self.registry.agent_of(environment, database).ok_or_else(|| nobody_serves(database))?;
        let agent = link.agent.clone();
        tokio::time::timeout(LONGEST, ask(link)).await.unwrap_or_else(|_| {
            let message = format!("the agent {agent} gave no answer within a minute");
            let error = StepError::new(ErrorClass::Transient, message).with_effect(Effect::Possible);
            Err(error.with_hint(AGAIN))
        })
    }

    /// The database, or all of the environment where none is named.
    pub(super) async fn one_or_all_served(
        &self,
        environment: &EnvironmentName,
        database: Option<&DatabaseName>,
    ) -> Result<Vec<DatabaseName>, ConductError> {
        match database {
            Some(database) => Ok(vec![self.served(environment, database).await?]),
            None => self.all_served(environment).await,
        }
    }

    async fn all_served(&self, environment: &EnvironmentName) -> Result<Vec<DatabaseName>, ConductError> {
        let mut served = self.store.environment_databases().await?;
        let databases: Vec<_> = served.remove(environment).unwrap_or_default().into_keys().collect();
        if databases.is_empty() {
            return Err(ConductError::NoAgentYet(environment.clone()));
        }
        Ok(databases)
    }

    /// The databases that agents serve: of an environment or of all, and of one name or of any.
    pub(super) async fn places(
        &self,
        environment: Option<&EnvironmentName>,
        database: Option<&DatabaseName>,
    ) -> Result<Vec<(EnvironmentName, DatabaseName)>, ConductError> {
        if let Some(environment) = environment {
            let served = self.one_or_all_served(environment, database).await?;
            return Ok(served.into_iter().map(|database| (environment.clone(), database)).collect());
        }
        let served = self.store.environment_databases().await?;
        let each = served.into_iter().flat_map(|(environment, databases)| {
            databases.into_keys().map(move |database| (environment.clone(), database))
        });
        Ok(each.filter(|(_, name)| database.is_none_or(|wanted| wanted == name)).collect())
    }

    pub(super) async fn served(
        &self,
        environment: &EnvironmentName,
        database: &DatabaseName,
    ) -> Result<DatabaseName, ConductError> {
        let there = self.all_served(environment).await?;
        if there.contains(database) {
            return Ok(database.clone());
        }
        let there: Vec<&str> = there.iter().map(DatabaseName::as_str).collect();
        let (environment, database) = (environment.clone(), database.clone());
        Err(ConductError::NoDatabase { environment, database, there: there.join(", ") })
    }
}

async fn read(link: AgentLink, request: v1::ReadHistoryRequest) -> Result<Histories, StepError> {
    use v1::read_history_response::Result as Answer;
    let answer = link.client().read_history(request).await.map_err(|status| refused(&link, &status))?;
    let told = answer.into_inner().result.map(|answer| match answer {
        Answer::Found(found) => Ok(found),
        Answer::Failed(error) => Err(error),
    });
    checked(&link, told, "found")
}

async fn write(link: AgentLink, request: v1::RecordRequest) -> Result<Recorded, StepError> {
    use v1::record_response::Result as Answer;
    let answer = link.client().record(request).await.map_err(|status| in_doubt(&link, &status, AGAIN))?;
    let told = answer.into_inner().result.map(|answer| match answer {
        Answer::Recorded(recorded) => Ok(recorded),
        Answer::Failed(error) => Err(error),
    });
    checked(&link, told, "recorded")
}

/// What an agent was asked for, in the field of this name; or why it could not be done.
pub(super) fn checked<W, T: TryFrom<W, Error = InvalidWire>>(
    link: &AgentLink,
    told: Option<Result<W, v1::StepError>>,
    field: &str,
) -> Result<T, StepError> {
    match told {
        Some(Ok(told)) => direct::read(told, field).map_err(|e| nonsense(link, e)),
        Some(Err(error)) => Err(direct::read(error, "failed").unwrap_or_else(|e| nonsense(link, e))),
        None => Err(nonsense(link, "it is empty")),
    }
}

pub(super) fn refused(link: &AgentLink, status: &Status) -> StepError {
    let agent = &link.agent;
    match status.code() {
        Code::Unimplemented => {
            let message =
                format!("the agent {agent} (version {}) does not know how to do this", link.version);
            StepError::new(ErrorClass::Setup, message)
                .with_hint("install the agent that came with this server")
        }
        Code::InvalidArgument | Code::FailedPrecondition | Code::PermissionDenied => {
            StepError::new(ErrorClass::Setup, format!("the agent {agent} refused: {}", status.message()))
        }
        _ => {
            let message = format!("the agent {agent} could not be asked: {}", status.message());
            StepError::new(ErrorClass::Transient, message)
        }
    }
}

/// The same of a call that writes: one that was lost may have been carried out.
pub(super) fn in_doubt(link: &AgentLink, status: &Status, again: &str) -> StepError {
    let error = refused(link, status);
    match error.class {
        ErrorClass::Transient => error.with_effect(Effect::Possible).with_hint(again),
        _ => error,
    }
}

pub(super) fn nonsense(link: &AgentLink, why: impl std::fmt::Display) -> StepError {
    let message = format!("the answer of the agent {} makes no sense: {why}", link.agent);
    StepError::new(ErrorClass::Internal, message).with_hint("are agent and server of the same version?")
}
