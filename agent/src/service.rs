//! The gRPC service that an agent serves inside its tunnel: it checks a command, and attaches its caller to the work.
//!
//! What goes wrong in a database is an outcome; a status is only for a command that is not carried out. A call that is
//! dropped never stops the work.

mod act;
mod backups;
mod command;
mod follow_ups;
mod in_turn;
mod job;
#[cfg(feature = "simulated")]
mod pretence;
mod saved;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use stopover_model::backfill::Throttle;
use stopover_model::event::{StepKey, StepKind};
use stopover_model::id::{AgentName, Attempt, DatabaseName, DeploymentId, EnvironmentName};
use stopover_model::migration::{Check, Migration};
use stopover_model::plan::Touched;
use stopover_proto::convert::field::{
    message, messages, names, optional_duration, optional_enumeration, optional_message, or_default,
};
use stopover_proto::convert::{AgentCommand, InvalidWire};
use stopover_proto::v1;
use stopover_proto::v1::agent_server::{Agent, AgentServer};
use tokio::time::Instant;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::backup::{BackupRequest, BackupSettings};
use crate::baseline::MeasureRequest;
use crate::inspect::InspectRequest;
use crate::migrate::{Limits, Parking};
use crate::monitor::MonitorRequest;
use crate::postgres::Database;
use crate::rehearse::RehearseWork;
use crate::rollback::RollbackWork;
use crate::step::StepContext;
use crate::verify::VerifyRequest;
use crate::web::Web;
use crate::work::{Place, Refused, Registry, Work, WorkKey};
use job::Job;
#[cfg(feature = "simulated")]
pub use pretence::{Pretence, Talk};
use stream::Updates;

/// A migration's files are small; a message beyond this is a mistake or an attack.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// Whose agent this is and what it works with.
#[derive(Clone)]
pub struct Settings {
    pub agent: AgentName,
    pub environment: EnvironmentName,
    pub databases: BTreeMap<DatabaseName, Arc<Database>>,
    pub backup: BackupSettings,
    pub web: Web,
}

/// Serves `stopover.v1.Agent`.
pub struct AgentService {
    settings: Settings,
    names: BTreeSet<DatabaseName>,
    work: Arc<Registry>,
    parking: BTreeMap<DatabaseName, Parking>,
    /// Instead of all work.
    #[cfg(feature = "simulated")]
    pretence: Option<Pretence>,
}

impl AgentService {
    fn labels(&self) -> Vec<v1::DatabaseLabels> {
        let labelled = self.settings.databases.iter().filter(|(_, database)| !database.labels().is_empty());
        let of = |(name, database): (&DatabaseName, &Arc<Database>)| v1::DatabaseLabels {
            database: name.to_string(),
            labels: database.labels().iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        };
        labelled.map(of).collect()
    }

    #[must_use]
    pub fn new(settings: Settings, work: Arc<Registry>) -> Self {
        let names: BTreeSet<DatabaseName> = settings.databases.keys().cloned().collect();
        let parking = names.iter().map(|name| (name.clone(), Parking::keeping())).collect();
        Self {
            settings,
            names,
            work,
            parking,
            #[cfg(feature = "simulated")]
            pretence: None,
        }
    }

    /// It works on no database, and makes up what comes of it.
    #[cfg(feature = "simulated")]
    #[must_use]
    pub fn pretending(self, pretence: Pretence) -> Self {
        Self { pretence: Some(pretence), ..self }
    }

