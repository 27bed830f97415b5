//! `stopover acknowledge ID NAME --reason WHY`: a person knows that a follow-up failed, and lets the migration go on.

use stopover_proto::convert::field;
use stopover_proto::v1;

use super::{Context, follow_ups};
use crate::answer::FollowUpAnswer;
use crate::args::AcknowledgeArgs;
use crate::failure::{Exit, Failure};

pub(crate) async fn run(context: &Context, args: &AcknowledgeArgs) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let request = v1::AcknowledgeFollowUpRequest {
        deployment: args.id.id.clone(),
        name: args.name.clone(),
        migration: args.migration.as_ref().map(ToString::to_string).unwrap_or_default(),
        reason: args.reason.clone(),
    };
    let answer = control.acknowledge_follow_up(request).await?.into_inner();
    let acknowledged: Vec<FollowUpAnswer> = field::messages::read(answer.follow_ups, "follow_ups")?;
    follow_ups::show(context, &acknowledged)?;
    Ok(Exit::Done)
}
