//! `stopover cancel`: stops a deployment where it is.

use stopover_proto::v1;

use super::Context;
use crate::failure::{Exit, Failure};
use crate::render::line::Line;

pub(crate) async fn run(context: &Context, id: &str) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    control.cancel_deployment(v1::CancelDeploymentRequest { deployment: id.to_owned() }).await?;
    context.output.note(&Line::new().plain(format!("{id}: asked to stop; what was applied stays")));
    Ok(Exit::Done)
}
