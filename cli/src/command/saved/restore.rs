//! `stopover saved restore`: turn by turn, until there is no more.

use stopover_model::report::StepError;
use stopover_model::saved::RestoredValues;
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

use super::{Context, find};
use crate::answer::FoundSaved;
use crate::args::RestoreSavedArgs;
use crate::client::Control;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::Line;
use crate::render::number::count;

pub(super) async fn run(context: &Context, args: &RestoreSavedArgs) -> Result<Exit, Failure> {
    let output = context.output;
    let mut control = context.control().await?;
    let found = find(context, &mut control, &args.id, args.environment.as_ref()).await?;
    if args.overwrite {
        let question = format!(
            "what was written into {} since is replaced; type {} to go on: ",
            args.into.as_deref().unwrap_or(&found.saved.table),
            found.environment
        );
        context.typed(args.yes, &question, found.environment.as_str())?;
    }
    let mut total = RestoredValues::default();
    let mut goes_on = false;
    loop {
        let turn = match turn(&mut control, args, &found, goes_on).await? {
            Ok(turn) => turn,
            Err(error) => {
                let lines = render::error::lines(&error, output.view().width);
                for line in &lines {
                    output.note(line);
                }
                return Ok(Exit::Failed);
            }
        };
        total.restored += turn.restored;
        total.kept += turn.kept;
        total.missing += turn.missing;
        total.notes.extend(turn.notes);
        total.made = total.made.or(turn.made);
        if !turn.more {
            break;
        }
        goes_on = true;
        output.note(&Line::new().dim(format!("{} so far", count(total.restored, "row"))));
    }
    if output.json {
        output.json(&total)?;
    } else {
        output.lines(&render::saved::restored(&found.saved, &total, output.view()))?;
    }
    Ok(Exit::Done)
}

async fn turn(
    control: &mut Control,
    args: &RestoreSavedArgs,
    found: &FoundSaved,
    goes_on: bool,
) -> Result<Result<RestoredValues, StepError>, Failure> {
    use v1::restore_environment_saved_response::Result as Answer;
    let request = v1::RestoreEnvironmentSavedRequest {
        environment: found.environment.to_string(),
        database: found.database.to_string(),
        id: args.id.to_string(),
        into: args.into.clone().unwrap_or_default(),
        overwrite: args.overwrite,
        goes_on,
    };
    match control.restore_saved(request).await?.into_inner().result {
        Some(Answer::Restored(restored)) => Ok(Ok(field::direct::read(restored, "restored")?)),
        Some(Answer::Failed(error)) => Ok(Err(field::direct::read(error, "failed")?)),
        None => Err(InvalidWire::missing("result").into()),
    }
}