    #[must_use]
    pub fn into_routes(self) -> Routes {
        let server = AgentServer::new(self);
        Routes::new(server.max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE))
    }

    fn check(&self, command: Option<v1::Command>, kinds: &[StepKind]) -> Result<AgentCommand, Status> {
        command::check(command, kinds, &self.settings.environment, &self.names)
    }

    /// The same for work whose speed a person may have a word on. That word comes with every call, so the newest counts.
    fn attach_throttled(
        &self,
        command: AgentCommand,
        job: Job,
        throttle: Option<v1::Throttle>,
    ) -> Result<Response<Updates>, Status> {
        let throttle: Throttle = or_default::read(throttle, "throttle").map_err(|e| invalid(&e))?;
        let key = WorkKey { deployment: command.deployment.clone(), step: command.step.clone() };
        let attempt = command.attempt;
        let attached = self.attach(command, job)?;
        self.work.throttle(&key, attempt, throttle, None);
        Ok(attached)
    }

    fn attach(&self, mut command: AgentCommand, job: Job) -> Result<Response<Updates>, Status> {
        let resume = command.resume.take();
        let work = self.work_of(command, job, &Place::First)?.map_err(|refused| status_of(&refused))?;
        Ok(Response::new(stream::follow(vec![(work, resume)])))
    }

    fn work_of(
        &self,
        command: AgentCommand,
        job: Job,
        place: &Place,
    ) -> Result<Result<Arc<Work>, Refused>, Status> {
        let Some(database) = self.settings.databases.get(&command.step.database).cloned() else {
            return Err(Status::internal("the database went away between two looks at it"));
        };
        let key = WorkKey { deployment: command.deployment.clone(), step: command.step.clone() };
        let settings = self.settings.clone();
        #[cfg(feature = "simulated")]
        let pretence = self.pretence.clone();
        let AgentCommand { deployment, step, attempt, epoch, not_after, .. } = command;
        Ok(self.work.start_or_attach(&key, attempt, not_after, place, |begin| {
            tracing::info!(%deployment, %step, %attempt, run = %begin.run, ?place, "a step was asked for");
            let context = StepContext {
                agent: settings.agent,
                environment: settings.environment,
                deployment,
                step,
                attempt,
                epoch,
                run: begin.run,
                database,
                reporter: begin.reporter,
                cancel: begin.cancel,
                throttle: begin.throttle,
                pass: begin.pass,
                batches_until: begin.batches_until,
            };
            #[cfg(feature = "simulated")]
            if let Some(pretence) = pretence {
                return pretence.run(job, context).boxed();
            }
            let backup = settings.backup;
            job.run(context, backup).boxed()
        }))
    }
}

fn status_of(refused: &Refused) -> Status {
    match refused {
        Refused::Older { .. } => Status::aborted(refused.to_string()),
        Refused::TooLate { .. } => Status::deadline_exceeded(refused.to_string()),
        Refused::Stopping => Status::unavailable(refused.to_string()),
    }
}

/// Empty on the wire means that any cluster will do.
fn pinned(system_identifier: String) -> Option<String> {
    Some(system_identifier).filter(|identifier| !identifier.is_empty())
}

/// None: so far ahead that it never comes.
fn from_now(within: Duration) -> Option<Instant> {
    Instant::now().checked_add(within)
}

fn invalid(error: &InvalidWire) -> Status {
    Status::invalid_argument(error.to_string())
}

