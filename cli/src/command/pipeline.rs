//! `stopover pipeline`: the way from one environment to the next.

mod apply;

use serde::Serialize;
use stopover_model::id::PipelineName;
use stopover_model::pipeline::Pipeline;
use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::args::{ApplyArgs, PipelineCommand};
use crate::failure::{Exit, Failure};
use crate::render;

#[derive(Serialize)]
struct Shown {
    pipeline: Pipeline,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    toml: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<String>,
}

pub(crate) async fn run(context: &Context, command: PipelineCommand) -> Result<Exit, Failure> {
    match command {
        PipelineCommand::Apply(args) => apply::run(context, &[args.file], &args.how).await,
        PipelineCommand::Show { name } => show(context, name).await,
    }
}

/// `stopover apply`.
pub(crate) async fn apply(context: &Context, args: &ApplyArgs) -> Result<Exit, Failure> {
    apply::run(context, &args.files, &args.how).await
}

async fn show(context: &Context, name: Option<PipelineName>) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let name = name.map(|n| n.to_string()).unwrap_or_default();
    let answer = control.get_pipeline(v1::GetPipelineRequest { name }).await?.into_inner();
    let pipeline: Pipeline = field::message::read(answer.pipeline, "pipeline")?;
    let (output, revision) = (context.output, answer.revision);
    if output.json {
        let toml = Some(answer.toml);
        output.json(&Shown { pipeline, revision, changed: None, toml, difference: None })?;
    } else {
        output.lines(&render::pipeline::lines(&pipeline, revision, output.view()))?;
    }
    Ok(Exit::Done)
}
