//! `stopover resolve`: a person has looked, and says what is true of a step whose outcome is UNKNOWN, or of a rollback that
//! failed.

use stopover_model::deployment::{Deployment, StepState};
use stopover_model::event::{Resolution, StepKey};
use stopover_proto::convert::WireEnum as _;
use stopover_proto::v1;

use super::Context;
use super::status::fetch;
use crate::args::ResolveArgs;
use crate::failure::{Exit, Failure};
use crate::render::line::Line;

pub(crate) async fn run(context: &Context, args: &ResolveArgs) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let deployment = fetch(&mut control, &args.id.id).await?;
    let step = pick(&deployment, args)?;
    let resolution = if args.applied { Resolution::Applied } else { Resolution::NotApplied };
    let request = v1::ResolveDeploymentRequest {
        deployment: deployment.id.to_string(),
        resolution: resolution.to_wire(),
        step: Some(step.clone().into()),
    };
    control.resolve_deployment(request).await?;
    let word = if args.applied { "applied" } else { "not applied" };
    context.output.note(
        &Line::new().plain(format!("{}: {step} counts as {word}; the deployment goes on", deployment.id)),
    );
    Ok(Exit::Done)
}

/// The one UNKNOWN step that is meant.
fn pick(deployment: &Deployment, args: &ResolveArgs) -> Result<StepKey, Failure> {
    let environment = |key: &StepKey| deployment.stage(key.stage).map(|s| s.spec.environment.clone());
    let mut unknown: Vec<StepKey> = deployment
        .indexed_stages()
        .flat_map(|(index, stage)| stage.targets.iter().flat_map(move |t| t.keys(index)))
        .filter(|key| deployment.step(key).is_some_and(|s| matches!(s.state, StepState::Unknown { .. })))
        .collect();
    unknown.extend(deployment.failed_rollbacks());
    let mut meant = unknown.iter().filter(|key| {
        (args.stage.is_none() || args.stage == environment(key))
            && (args.database.is_none() || args.database.as_ref() == Some(&key.database))
    });
    match (meant.next(), meant.next()) {
        (Some(step), None) => Ok(step.clone()),
        (Some(_), Some(_)) => {
            let names: Vec<_> = unknown
                .iter()
                .map(|key| format!("{}/{key}", environment(key).map(|e| e.to_string()).unwrap_or_default()))
                .collect();
            let message = format!(
                "several steps of {} are UNKNOWN, or are rollbacks that failed: {}",
                deployment.id,
                names.join(", ")
            );
            Err(Failure::usage(message).with_hint("say which one with --stage and --database"))
        }
        (None, _) => {
            let message = format!(
                "no such step of {} has an UNKNOWN outcome, or is a rollback that failed",
                deployment.id
            );
            Err(Failure::usage(message)
                .with_hint(format!("stopover status {} shows its steps", deployment.id)))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use stopover_model::report::{Effect, ErrorClass, Outcome, StepError};

    use super::*;
    use crate::args::{Cli, Command};
    use crate::render::sample::{Story, key};

    fn args(line: &str) -> ResolveArgs {
        let Command::Resolve(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
        args
    }

    #[test]
    fn the_step_that_is_unknown_is_found() {
        let error = StepError::new(ErrorClass::Transient, "lost").with_effect(Effect::Possible);
        let story = Story::begun().backed_up(0).start(0, "migrate");
        let known = pick(&story.deployment, &args("stopover resolve x --applied")).unwrap_err();
        assert_eq!(known.exit, Exit::Usage);
        let story = story.finish(0, "migrate", Outcome::Unknown { error });
        let found = |line: &str| pick(&story.deployment, &args(line)).ok();
        assert_eq!(found("stopover resolve x --applied"), Some(key(0, "migrate")));
        assert_eq!(
            found("stopover resolve x --applied --stage staging --database app"),
            Some(key(0, "migrate"))
        );
        assert_eq!(found("stopover resolve x --applied --stage production"), None);
    }
}
