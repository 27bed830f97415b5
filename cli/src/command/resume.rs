//! `stopover resume`: goes on, and tries again what failed; with an administrator's word also outside of its window.

use stopover_proto::convert::field::optional_name;
use stopover_proto::v1;

use super::Context;
use crate::args::ResumeArgs;
use crate::failure::{Exit, Failure};
use crate::render::line::Line;

pub(crate) async fn run(context: &Context, args: &ResumeArgs) -> Result<Exit, Failure> {
    let id = &args.id.id;
    let mut control = context.control().await?;
    let said = if args.override_window {
        let request = v1::OverrideWindowRequest {
            deployment: id.clone(),
            environment: optional_name::write(args.stage.clone()),
            reason: args.reason.clone().unwrap_or_default(),
        };
        let answer = control.override_window(request).await?.into_inner();
        format!("{id}: {} does not wait for its window", answer.environment)
    } else {
        control.resume_deployment(v1::ResumeDeploymentRequest { deployment: id.clone() }).await?;
        format!("{id}: goes on")
    };
    context.output.note(&Line::new().plain(said));
    Ok(Exit::Done)
}
