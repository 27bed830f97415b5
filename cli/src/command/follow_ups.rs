//! `stopover follow-ups ID`: what was looked at after a deployment, and what is to come.

use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::answer::{FollowUpAnswer, FollowUpWord};
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::Line;

pub(crate) async fn run(context: &Context, id: &str) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let request = v1::ListFollowUpsRequest { deployment: id.to_owned() };
    let answer = control.list_follow_ups(request).await?.into_inner();
    let mut follow_ups: Vec<FollowUpAnswer> = field::messages::read(answer.follow_ups, "follow_ups")?;
    follow_ups.sort_by_key(FollowUpAnswer::first_due);
    show(context, &follow_ups)?;
    if follow_ups.is_empty() && !context.output.json {
        let text = "nothing is looked at after this deployment: no stage of it has succeeded yet, or its migrations have no \
                    [[follow_up]]";
        context.output.note(&Line::new().plain(text));
    }
    let failed = follow_ups.iter().any(|f| f.state == FollowUpWord::Failed);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

/// One JSON object a line, or for people.
pub(super) fn show(context: &Context, follow_ups: &[FollowUpAnswer]) -> Result<(), Failure> {
    let output = context.output;
    for follow_up in follow_ups {
        if output.json {
            output.json(follow_up)?;
            continue;
        }
        output.lines(&render::follow_up::lines(follow_up, output.view()))?;
    }
    Ok(())
}
