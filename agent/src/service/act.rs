//! What is asked outside of any deployment: reading other tools' histories, recording what they applied, and comparing
//! and accepting schemas.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use stopover_model::event::{StageIndex, StepKey, StepKind};
use stopover_model::history::{AppliedMigration, Origin};
use stopover_model::id::{Attempt, DeploymentId, MigrationId, OperatorName};
use stopover_model::report::{ErrorClass, StepError};
use stopover_proto::convert::AgentAct;
use stopover_proto::convert::field::{digest, message, messages, name, names, or_default};
use stopover_proto::v1;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{AgentService, command, invalid};
use crate::record::RecordWork;
use crate::rollback::plan::{PATIENT, PlanWish};
use crate::step::{Pass, Reporter, StepContext};
use crate::{drift, history, record, rollback};

/// How long a step that still runs on the database is waited for.
pub(super) const TURN: Duration = Duration::from_secs(10);

impl AgentService {
    pub(super) async fn look_at_history(
        &self,
        request: v1::ReadHistoryRequest,
    ) -> Result<v1::ReadHistoryResponse, Status> {
        use v1::read_history_response::Result as Answer;
        let context = self.context_of(request.act, StepKind::Inspect)?;
        let migrations: Vec<MigrationId> =
            names::read(request.migrations, "migrations").map_err(|e| invalid(&e))?;
        let result = match history::look(&context, &migrations).await {
            Ok(found) => Answer::Found(found.into()),
            Err(error) => Answer::Failed(error.into()),
        };
        Ok(v1::ReadHistoryResponse { result: Some(result) })
    }

    pub(super) async fn record_migrations(
        &self,
        request: v1::RecordRequest,
    ) -> Result<v1::RecordResponse, Status> {
        use v1::record_response::Result as Answer;
        let context = self.context_of(request.act, StepKind::Migrate)?;
        let migrations: Vec<AppliedMigration> =
            messages::read(request.migrations, "migrations").map_err(|e| invalid(&e))?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = migrations.iter().find(|m| !seen.insert(&m.migration)) {
            return Err(Status::invalid_argument(format!(
                "`migrations`: {} is given twice",
                twice.migration
            )));
        }
        let origin: Origin = message::read(request.origin, "origin").map_err(|e| invalid(&e))?;
        let work = RecordWork { migrations, origin };
        let result = match self.at_its_turn(&context, async || record::run(&context, &work).await).await {
            Ok(recorded) => {
                tracing::info!(database = %context.database.name(), act = %context.deployment,
                    written = recorded.written.len(), "recorded migrations: {}", work.origin);
                Answer::Recorded(recorded.into())
            }
            Err(error) => {
                tracing::warn!(database = %context.database.name(), "recorded nothing: {}", error.message);
                Answer::Failed(error.into())
            }
        };
        Ok(v1::RecordResponse { result: Some(result) })
    }

    pub(super) async fn look_at_drift(
        &self,
        request: v1::ReadDriftRequest,
    ) -> Result<v1::ReadDriftResponse, Status> {
        use v1::read_drift_response::Result as Answer;
        let context = self.context_of(request.act, StepKind::Inspect)?;
        let result = match drift::look(&context).await {
            Ok(found) => Answer::Found(found.into()),
            Err(error) => Answer::Failed(error.into()),
        };
        Ok(v1::ReadDriftResponse { result: Some(result) })
    }

    pub(super) async fn look_at_rollback(
        &self,
        request: v1::PlanRollbackRequest,
    ) -> Result<v1::PlanRollbackResponse, Status> {
        use v1::plan_rollback_response::Result as Answer;
        let context = self.context_of(request.act, StepKind::Inspect)?;
        let deployment: DeploymentId =
            name::read(request.deployment, "deployment").map_err(|e| invalid(&e))?;
        let migrations = command::migrations(request.migrations)?;
        let (only_later, count_for) = (request.only_later, PATIENT);
        let saving = or_default::read(request.saving, "saving").map_err(|e| invalid(&e))?;
        let wish = PlanWish { deployment, migrations, only_later, saving, count_for };
        let result = match rollback::plan::look(&context, &wish).await {
            Ok(plan) => Answer::Plan(plan.into()),
            Err(error) => Answer::Failed(error.into()),
        };
        Ok(v1::PlanRollbackResponse { result: Some(result) })
    }

    pub(super) async fn accept_schema(
        &self,
        request: v1::AcceptDriftRequest,
    ) -> Result<v1::AcceptDriftResponse, Status> {
        use v1::accept_drift_response::Result as Answer;
        let context = self.context_of(request.act, StepKind::Migrate)?;
        let by: OperatorName = name::read(request.by, "by").map_err(|e| invalid(&e))?;
        let schema = digest::read(request.schema, "schema").map_err(|e| invalid(&e))?;
        let accepted = self.at_its_turn(&context, async || drift::accept(&context, &by, schema).await).await;
        let database = context.database.name();
        let result = match accepted {
            Ok(look) => {
                tracing::info!(%database, act = %context.deployment, "{by} accepted the schema {schema}");
                Answer::Accepted(look.into())
            }
            Err(error) => {
                tracing::warn!(%database, "the schema was not accepted: {}", error.message);
                Answer::Failed(error.into())
            }
        };
        Ok(v1::AcceptDriftResponse { result: Some(result) })
    }

    /// Does the work while no step runs on the database.
    pub(super) async fn at_its_turn<T>(
        &self,
        context: &StepContext,
        work: impl AsyncFnOnce() -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let turn = self.work.turn_on(context.database.name());
        match tokio::time::timeout(TURN, turn.lock()).await {
            Ok(_turn) => work().await,
            Err(_) => Err(busy(context)),
        }
    }

    pub(super) fn context_of(&self, act: Option<v1::Act>, kind: StepKind) -> Result<StepContext, Status> {
        let act = act.ok_or_else(|| Status::invalid_argument("`act` is missing"))?;
        let act = AgentAct::try_from(act).map_err(|e| command::invalid("act", &e))?;
        command::check_place(&act.environment, &act.database, &self.settings.environment, &self.names)?;
        if Timestamp::now() > act.not_after {
            let message = "the act had to begin earlier than it is now by this machine's clock";
            return Err(Status::deadline_exceeded(message));
        }
        let Some(database) = self.settings.databases.get(&act.database).map(Arc::clone) else {
            return Err(Status::internal("the database went away between two looks at it"));
        };
        let run = uuid::Uuid::new_v4().to_string();
        Ok(StepContext {
            agent: self.settings.agent.clone(),
            environment: self.settings.environment.clone(),
            deployment: act.id,
            step: StepKey::target(StageIndex(0), &act.database, kind),
            attempt: Attempt(1),
            epoch: act.epoch,
            run: run.parse().map_err(|_| Status::internal("a UUID is no run's id"))?,
            database,
            reporter: Reporter::new(),
            cancel: CancellationToken::new(),
            throttle: tokio::sync::watch::channel(stopover_model::backfill::Throttle::default()).1,
            pass: Pass::default(),
            batches_until: tokio::sync::watch::channel(None).1,
        })
    }
}

pub(super) fn busy(context: &StepContext) -> StepError {
    let message = format!("a step still runs on {}", context.database.name());
    StepError::new(ErrorClass::Lock, message).with_hint("wait for it to end: `stopover list`")
}
