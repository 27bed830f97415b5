//! Deploy, and what deployments there are.

use stopover_model::deployment::{Deployment, FORM};
use stopover_model::event::{DeploymentKind, Event, Record};
use stopover_model::id::{DatabaseName, DeploymentId, EnvironmentName, OperatorName, Seq};
use stopover_model::pipeline::Pipeline;
use stopover_proto::convert::InvalidWire;
use stopover_proto::convert::field::{
    digest, messages, name, names, optional_digest, optional_enumeration, optional_text, timestamp,
};
use stopover_proto::v1;
use uuid::Uuid;

use super::Api;
use crate::conductor::{ConductError, Create};
use crate::rpc::status::RpcError;
use crate::store::{DeploymentRow, Found};

const USUAL_LIST: u32 = 20;
const LONGEST_LIST: u32 = 200;
/// Records read at a time.
const PAGE: u32 = 1000;
/// A longer log is for those who take it piece by piece.
const LONGEST_ANSWER: Seq = Seq(20_000);

impl Api {
    pub(super) async fn create_deployment(
        &self,
        by: OperatorName,
        request: v1::DeployRequest,
    ) -> Result<v1::DeployResponse, RpcError> {
        let request_id = request_id(&request.request_id)?;
        let expected_digest = optional_digest::read(request.expected_digest, "expected_digest")?;
        let migrations = messages::read(request.migrations, "migrations")?;
        let pipeline = self.pipeline_named(&request.pipeline).await?.pipeline;
        let kind = DeploymentKind::Migration;
        let again = optional_text::read(request.again, "again")?;
        let restore_saved = request.restore_saved;
        let new =
            Create { pipeline, migrations, by, kind, request_id, expected_digest, again, restore_saved };
        let (deployment, found) = self.services.conductor.create(new).await?;
        Ok(v1::DeployResponse { deployment: name::write(deployment), digest: digest::write(found) })
    }

    /// A deployment that only rehearses.
    pub(super) async fn create_rehearsal(
        &self,
        by: OperatorName,
        request: v1::RehearseEnvironmentRequest,
    ) -> Result<v1::DeployResponse, RpcError> {
        let request_id = request_id(&request.request_id)?;
        let environment: EnvironmentName = name::read(request.environment, "environment")?;
        let databases: Vec<DatabaseName> = names::read(request.databases, "databases")?;
        let migrations = messages::read(request.migrations, "migrations")?;
        if !self.services.store.environments().await?.contains(&environment) {
            return Err(RpcError::NoEnvironment(environment));
        }
        let like = self.pipeline_through(&environment, &request.pipeline).await?;
        let pipeline = Pipeline::rehearsal(like, &environment, &databases, request.allow_cluster_effects)?;
        let kind = DeploymentKind::Rehearsal;
        let new = Create {
            pipeline,
            migrations,
            by,
            kind,
            request_id,
            expected_digest: None,
            again: None,
            restore_saved: false,
        };
        let (deployment, found) = self.services.conductor.create(new).await?;
        Ok(v1::DeployResponse { deployment: name::write(deployment), digest: digest::write(found) })
    }

    pub(super) async fn whole_log(&self, deployment: &str) -> Result<v1::GetDeploymentResponse, RpcError> {
        let id = self.deployment_named(deployment).await?;
        let events = self.services.store.last_seq(&id).await?.unwrap_or(Seq::ZERO);
        if events > LONGEST_ANSWER {
            return Err(RpcError::LongLog { deployment: id, events });
        }
        let mut log = Vec::new();
        let mut after = Seq::ZERO;
        loop {
            let page = self.services.store.records(&id, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            log.extend(page);
        }
        // What makes no sense here may make sense to the one who asks: it is shown in any case.
        let state = Deployment::fold(&log).ok().flatten();
        let plan_digest = state.as_ref().and_then(Deployment::waiting_plan);
        let records = log.into_iter().map(v1::Record::from).collect();
        Ok(v1::GetDeploymentResponse { records, plan_digest: optional_digest::write(plan_digest) })
    }

    /// What there is to be shown of it, for a caller of this very build.
    pub(super) async fn look_at(&self, request: v1::GlanceRequest) -> Result<v1::GlanceResponse, RpcError> {
        let id = self.deployment_named(&request.deployment).await?;
        let also: Vec<DatabaseName> = names::read(request.databases, "databases")?;
        if request.form != FORM {
            return Ok(v1::GlanceResponse::default());
        }
        let glance = self.services.conductor.glance(&id, also.into_iter().collect()).await?;
        // It was made here: there is nothing in it that JSON could not hold. Empty, it says that the log is to be read.
        let glance = serde_json::to_vec(&glance).unwrap_or_default();
        Ok(v1::GlanceResponse { glance })
    }

    pub(super) async fn newest_deployments(
        &self,
        limit: u32,
    ) -> Result<v1::ListDeploymentsResponse, RpcError> {
        let limit = if limit == 0 { USUAL_LIST } else { limit.min(LONGEST_LIST) };
        let rows = self.services.store.list_deployments(limit).await?;
        Ok(v1::ListDeploymentsResponse { deployments: rows.into_iter().map(summary).collect() })
    }

    /// The deployment whose id is given, or begins so.
    pub(super) async fn deployment_named(&self, given: &str) -> Result<DeploymentId, RpcError> {
        let given = given.trim();
        if given.is_empty() {
            return Err(InvalidWire::missing("deployment").into());
        }
        match self.services.store.find_deployment(given).await? {
            Found::One(id) => Ok(id),
            Found::None => Err(ConductError::NoDeployment(given.escape_debug().to_string()).into()),
            Found::Many => Err(RpcError::SeveralDeployments(given.to_owned())),
        }
    }

    /// The pipeline that the deployment began with.
    pub(super) async fn pipeline_of(&self, id: &DeploymentId) -> Result<Pipeline, RpcError> {
        let first = self.services.store.records(id, Seq::ZERO, 1).await?.into_iter().next();
        match first {
            Some(Record { event: Event::Created { pipeline, .. }, .. }) => Ok(pipeline),
            _ => Err(ConductError::NoDeployment(id.to_string()).into()),
        }
    }
}

fn request_id(text: &str) -> Result<Uuid, InvalidWire> {
    let why = "is not a UUID; draw one for each deployment that you want";
    Uuid::parse_str(text).map_err(|_| InvalidWire::new("request_id", why))
}

fn summary(row: DeploymentRow) -> v1::DeploymentSummary {
    v1::DeploymentSummary {
        deployment: name::write(row.id),
        pipeline: name::write(row.pipeline),
        migrations: names::write(row.migrations),
        by: name::write(row.by),
        created_at: timestamp::write(row.created_at),
        updated_at: timestamp::write(row.updated_at),
        outcome: optional_enumeration::write(row.outcome),
        at: row.at,
    }
}
