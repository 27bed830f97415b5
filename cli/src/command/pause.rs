//! `stopover pause`: lets running steps end and starts no other.

use stopover_proto::v1;

use super::Context;
use crate::failure::{Exit, Failure};
use crate::render::line::Line;

pub(crate) async fn run(context: &Context, id: &str, reason: String) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    control.pause_deployment(v1::PauseDeploymentRequest { deployment: id.to_owned(), reason }).await?;
    let line = format!("{id}: paused when its running steps have ended; go on with: stopover resume {id}");
    context.output.note(&Line::new().plain(line));
    Ok(Exit::Done)
}
