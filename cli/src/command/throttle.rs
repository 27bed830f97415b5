//! `stopover throttle`: how fast a deployment's backfills go.

use stopover_model::backfill::Throttle;
use stopover_proto::convert::field::{optional_duration, or_default};
use stopover_proto::v1;

use super::Context;
use crate::args::ThrottleArgs;
use crate::failure::{Exit, Failure};
use crate::render::event::throttle_words;
use crate::render::line::Line;

pub(crate) async fn run(context: &Context, args: &ThrottleArgs) -> Result<Exit, Failure> {
    let says_something = args.reset
        || args.pause
        || args.resume
        || args.batch_time.is_some()
        || args.max_rate.is_some()
        || args.pause_between.is_some();
    if !says_something {
        return Err(Failure::usage(
            "nothing would change: give --batch-time, --max-rate, --pause-between, --pause, --resume or --reset",
        ));
    }
    let id = &args.id.id;
    let request = v1::ThrottleDeploymentRequest {
        deployment: id.clone(),
        reset: args.reset,
        batch_time: optional_duration::write(args.batch_time),
        max_rate: args.max_rate,
        pause_between: optional_duration::write(args.pause_between),
        paused: (args.pause || args.resume).then_some(args.pause),
    };
    let mut control = context.control().await?;
    let answer = control.throttle_deployment(request).await?.into_inner();
    let throttle: Throttle = or_default::read(answer.throttle, "throttle")?;
    context.output.note(&Line::new().plain(format!("{id}: backfills {}", throttle_words(&throttle))));
    Ok(Exit::Done)
}
