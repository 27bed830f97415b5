//! `stopover environment`: where migrations go.

use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::answer::EnvironmentRow;
use crate::args::EnvironmentCommand;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::Line;

pub(crate) async fn run(context: &Context, command: EnvironmentCommand) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    match command {
        EnvironmentCommand::Create { name } => {
            control.create_environment(v1::CreateEnvironmentRequest { name: name.to_string() }).await?;
            let line = format!("{name} is there; let an agent join it with: stopover agent token {name}");
            context.output.note(&Line::new().plain(line));
        }
        EnvironmentCommand::List => {
            let answer = control.list_environments(v1::ListEnvironmentsRequest {}).await?.into_inner();
            let rows: Vec<EnvironmentRow> = field::messages::read(answer.environments, "environments")?;
            if context.output.json {
                rows.iter().try_for_each(|row| context.output.json(row))?;
            } else {
                context.output.text(&render::list::environments(&rows, context.output.view()))?;
            }
        }
    }
    Ok(Exit::Done)
}
