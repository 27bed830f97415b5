//! `stopover plan`: what would happen where; changes nothing.

use stopover_model::migration::Migration;
use stopover_proto::v1;

use super::Context;
use crate::answer::PlanAnswer;
use crate::args::{Migrations, PlanArgs, PlanFormat};
use crate::client::Control;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::render::line::Line;
use crate::{directory, render};

pub(crate) async fn run(context: &Context, args: &PlanArgs) -> Result<Exit, Failure> {
    let found = directory::read_all(&args.migrations.directories, args.migrations.layout)?;
    let mut control = context.control().await?;
    let mut output = context.output;
    match args.format {
        Some(PlanFormat::Markdown) => {
            let answer = ask(&mut control, &pipeline_name(&args.migrations), &found.migrations).await?;
            output.text(&render::plan::markdown(&answer, output.view()))?;
            return Ok(ended(&answer));
        }
        Some(PlanFormat::Json) => output.json = true,
        Some(PlanFormat::Text) | None => {}
    }
    if !output.json {
        let notes: Vec<_> = found.notes.iter().map(|note| Line::new().dim(note)).collect();
        output.lines(&notes)?;
    }
    show(output, &mut control, &pipeline_name(&args.migrations), &found.migrations).await
}

/// Asks for the plan and prints it. A plan that some database refuses is a failure.
pub(crate) async fn show(
    output: Output,
    control: &mut Control,
    pipeline: &str,
    migrations: &[Migration],
) -> Result<Exit, Failure> {
    let answer = ask(control, pipeline, migrations).await?;
    if output.json {
        output.json(&answer)?;
    } else {
        output.lines(&render::plan::lines(&answer, output.view()))?;
    }
    Ok(ended(&answer))
}

async fn ask(control: &mut Control, pipeline: &str, migrations: &[Migration]) -> Result<PlanAnswer, Failure> {
    let request = v1::PlanRequest { pipeline: pipeline.to_owned(), migrations: bundles(migrations) };
    Ok(PlanAnswer::try_from(control.plan(request).await?.into_inner())?)
}

fn ended(answer: &PlanAnswer) -> Exit {
    if answer.is_refused() { Exit::Failed } else { Exit::Done }
}

pub(super) fn pipeline_name(args: &Migrations) -> String {
    args.pipeline.as_ref().map(ToString::to_string).unwrap_or_default()
}

pub(crate) fn bundles(migrations: &[Migration]) -> Vec<v1::MigrationBundle> {
    migrations.iter().map(v1::MigrationBundle::from).collect()
}
