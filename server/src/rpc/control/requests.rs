//! What is asked of a deployment that exists: cancel, roll back, pause, resume, throttle, resolve.

use std::time::Duration;

use stopover_model::event::Event;
use stopover_model::id::{EnvironmentName, MigrationId, OperatorName, Seq};
use stopover_proto::convert::InvalidWire;
use stopover_proto::convert::field::{
    enumeration, name, names, optional_duration, optional_message, optional_name,
};
use stopover_proto::v1;

use super::Api;
use super::asks::{Meant, stage_in};
use crate::conductor::{Request, ThrottleChange};
use crate::rpc::auth::Operator;
use crate::rpc::status::RpcError;

impl Api {
    pub(super) async fn cancel(
        &self,
        by: OperatorName,
        request: v1::CancelDeploymentRequest,
    ) -> Result<v1::CancelDeploymentResponse, RpcError> {
        self.ask(&request.deployment, by, Request::Cancel).await?;
        Ok(v1::CancelDeploymentResponse {})
    }

    pub(super) async fn pause(
        &self,
        by: OperatorName,
        request: v1::PauseDeploymentRequest,
    ) -> Result<v1::PauseDeploymentResponse, RpcError> {
        self.ask(&request.deployment, by, Request::Pause { reason: request.reason }).await?;
        Ok(v1::PauseDeploymentResponse {})
    }

    pub(super) async fn resume(
        &self,
        by: OperatorName,
        request: v1::ResumeDeploymentRequest,
    ) -> Result<v1::ResumeDeploymentResponse, RpcError> {
        let databases = names::read(request.databases, "databases")?;
        let asked = match optional_name::read(request.leave_out, "leave_out")? {
            None => Request::Resume { databases },
            Some(_) if !databases.is_empty() => {
                let why = "names a database, and `databases` others; ask for one of both";
                return Err(InvalidWire::new("leave_out", why).into());
            }
            Some(database) => Request::LeaveOut { database, reason: request.reason },
        };
        self.ask(&request.deployment, by, asked).await?;
        Ok(v1::ResumeDeploymentResponse {})
    }

    pub(super) async fn throttle(
        &self,
        by: OperatorName,
        request: v1::ThrottleDeploymentRequest,
    ) -> Result<v1::ThrottleDeploymentResponse, RpcError> {
        let change = ThrottleChange {
            reset: request.reset,
            batch_time: some_time(optional_duration::read(request.batch_time, "batch_time")?, "batch_time")?,
            max_rate: match request.max_rate {
                Some(0) => {
                    return Err(InvalidWire::new("max_rate", "is 0; pause the backfill to hold it").into());
                }
                rate => rate,
            },
            pause: optional_duration::read(request.pause_between, "pause_between")?,
            paused: request.paused,
        };
        let id = self.deployment_named(&request.deployment).await?;
        let seq = self.services.conductor.request(&id, by, Request::Throttle(change)).await?;
        let said = self.services.store.records(&id, Seq(seq.0.saturating_sub(1)), 1).await?;
        let throttle = said.into_iter().next().and_then(|record| match record.event {
            Event::Throttled { throttle, .. } => Some(throttle),
            _ => None,
        });
        Ok(v1::ThrottleDeploymentResponse { throttle: optional_message::write(throttle) })
    }

    pub(super) async fn resolve(
        &self,
        by: OperatorName,
        request: v1::ResolveDeploymentRequest,
    ) -> Result<v1::ResolveDeploymentResponse, RpcError> {
        let resolve = Request::Resolve {
            step: optional_message::read(request.step, "step")?,
            resolution: enumeration::read(request.resolution, "resolution")?,
        };
        self.ask(&request.deployment, by, resolve).await?;
        Ok(v1::ResolveDeploymentResponse {})
    }

    pub(super) async fn roll_back(
        &self,
        by: &Operator,
        request: v1::RollbackDeploymentRequest,
    ) -> Result<v1::RollbackDeploymentResponse, RpcError> {
        let id = self.deployment_named(&request.deployment).await?;
        let given: Option<EnvironmentName> = optional_name::read(request.environment, "environment")?;
        let to: Option<MigrationId> = optional_name::read(request.to, "to")?;
        let whole = self.services.conductor.state_of(&id).await?;
        let stage = self.stage_for(by, &whole, given.as_ref(), Meant::WithEffects).await?;
        let seq = self.services.conductor.roll_back(&id, by.name.clone(), stage, to).await?;

        let began = self.services.store.records(&id, Seq(seq.0.saturating_sub(1)), 1).await?;
        let stage = began.first().and_then(|record| match record.event {
            Event::RollbackStarted { stage, .. } => Some(stage),
            _ => stage,
        });
        let environment =
            stage.and_then(|stage| whole.stage(stage)).map(|stage| stage.spec.environment.clone());
        Ok(v1::RollbackDeploymentResponse {
            environment: environment.map(name::write).unwrap_or_default(),
            seq: seq.0,
        })
    }

    /// Says what a rollback would take.
    pub(super) async fn rollback_plan(
        &self,
        request: v1::PlanDeploymentRollbackRequest,
    ) -> Result<v1::PlanDeploymentRollbackResponse, RpcError> {
        use v1::plan_deployment_rollback_response::database_plan::Result as Answer;
        let id = self.deployment_named(&request.deployment).await?;
        let pipeline = self.pipeline_of(&id).await?;
        let given: Option<EnvironmentName> = optional_name::read(request.environment, "environment")?;
        let stage = given.map(|environment| stage_in(&pipeline, id.as_str(), &environment)).transpose()?;
        let to: Option<MigrationId> = optional_name::read(request.to, "to")?;
        let plan = self.services.conductor.plan_rollback(&id, stage, to).await?;
        let databases = plan.databases.into_iter().map(|(database, found)| {
            let result = match found {
                Ok(plan) => Answer::Plan(plan.into()),
                Err(error) => Answer::Failed(error.into()),
            };
            let database = name::write(database);
            v1::plan_deployment_rollback_response::DatabasePlan { database, result: Some(result) }
        });
        Ok(v1::PlanDeploymentRollbackResponse {
            databases: databases.collect(),
            environment: name::write(plan.environment),
            backup: enumeration::write(plan.backup),
        })
    }

    async fn ask(&self, deployment: &str, by: OperatorName, request: Request) -> Result<Seq, RpcError> {
        let id = self.deployment_named(deployment).await?;
        Ok(self.services.conductor.request(&id, by, request).await?)
    }
}

/// A time of nothing is none.
fn some_time(time: Option<Duration>, field: &str) -> Result<Option<Duration>, RpcError> {
    match time {
        Some(Duration::ZERO) => Err(InvalidWire::new(field, "is 0; leave it out").into()),
        time => Ok(time),
    }
}
