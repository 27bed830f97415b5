//! `stopover tick`: items of a stage's checklist that are done.

use serde::Serialize;
use stopover_proto::v1;

use super::Context;
use crate::args::TickArgs;
use crate::failure::{Exit, Failure};
use crate::render::line::Line;

#[derive(Serialize)]
struct Ticked<'a> {
    environment: &'a str,
    item: &'a str,
    left: &'a [String],
}

pub(crate) async fn run(context: &Context, args: &TickArgs) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let output = context.output;
    for item in &args.items {
        let request = v1::TickItemRequest {
            deployment: args.id.id.clone(),
            environment: args.stage.as_ref().map(ToString::to_string).unwrap_or_default(),
            item: item.clone(),
        };
        let v1::TickItemResponse { environment, item, left } = control.tick_item(request).await?.into_inner();
        if output.json {
            output.json(&Ticked { environment: &environment, item: &item, left: &left })?;
            continue;
        }
        let left = match left.len() {
            0 => "the checklist is done".to_owned(),
            _ => format!("left: {}", left.join(", ")),
        };
        output.note(&Line::new().plain(format!("{}: `{item}` is done in {environment}; {left}", args.id.id)));
    }
    Ok(Exit::Done)
}
