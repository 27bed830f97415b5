//! `stopover drift`: what others have changed since Stopover last left the schema, and a person's word that it is right.

use serde::Serialize;
use stopover_model::id::EnvironmentName;
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

use super::Context;
use crate::answer::DatabaseDrift;
use crate::args::DriftArgs;
use crate::client::Control;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::{Line, Tone};

#[derive(Serialize)]
struct Shown<'a> {
    environment: &'a EnvironmentName,
    databases: &'a [DatabaseDrift],
}

pub(crate) async fn run(context: &Context, args: &DriftArgs) -> Result<Exit, Failure> {
    let output = context.output;
    let mut control = context.control().await?;
    let mut targets = look(&mut control, args).await?;
    if !output.json {
        for target in &targets {
            output.lines(&render::drift::lines(target, output.view()))?;
        }
    }
    let agreed = if args.accept { agree(context, args, &targets) } else { Ok(false) };
    if agreed.as_ref().is_ok_and(|agreed| *agreed) {
        for target in targets.iter_mut().filter(|target| target.may_be_accepted()) {
            accept(&mut control, args, target).await?;
        }
    }
    if output.json {
        output.json(&Shown { environment: &args.environment, databases: &targets })?;
    }
    if agreed? {
        tell(context, &targets)?;
    }
    let open = targets.iter().any(|target| target.failed.is_some() || target.has_drifted());
    Ok(if open { Exit::Failed } else { Exit::Done })
}

async fn look(control: &mut Control, args: &DriftArgs) -> Result<Vec<DatabaseDrift>, Failure> {
    let request = v1::ReadEnvironmentDriftRequest {
        environment: args.environment.to_string(),
        database: args.database.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    let answer = control.read_drift(request).await?.into_inner();
    Ok(field::messages::read(answer.databases, "databases")?)
}

/// Whether it is to be written; false: there is nothing to accept.
fn agree(context: &Context, args: &DriftArgs, targets: &[DatabaseDrift]) -> Result<bool, Failure> {
    let databases: Vec<&str> =
        targets.iter().filter(|t| t.may_be_accepted()).map(|t| t.database.as_str()).collect();
    if databases.is_empty() {
        context.output.note(&Line::new().plain("there is nothing to accept"));
        return Ok(false);
    }
    let question = format!(
        "from now on, is the schema of {} in {} right as it is? [y/N] ",
        databases.join(", "),
        args.environment
    );
    context.agreed(args.yes, &question).map(|()| true)
}

async fn accept(control: &mut Control, args: &DriftArgs, target: &mut DatabaseDrift) -> Result<(), Failure> {
    use v1::accept_environment_drift_response::Result as Answer;
    let Some(look) = &target.found else { return Ok(()) };
    let request = v1::AcceptEnvironmentDriftRequest {
        environment: args.environment.to_string(),
        database: target.database.to_string(),
        schema: field::digest::write(look.schema),
    };
    match control.accept_drift(request).await?.into_inner().result {
        Some(Answer::Accepted(_)) => target.accepted = true,
        Some(Answer::Failed(error)) => target.failed = Some(field::direct::read(error, "failed")?),
        None => return Err(InvalidWire::missing("result").into()),
    }
    Ok(())
}

/// What became of it.
fn tell(context: &Context, targets: &[DatabaseDrift]) -> Result<(), Failure> {
    let output = context.output;
    for target in targets {
        if target.accepted && !output.json {
            let text = format!("{}: the schema counts as known", target.database);
            output.lines(&[Line::of(Tone::Good, "✓ ").plain(text)])?;
        }
        if let Some(error) = &target.failed {
            let head = Line::new().strong(target.database.as_str()).plain(": nothing was written");
            let lines = render::error::lines(error, output.view().width);
            std::iter::once(&head).chain(&lines).for_each(|line| output.note(line));
        }
    }
    Ok(())
}
