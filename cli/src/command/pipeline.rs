//! `stopover pipeline`: the way from one environment to the next.

use std::path::Path;

use serde::Serialize;
use stopover_model::pipeline::{Pipeline, StageSpec};
use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::answer::EnvironmentRow;
use crate::args::PipelineCommand;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::{Line, Tone};

#[derive(Serialize)]
struct Shown {
    pipeline: Pipeline,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    toml: Option<String>,
}

pub(crate) async fn run(context: &Context, command: PipelineCommand) -> Result<Exit, Failure> {
    match command {
        PipelineCommand::Apply { file } => apply(context, &file).await,
        PipelineCommand::Show { name } => {
            let mut control = context.control().await?;
            let name = name.map(|n| n.to_string()).unwrap_or_default();
            let answer = control.get_pipeline(v1::GetPipelineRequest { name }).await?.into_inner();
            let pipeline: Pipeline = field::message::read(answer.pipeline, "pipeline")?;
            let output = context.output;
            if output.json {
                let toml = Some(answer.toml);
                output.json(&Shown { pipeline, revision: answer.revision, changed: None, toml })?;
            } else {
                output.lines(&render::pipeline::lines(&pipeline, answer.revision, output.view()))?;
            }
            Ok(Exit::Done)
        }
    }
}

/// What is wrong with the file is said before anything is sent.
async fn apply(context: &Context, file: &Path) -> Result<Exit, Failure> {
    let name = file.display().to_string();
    let toml = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("could not read the pipeline {name}")).because(&error))?;
    let read = stopover_lint::read_pipeline(&name, &toml);
    let checked = read.and_then(|pipeline| pipeline.check_windows(&name, &toml, context.output.view().now));
    checked.map_err(|error| Failure::usage(error.to_string()))?;
    let mut control = context.control().await?;
    let answer = control.apply_pipeline(v1::ApplyPipelineRequest { toml, file: name }).await?.into_inner();
    let pipeline: Pipeline = field::message::read(answer.pipeline, "pipeline")?;
    let output = context.output;
    if output.json {
        output.json(&Shown {
            pipeline,
            revision: answer.revision,
            changed: Some(answer.changed),
            toml: None,
        })?;
    } else {
        let word = if answer.changed { "is now" } else { "was and stays" };
        output.note(&Line::new().plain(format!("{} {word} at revision {}", pipeline.name, answer.revision)));
        output.lines(&render::pipeline::lines(&pipeline, answer.revision, output.view()))?;
        let listed = control.list_environments(v1::ListEnvironmentsRequest {}).await?.into_inner();
        let there: Vec<EnvironmentRow> = field::messages::read(listed.environments, "environments")?;
        for missing in not_there(&pipeline, &there) {
            output.note(&Line::of(Tone::Warn, "! ").plain(missing));
        }
    }
    Ok(Exit::Done)
}

/// What a deployment through the pipeline would wait for.
fn not_there(pipeline: &Pipeline, environments: &[EnvironmentRow]) -> Vec<String> {
    let of_stage = |stage: &StageSpec| {
        let name = &stage.environment;
        let Some(environment) = environments.iter().find(|e| e.name == *name) else {
            return vec![format!("there is no environment {name} yet: stopover environment create {name}")];
        };
        let unserved =
            stage.databases.iter().filter(|d| environment.databases.iter().all(|row| row.name != **d));
        unserved
            .map(|d| format!("no agent of {name} serves the database {d} yet: stopover agent list"))
            .collect()
    };
    pipeline.stages.iter().flat_map(of_stage).collect()
}
