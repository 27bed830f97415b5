//! `stopover resume`: goes on, and tries again what failed, in all databases or in some, or without one of them; with an
//! administrator's word also outside of its window.

use stopover_proto::convert::field::{names, optional_name};
use stopover_proto::v1;

use super::Context;
use crate::args::ResumeArgs;
use crate::failure::{Exit, Failure};
use crate::render::line::Line;

pub(crate) async fn run(context: &Context, args: &ResumeArgs) -> Result<Exit, Failure> {
    let id = &args.id.id;
    if args.reason.is_some() && !args.override_window && args.leave_out.is_none() {
        let problem = "--reason says why a window is overridden, or a database left out";
        return Err(Failure::usage(problem).with_hint("resume without it; stopover pause keeps a reason"));
    }
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
        let request = v1::ResumeDeploymentRequest {
            deployment: id.clone(),
            databases: names::write(args.database.clone()),
            leave_out: optional_name::write(args.leave_out.clone()),
            reason: args.reason.clone().unwrap_or_default(),
        };
        control.resume_deployment(request).await?;
        let names: Vec<_> = args.database.iter().map(ToString::to_string).collect();
        match &args.leave_out {
            Some(database) => format!("{id}: goes on without {database}"),
            None if names.is_empty() => format!("{id}: goes on"),
            None => format!("{id}: tries {} again", names.join(", ")),
        }
    };
    context.output.note(&Line::new().plain(said));
    Ok(Exit::Done)
}
