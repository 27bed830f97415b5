//! `stopover list`: deployments, newest first.

use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::answer::DeploymentRow;
use crate::failure::{Exit, Failure};
use crate::render;

/// At most `limit`; 0 for as many as the server gives.
pub(crate) async fn run(context: &Context, limit: u32) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let answer = control.list_deployments(v1::ListDeploymentsRequest { limit }).await?.into_inner();
    let rows: Vec<DeploymentRow> = field::messages::read(answer.deployments, "deployments")?;
    if context.output.json {
        rows.iter().try_for_each(|row| context.output.json(row))?;
    } else {
        context.output.text(&render::list::deployments(&rows, context.output.view()))?;
    }
    Ok(Exit::Done)
}
