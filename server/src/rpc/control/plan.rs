//! What would happen where, and why. Nothing is changed.

use std::sync::Arc;

use stopover_lint::{StagesFinding, StagesReport, Unread};
use stopover_model::deployment::Deployment;
use stopover_model::migration::Migration;
use stopover_model::plan::MigrationSummary;
use stopover_proto::convert::field::{digest, message, messages, name, optional_message};
use stopover_proto::v1;
use stopover_proto::v1::plan_response::{self, target_result};

use super::Api;
use crate::conductor::{StagePlan, TargetResult};
use crate::rpc::status::RpcError;

impl Api {
    pub(super) async fn show_plan(&self, request: v1::PlanRequest) -> Result<v1::PlanResponse, RpcError> {
        let migrations: Vec<Migration> = messages::read(request.migrations, "migrations")?;
        let pipeline = self.pipeline_named(&request.pipeline).await?.pipeline;
        let migrations: Arc<[Migration]> = migrations.into();
        let plan = self.services.conductor.plan(&pipeline, &migrations).await?;
        let summaries: Vec<_> = migrations.iter().map(MigrationSummary::of).collect();
        Ok(v1::PlanResponse {
            digest: digest::write(Deployment::digest_of(&pipeline, &summaries)),
            pipeline: Some(pipeline.into()),
            migrations: messages::write(summaries),
            stages: plan.stages.into_iter().map(stage).collect(),
            lint: Some(lint(plan.lint)),
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
        lint_refusal: optional_message::write(result.lint_refusal),
        result: Some(match result.plan {
            Ok(plan) => target_result::Result::Plan(plan.into()),
            Err(error) => target_result::Result::Refused(error.into()),
        }),
    }
}

fn lint(report: StagesReport) -> plan_response::Lint {
    let unread = |one: Unread| plan_response::Unread { file: one.file, line: one.line, why: one.why };
    plan_response::Lint {
        findings: report.findings.into_iter().map(finding).collect(),
        ignored: u32::try_from(report.ignored).unwrap_or(u32::MAX),
        unread: report.unread.into_iter().map(unread).collect(),
    }
}

fn finding(found: StagesFinding) -> plan_response::Finding {
    let StagesFinding { finding, known } = found;
    plan_response::Finding {
        finding: message::write(known),
        end_line: finding.end.line,
        end_column: finding.end.column,
        help: finding.help.unwrap_or_default(),
        note: finding.note.unwrap_or_default(),
        url: finding.rule.url().unwrap_or_default(),
        rewrite: finding.rewrite.map(|r| plan_response::Rewrite { title: r.title, sql: r.sql }),
    }
}
