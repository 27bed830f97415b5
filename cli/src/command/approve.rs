//! `stopover approve` and `stopover reject`: a person's word on what is planned for a stage.

use serde::Serialize;
use stopover_model::deployment::{Deployment, Stage, StageStatus};
use stopover_model::event::StageIndex;
use stopover_model::id::EnvironmentName;
use stopover_proto::convert::field::digest;
use stopover_proto::v1;

use super::{Context, fetch};
use crate::args::{ApproveArgs, RejectArgs};
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::Line;

#[derive(Serialize)]
struct Approved<'a> {
    deployment: &'a str,
    environment: &'a str,
    have: u32,
    need: u32,
}

#[derive(Serialize)]
struct Rejected<'a> {
    deployment: &'a str,
    environment: &'a str,
}

pub(crate) async fn approve(context: &Context, args: &ApproveArgs) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let deployment = fetch(&mut control, &args.id.id).await?;
    let id = deployment.id.as_str();
    let meant = stage_meant(&deployment, args.stage.as_ref());
    // Where there is no plan yet, or no such stage, the server says so.
    let found = meant.and_then(|(index, _)| deployment.plan_digest(index));
    if let Some(expected) = args.expect_digest.filter(|e| found != Some(*e)) {
        let found =
            found.map_or_else(|| "there is none yet".to_owned(), |found| format!("it is {found} now"));
        let message =
            format!("nothing was approved: the plan was to have the digest {expected}, and {found}");
        return Err(Failure::failed(message).with_hint(format!("look at it again: stopover explain {id}")));
    }
    let output = context.output;
    if let Some((_, stage)) = meant.filter(|_| found.is_some() && !output.json) {
        output.lines(&render::gate::what_would_run(stage, output.view()))?;
    }
    let request = v1::ApproveDeploymentRequest {
        deployment: id.to_owned(),
        environment: environment(meant, args.stage.as_ref()),
        digest: digest::write(found.unwrap_or(deployment.digest)),
        reason: args.reason.clone(),
    };
    let answer = control.approve_deployment(request).await?.into_inner();
    let v1::ApproveDeploymentResponse { environment, have, need } = answer;
    if output.json {
        output.json(&Approved { deployment: id, environment: &environment, have, need })?;
    } else {
        let more =
            if have < need { format!("; {have} of {need} approvals are there") } else { String::new() };
        output.note(&Line::new().plain(format!("{id}: {environment} is approved by you{more}")));
    }
    Ok(Exit::Done)
}

pub(crate) async fn reject(context: &Context, args: &RejectArgs) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let id = args.id.id.as_str();
    let request = v1::RejectDeploymentRequest {
        deployment: id.to_owned(),
        environment: args.stage.as_ref().map(ToString::to_string).unwrap_or_default(),
        reason: args.reason.clone(),
    };
    let environment = control.reject_deployment(request).await?.into_inner().environment;
    let output = context.output;
    if output.json {
        output.json(&Rejected { deployment: id, environment: &environment })?;
    } else {
        let line = format!(
            "{id}: rejected in {environment}, and held; stopover resume {id} asks for approvals anew, stopover cancel {id} \
             ends it"
        );
        output.note(&Line::new().plain(line));
    }
    Ok(Exit::Done)
}

/// The stage in that environment; else the one that is open, or comes next.
fn stage_meant<'a>(
    deployment: &'a Deployment,
    given: Option<&EnvironmentName>,
) -> Option<(StageIndex, &'a Stage)> {
    let meant = |stage: &Stage| match given {
        Some(environment) => stage.spec.environment == *environment,
        None => !matches!(stage.status, StageStatus::Ended { .. }),
    };
    deployment.indexed_stages().find(|(_, stage)| meant(stage))
}

/// What was looked at is what is approved, whatever stage is open by then.
fn environment(meant: Option<(StageIndex, &Stage)>, given: Option<&EnvironmentName>) -> String {
    let meant = meant.map(|(_, stage)| &stage.spec.environment);
    meant.or(given).map(ToString::to_string).unwrap_or_default()
}