#[tonic::async_trait]
impl Agent for AgentService {
    type InspectStream = Updates;
    type BackupStream = Updates;
    type RehearseStream = Updates;
    type MigrateStream = Updates;
    type VerifyStream = Updates;
    type MeasureStream = Updates;
    type RollbackStream = Updates;
    type VerifyBackupStream = backups::BackupUpdates;
    type RestoreBackupStream = backups::BackupUpdates;

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        #[cfg(feature = "simulated")]
        self.pretence.iter().for_each(Pretence::introduced);
        Ok(Response::new(v1::DescribeResponse {
            environment: self.settings.environment.to_string(),
            databases: self.names.iter().map(ToString::to_string).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            queues: true,
            labels: self.labels(),
        }))
    }

    async fn inspect(&self, request: Request<v1::InspectRequest>) -> Result<Response<Updates>, Status> {
        let request = request.into_inner();
        let command = self.check(request.command, &[StepKind::Inspect])?;
        let migrations = command::migrations(request.migrations)?;
        let sample = optional_message::read(request.sample, "sample").map_err(|e| invalid(&e))?;
        self.attach(
            command,
            Job::Inspect(InspectRequest { migrations, sample, backup: Some(self.settings.backup.clone()) }),
        )
    }

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<Updates>, Status> {
        let request = request.into_inner();
        let command = self.check(request.command, &[StepKind::Backup, StepKind::RollbackBackup])?;
        let needed = request.needed.map(|needed| names::read(needed.deployments, "needed"));
        let needed: Option<Vec<DeploymentId>> = needed.transpose().map_err(|e| invalid(&e))?;
        let untold = Some(request.untold).filter(|why| !why.is_empty());
        let job = BackupRequest {
            wanted: message::read(request.backup, "backup").map_err(|e| invalid(&e))?,
            touched: untold.map_or(Touched::Known(request.tables), Touched::Untold),
            system_identifier: request.system_identifier,
            keep_restored: request.keep_restored,
            needed: needed.map(|needed| needed.into_iter().collect()),
        };
        self.attach(command, Job::Backup(job))
    }

    async fn rehearse(&self, request: Request<v1::RehearseRequest>) -> Result<Response<Updates>, Status> {
        let request = request.into_inner();
        let command = self.check(request.command, &[StepKind::Rehearse])?;
        let migrations = request.migrations.into_iter().map(command::rehearsed).collect::<Result<_, _>>()?;
        let job = RehearseWork {
            migrations,
            locks: message::read(request.locks, "locks").map_err(|e| invalid(&e))?,
            backfill: or_default::read(request.backfill, "backfill").map_err(|e| invalid(&e))?,
            allow_cluster_effects: request.allow_cluster_effects,
            backup_attempt: Attempt(request.backup_attempt),
            system_identifier: request.system_identifier,
            only_tables: request.only_tables,
            limits: Limits::default(),
        };
        self.attach_throttled(command, Job::Rehearse(job), request.throttle)
    }

    async fn migrate(&self, request: Request<v1::MigrateRequest>) -> Result<Response<Updates>, Status> {
        self.migrate_in_turn(request.into_inner()).map(Response::new)
    }

    async fn verify(&self, request: Request<v1::VerifyRequest>) -> Result<Response<Updates>, Status> {
        let request = request.into_inner();
        let command = self.check(request.command, &[StepKind::Verify, StepKind::Monitor])?;
        let checks: Result<Vec<Check>, InvalidWire> =
            request.checks.into_iter().map(Check::try_from).collect();
        let checks = checks.map_err(|e| command::invalid("checks", &e))?;
        let system_identifier = request.system_identifier;
        let statement_timeout = VerifyRequest::DEFAULT_TIMEOUT;
        if command.step.kind == StepKind::Verify {
            let job = VerifyRequest { checks, system_identifier, statement_timeout };
            return self.attach(command, Job::Verify(job));
        }
        let monitors = messages::read(request.monitors, "monitors").map_err(|e| invalid(&e))?;
        let job = MonitorRequest { checks, monitors, system_identifier, statement_timeout };
        self.attach(command, Job::Monitor(job, self.settings.web.clone()))
    }

    async fn measure(&self, request: Request<v1::MeasureRequest>) -> Result<Response<Updates>, Status> {
        let request = request.into_inner();
        let command = self.check(request.command, &[StepKind::Measure])?;
        let v1::MeasureRequest { tables, system_identifier, .. } = request;
        self.attach(command, Job::Measure(MeasureRequest { tables, system_identifier }))
    }

    async fn rollback(&self, request: Request<v1::RollbackRequest>) -> Result<Response<Updates>, Status> {
        let request = request.into_inner();
        let command = self.check(request.command, &[StepKind::Rollback])?;
        let migration: Migration =
            command::migration(request.migration, &request.migration_digest, &command)?;
        let resolution =
            optional_enumeration::read(request.resolution, "resolution").map_err(|e| invalid(&e))?;
        let job = RollbackWork {
            migration,
            resolution,
            locks: message::read(request.locks, "locks").map_err(|e| invalid(&e))?,
            backfill: or_default::read(request.backfill, "backfill").map_err(|e| invalid(&e))?,
            saving: or_default::read(request.saving, "saving").map_err(|e| invalid(&e))?,
            system_identifier: pinned(request.system_identifier),
            by_hand: Some(request.by_hand).filter(|who| !who.is_empty()),
            limits: Limits::default(),
        };
        self.attach_throttled(command, Job::Rollback(job), request.throttle)
    }

    async fn throttle(
        &self,
        request: Request<v1::ThrottleRequest>,
    ) -> Result<Response<v1::ThrottleResponse>, Status> {
        let request = request.into_inner();
        let (key, attempt) = work_key(&request.deployment, request.step, request.attempt)?;
        let throttle: Throttle = message::read(request.throttle, "throttle").map_err(|e| invalid(&e))?;
        let within =
            optional_duration::read(request.batches_within, "batches_within").map_err(|e| invalid(&e))?;
        tracing::info!(deployment = %key.deployment, step = %key.step, %attempt, ?throttle, ?within, "told how fast backfills may go");
        let was_running = self.work.throttle(&key, attempt, throttle, within.and_then(from_now));
        Ok(Response::new(v1::ThrottleResponse { was_running }))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::CancelResponse>, Status> {
        let request = request.into_inner();
        let (key, attempt) = work_key(&request.deployment, request.step, request.attempt)?;
        let only_behind = request.only_behind;
        tracing::info!(deployment = %key.deployment, step = %key.step, %attempt, only_behind, "asked to cancel");
        let was_running =
            if only_behind { self.work.leave(&key, attempt) } else { self.work.cancel(&key, attempt) };
        Ok(Response::new(v1::CancelResponse { was_running }))
    }

    async fn read_history(
        &self,
        request: Request<v1::ReadHistoryRequest>,
    ) -> Result<Response<v1::ReadHistoryResponse>, Status> {
        self.look_at_history(request.into_inner()).await.map(Response::new)
    }

    async fn record(
        &self,
        request: Request<v1::RecordRequest>,
    ) -> Result<Response<v1::RecordResponse>, Status> {
        self.record_migrations(request.into_inner()).await.map(Response::new)
    }

    async fn read_drift(
        &self,
        request: Request<v1::ReadDriftRequest>,
    ) -> Result<Response<v1::ReadDriftResponse>, Status> {
        self.look_at_drift(request.into_inner()).await.map(Response::new)
    }

    async fn accept_drift(
        &self,
        request: Request<v1::AcceptDriftRequest>,
    ) -> Result<Response<v1::AcceptDriftResponse>, Status> {
        self.accept_schema(request.into_inner()).await.map(Response::new)
    }

    async fn list_backups(
        &self,
        request: Request<v1::ListBackupsRequest>,
    ) -> Result<Response<v1::ListBackupsResponse>, Status> {
        self.shelf(request.into_inner()).await.map(Response::new)
    }

    async fn verify_backup(
        &self,
        request: Request<v1::VerifyBackupRequest>,
    ) -> Result<Response<Self::VerifyBackupStream>, Status> {
        self.look_at_backup(request.into_inner()).map(Response::new)
    }

    async fn restore_backup(
        &self,
        request: Request<v1::RestoreBackupRequest>,
    ) -> Result<Response<Self::RestoreBackupStream>, Status> {
        self.bring_back(request.into_inner()).map(Response::new)
    }

    async fn plan_rollback(
        &self,
        request: Request<v1::PlanRollbackRequest>,
    ) -> Result<Response<v1::PlanRollbackResponse>, Status> {
        self.look_at_rollback(request.into_inner()).await.map(Response::new)
    }

    async fn read_saved(
        &self,
        request: Request<v1::ReadSavedRequest>,
    ) -> Result<Response<v1::ReadSavedResponse>, Status> {
        self.look_at_saved(request.into_inner()).await.map(Response::new)
    }

    async fn restore_saved(
        &self,
        request: Request<v1::RestoreSavedRequest>,
    ) -> Result<Response<v1::RestoreSavedResponse>, Status> {
        self.put_back(request.into_inner()).await.map(Response::new)
    }

    async fn follow_up(
        &self,
        request: Request<v1::FollowUpRequest>,
    ) -> Result<Response<v1::FollowUpResponse>, Status> {
        self.follow_up_on(request.into_inner()).await.map(Response::new)
    }

    async fn purge_saved(
        &self,
        request: Request<v1::PurgeSavedRequest>,
    ) -> Result<Response<v1::PurgeSavedResponse>, Status> {
        self.purge(request.into_inner()).await.map(Response::new)
    }
}

/// The running work that a request is about.
fn work_key(deployment: &str, step: Option<v1::StepKey>, attempt: u32) -> Result<(WorkKey, Attempt), Status> {
    let deployment: DeploymentId =
        deployment.parse().map_err(|e| Status::invalid_argument(format!("`deployment`: {e}")))?;
    let step = step.ok_or_else(|| Status::invalid_argument("`step` is missing"))?;
    let step = StepKey::try_from(step).map_err(|e| command::invalid("step", &e))?;
    Ok((WorkKey { deployment, step }, Attempt(attempt)))
}
