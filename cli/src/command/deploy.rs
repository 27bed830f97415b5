//! `stopover deploy`: creates a deployment and watches it travel.

use std::time::Duration;

use serde::Serialize;
use stopover_model::digest::Digest;
use stopover_model::event::StageOutcome;
use stopover_model::id::{EnvironmentName, Seq};
use stopover_model::pipeline::Pipeline;
use stopover_proto::convert::field;
use stopover_proto::v1;
use tonic::{Code, Response, Status};

use super::Context;
use super::plan::{bundles, pipeline_name};
use super::show::{Ended, show, show_until};
use crate::args::{DeployArgs, WaitFor};
use crate::client::Control;
use crate::directory;
use crate::failure::{Exit, Failure};
use crate::follow::stage_outcome;
use crate::render::line::Line;

const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Created {
    deployment: String,
    digest: Digest,
}

pub(crate) async fn run(context: &Context, args: &DeployArgs) -> Result<Exit, Failure> {
    let found = directory::read_all(&args.migrations.directories, args.migrations.layout)?;
    if !context.output.json {
        found.notes.iter().for_each(|note| context.output.note(&Line::new().dim(note)));
    }
    let mut control = context.control().await?;
    if let Some(WaitFor::Stage(stage)) = &args.wait {
        let name = pipeline_name(&args.migrations);
        let answer = control.get_pipeline(v1::GetPipelineRequest { name }).await?.into_inner();
        check_stage(&field::message::read(answer.pipeline, "pipeline")?, stage)?;
    }
    let request = v1::DeployRequest {
        pipeline: pipeline_name(&args.migrations),
        migrations: bundles(&found.migrations),
        request_id: uuid::Uuid::new_v4().to_string(),
        expected_digest: field::optional_digest::write(args.expect_digest),
        again: args.again.clone().unwrap_or_default(),
        restore_saved: args.restore_saved,
    };
    let answer = create(&mut control, request).await?;
    match &args.wait {
        Some(WaitFor::Stage(stage)) => wait(context, control, &answer.deployment, stage).await,
        None => watch(context, control, answer, args.detach).await,
    }
}

/// Nothing is deployed for the sake of a stage that will never come.
fn check_stage(pipeline: &Pipeline, stage: &EnvironmentName) -> Result<(), Failure> {
    let stages: Vec<_> = pipeline.stages.iter().map(|s| s.environment.as_str()).collect();
    if stages.contains(&stage.as_str()) {
        return Ok(());
    }
    let message = format!("nothing was deployed: the pipeline {} has no stage {stage}", pipeline.name);
    Err(Failure::usage(message).with_hint(format!("its stages: {}", stages.join(", "))))
}

/// Shows the deployment until that stage has ended; after a good end the rest goes on by itself.
async fn wait(
    context: &Context,
    control: Control,
    id: &str,
    stage: &EnvironmentName,
) -> Result<Exit, Failure> {
    let deployment = match show_until(context.output, control, id, stage.clone()).await? {
        Ended::Deployment(deployment) => deployment,
        Ended::Detached => return Ok(Exit::Detached),
    };
    if stage_outcome(&deployment, stage) != Some(StageOutcome::Succeeded) {
        return Ok(Exit::Failed);
    }
    if deployment.outcome.is_none() && !context.output.json {
        let words = Line::new().plain(format!("{stage} is done; the deployment goes on. Watch it with: "));
        context.output.note(&words.strong(format!("stopover watch {id}")));
    }
    Ok(Exit::Done)
}

/// Shows the deployment that was made to its end, unless it is left at once.
pub(super) async fn watch(
    context: &Context,
    control: Control,
    made: v1::DeployResponse,
    detach: bool,
) -> Result<Exit, Failure> {
    if detach {
        let digest = field::digest::read(made.digest, "digest")?;
        return detached(context, &Created { deployment: made.deployment, digest });
    }
    Ok(match show(context.output, control, &made.deployment, Seq::ZERO).await? {
        Ended::Deployment(state) => exit_of(&state),
        Ended::Detached => Exit::Detached,
    })
}

/// Sent again while the server is away: by its `request_id` the same request makes one deployment.
pub(crate) async fn create(
    control: &mut Control,
    request: v1::DeployRequest,
) -> Result<v1::DeployResponse, Status> {
    until_taken(async || control.deploy(request.clone()).await).await
}

/// The same for any request that makes one deployment however often it is sent.
pub(super) async fn until_taken(
    mut ask: impl AsyncFnMut() -> Result<Response<v1::DeployResponse>, Status>,
) -> Result<v1::DeployResponse, Status> {
    for _ in 1..TRIES {
        match ask().await {
            Err(status) if status.code() == Code::Unavailable => tokio::time::sleep(PAUSE).await,
            answer => return answer.map(Response::into_inner),
        }
    }
    ask().await.map(Response::into_inner)
}

pub(super) fn exit_of(state: &stopover_model::deployment::Deployment) -> Exit {
    match state.outcome {
        Some(stopover_model::event::DeploymentOutcome::Succeeded) => Exit::Done,
        _ => Exit::Failed,
    }
}

fn detached(context: &Context, created: &Created) -> Result<Exit, Failure> {
    if context.output.json {
        context.output.json(created)?;
    } else {
        context.output.text(&created.deployment)?;
        let line = Line::new().plain("digest ").plain(created.digest.to_string());
        context.output.note(&line);
        context
            .output
            .note(&Line::new().plain(format!("watch it with: stopover watch {}", created.deployment)));
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::line::text;
    use crate::render::sample;

    #[test]
    fn a_stage_that_the_pipeline_does_not_have_is_refused_with_those_that_it_has() {
        assert_eq!(check_stage(&sample::pipeline(), &"production".parse().unwrap()), Ok(()));
        let failure = check_stage(&sample::pipeline(), &"prod".parse().unwrap()).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        insta::assert_snapshot!(text(&failure.lines()), @r"
        error: nothing was deployed: the pipeline users-db has no stage prod
        hint: its stages: staging, production
        ");
    }
}
