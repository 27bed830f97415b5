//! `stopover rollback`: takes a stage back, and watches that.

use serde::Serialize;
use stopover_model::event::DeploymentOutcome;
use stopover_model::id::Seq;
use stopover_proto::v1;

use super::Context;
use super::show::{Ended, show};
use crate::args::RollbackArgs;
use crate::failure::{Exit, Failure};
use crate::render::line::Line;

#[derive(Serialize)]
struct Begun<'a> {
    environment: &'a str,
    seq: u64,
}

pub(crate) async fn run(context: &Context, args: &RollbackArgs) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let id = &args.id.id;
    let environment = args.stage.as_ref().map(ToString::to_string).unwrap_or_default();
    let request = v1::RollbackDeploymentRequest { deployment: id.clone(), environment };
    let answer = control.rollback_deployment(request).await?.into_inner();
    let output = context.output;
    if args.detach && output.json {
        output.json(&Begun { environment: &answer.environment, seq: answer.seq })?;
        return Ok(Exit::Done);
    }
    output.note(&Line::new().plain(format!("{} of {id} is being rolled back", answer.environment)));
    if args.detach {
        return Ok(Exit::Done);
    }
    Ok(match show(output, control, id, Seq(answer.seq)).await? {
        Ended::Detached => Exit::Detached,
        // What was asked for is done.
        Ended::Deployment(state) if state.outcome == Some(DeploymentOutcome::RolledBack) => Exit::Done,
        Ended::Deployment(_) => Exit::Failed,
    })
}
