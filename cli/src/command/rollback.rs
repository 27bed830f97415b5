//! `stopover rollback`: shows what taking a stage back would take, asks, takes it back, and watches that.

use serde::Serialize;
use stopover_model::deployment::Deployment;
use stopover_model::event::DeploymentOutcome;
use stopover_model::id::Seq;
use stopover_model::rollback::{Taken, Taking};
use stopover_proto::v1;

use super::Context;
use super::show::{Ended, show};
use super::status::fetch;
use crate::answer::RollbackAnswer;
use crate::args::RollbackArgs;
use crate::client::Control;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::Line;

#[derive(Serialize)]
struct Begun<'a> {
    environment: &'a str,
    seq: u64,
}

pub(crate) async fn run(context: &Context, args: &RollbackArgs) -> Result<Exit, Failure> {
    let output = context.output;
    let mut control = context.control().await?;
    let deployment = fetch(&mut control, &args.id.id).await?;
    let plan = look(&mut control, &deployment, args).await?;
    if args.plan {
        if output.json {
            output.json(&plan)?;
        } else {
            output.lines(&render::rollback::lines(&plan, &deployment, output.view()))?;
        }
        return Ok(if stands_in_the_way(&plan, &deployment).is_some() { Exit::Failed } else { Exit::Done });
    }
    if !output.json {
        output.lines(&render::rollback::lines(&plan, &deployment, output.view()))?;
    }
    stands_in_the_way(&plan, &deployment).map_or(Ok(()), Err)?;
    agree(context, args, &plan)?;
    begin(context, args, control, &deployment).await
}

async fn look(
    control: &mut Control,
    deployment: &Deployment,
    args: &RollbackArgs,
) -> Result<RollbackAnswer, Failure> {
    let request = v1::PlanDeploymentRollbackRequest {
        deployment: deployment.id.to_string(),
        environment: args.stage.as_ref().map(ToString::to_string).unwrap_or_default(),
        to: args.to.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    Ok(RollbackAnswer::try_from(control.plan_rollback(request).await?.into_inner())?)
}

/// Why it is not even asked for.
fn stands_in_the_way(plan: &RollbackAnswer, deployment: &Deployment) -> Option<Failure> {
    let refusal = plan.databases.iter().find_map(|database| {
        database.plan.as_ref()?.refusal(&plan.environment, &database.database, &deployment.id)
    });
    if let Some(refusal) = refusal {
        let failure = Failure::failed(refusal.message);
        return Some(match refusal.hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        });
    }
    // What a block of code drops before can't be seen: then it may do.
    let certain = |taken: &&Taken| taken.how != Taking::Hidden;
    let all = plan.plans().flat_map(|p| &p.migrations).flat_map(|m| &m.takes);
    let blocked: Vec<_> = plan.plans().flat_map(|p| p.in_the_way().cloned()).collect();
    if blocked.is_empty() || !all.into_iter().all(|taken| certain(&taken)) {
        return None;
    }
    let message = format!("nothing was taken back: {} would make it fail", blocked.join(", "));
    Some(Failure::failed(message).with_hint(
        "drop that first, or say CASCADE in the down.sql of the next migration of this kind; then the same again",
    ))
}

/// Where rows or values go, saved or not, the environment's name is typed; else a yes will do.
fn agree(context: &Context, args: &RollbackArgs, plan: &RollbackAnswer) -> Result<(), Failure> {
    let environment = plan.environment.as_str();
    if plan.may_take_data() {
        let word = if plan.may_lose_data() { "lose that" } else { "drop what is saved then" };
        let question = format!("to take {environment} back and {word}, type its name: ");
        return context.typed(args.yes, &question, environment);
    }
    context.agreed(args.yes, &format!("take {environment} back? [y/N] "))
}

async fn begin(
    context: &Context,
    args: &RollbackArgs,
    mut control: Control,
    deployment: &Deployment,
) -> Result<Exit, Failure> {
    let id = deployment.id.as_str();
    let request = v1::RollbackDeploymentRequest {
        deployment: id.to_owned(),
        environment: args.stage.as_ref().map(ToString::to_string).unwrap_or_default(),
        to: args.to.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    let answer = control.rollback_deployment(request).await?.into_inner();
    let output = context.output;
    if args.detach && output.json {
        output.json(&Begun { environment: &answer.environment, seq: answer.seq })?;
        return Ok(Exit::Done);
    }
    output.note(&Line::new().plain(format!("{} of {id} is being rolled back", answer.environment)));
    if args.detach {
        return Ok(Exit::Done);
    }
    Ok(match show(output, control, id, Seq(answer.seq)).await? {
        Ended::Detached => Exit::Detached,
        // What was asked for is done.
        Ended::Deployment(state) if state.outcome == Some(DeploymentOutcome::RolledBack) => Exit::Done,
        Ended::Deployment(_) => Exit::Failed,
    })
}
