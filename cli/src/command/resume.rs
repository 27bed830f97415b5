//! `stopover resume`: goes on, and tries again what failed.

use stopover_proto::v1;

use super::Context;
use crate::failure::{Exit, Failure};
use crate::render::line::Line;

pub(crate) async fn run(context: &Context, id: &str) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    control.resume_deployment(v1::ResumeDeploymentRequest { deployment: id.to_owned() }).await?;
    context.output.note(&Line::new().plain(format!("{id}: goes on")));
    Ok(Exit::Done)
}
