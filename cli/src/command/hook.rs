//! `stopover pass` and `stopover fail`: how a hook went that nobody calls, or that is to be waited for no longer.

use serde::Serialize;
use stopover_model::gate::HookOutcome;
use stopover_model::id::{EnvironmentName, HookName};
use stopover_proto::v1;

use super::Context;
use crate::args::{FailArgs, HookArgs, Id};
use crate::failure::{Exit, Failure};
use crate::render::line::{Line, Tone};

#[derive(Serialize)]
struct Said<'a> {
    environment: &'a str,
    hook: &'a HookName,
    #[serde(flatten)]
    outcome: &'a HookOutcome,
}

pub(crate) async fn pass(context: &Context, args: &HookArgs) -> Result<Exit, Failure> {
    let outcome = HookOutcome::Passed { reason: args.reason.clone() };
    say(context, &args.id, &args.hook, args.stage.as_ref(), outcome).await
}

pub(crate) async fn fail(context: &Context, args: &FailArgs) -> Result<Exit, Failure> {
    let outcome = HookOutcome::Failed { reason: args.reason.clone() };
    say(context, &args.id, &args.hook, args.stage.as_ref(), outcome).await
}

async fn say(
    context: &Context,
    id: &Id,
    hook: &HookName,
    stage: Option<&EnvironmentName>,
    outcome: HookOutcome,
) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let request = v1::AnswerHookRequest {
        deployment: id.id.clone(),
        environment: stage.map(ToString::to_string).unwrap_or_default(),
        hook: hook.to_string(),
        outcome: Some(outcome.clone().into()),
    };
    let v1::AnswerHookResponse { environment } = control.answer_hook(request).await?.into_inner();
    let output = context.output;
    if output.json {
        output.json(&Said { environment: &environment, hook, outcome: &outcome })?;
        return Ok(Exit::Done);
    }
    let line = Line::new().plain(format!("{}: the hook {hook} of {environment} has ", id.id));
    let line = match outcome {
        HookOutcome::Passed { .. } => line.with(Tone::Good, "passed"),
        HookOutcome::Failed { .. } => line.with(Tone::Bad, "failed"),
    };
    output.note(&line);
    Ok(Exit::Done)
}
