//! What would happen where, and why. Nothing is changed.

use stopover_model::deployment::Deployment;
use stopover_model::migration::Migration;
use stopover_model::plan::MigrationSummary;
use stopover_proto::convert::field::{digest, messages, name, optional_message};
use stopover_proto::v1;
use stopover_proto::v1::plan_response::{self, target_result};

use super::Api;
use crate::conductor::{StagePlan, TargetResult};
use crate::rpc::status::RpcError;

impl Api {
    pub(super) async fn show_plan(&self, request: v1::PlanRequest) -> Result<v1::PlanResponse, RpcError> {
        let migrations: Vec<Migration> = messages::read(request.migrations, "migrations")?;
        let pipeline = self.pipeline_named(&request.pipeline).await?.pipeline;
        let stages = self.services.conductor.plan(&pipeline, &migrations).await?;
        let summaries: Vec<_> = migrations.iter().map(MigrationSummary::of).collect();
        Ok(v1::PlanResponse {
            digest: digest::write(Deployment::digest_of(&pipeline, &summaries)),
            pipeline: Some(pipeline.into()),
            migrations: messages::write(summaries),
            stages: stages.into_iter().map(stage).collect(),
        })
    }
}

fn stage(plan: StagePlan) -> plan_response::StagePlan {
    plan_response::StagePlan {
        environment: name::write(plan.environment),
        unavailable: plan.unavailable.unwrap_or_default(),
        targets: plan.targets.into_iter().map(target).collect(),
    }
}

fn target(result: TargetResult) -> plan_response::TargetResult {
    plan_response::TargetResult {
        database: name::write(result.database),
        inspection: optional_message::write(result.inspection),
        result: Some(match result.plan {
            Ok(plan) => target_result::Result::Plan(plan.into()),
            Err(error) => target_result::Result::Refused(error.into()),
        }),
    }
}
