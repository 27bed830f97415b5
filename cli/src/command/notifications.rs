//! `stopover notifications`: what people were told, and trials of the ways to them.

use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::answer::{NotificationRow, Trial};
use crate::args::NotificationsCommand;
use crate::failure::{Exit, Failure};
use crate::render;

pub(crate) async fn run(context: &Context, command: NotificationsCommand) -> Result<Exit, Failure> {
    match command {
        NotificationsCommand::List { failed, limit } => list(context, failed, limit).await,
        NotificationsCommand::Test { pipeline } => {
            test(context, pipeline.map(|name| name.to_string()).unwrap_or_default()).await
        }
    }
}

async fn list(context: &Context, failed: bool, limit: u32) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let answer =
        control.list_notifications(v1::ListNotificationsRequest { failed, limit }).await?.into_inner();
    let rows: Vec<NotificationRow> = field::messages::read(answer.notifications, "notifications")?;
    if context.output.json {
        rows.iter().try_for_each(|row| context.output.json(row))?;
    } else {
        context.output.lines(&render::notification::list(&rows, failed, context.output.view()))?;
    }
    Ok(Exit::Done)
}

async fn test(context: &Context, pipeline: String) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let answer = control.test_notifications(v1::TestNotificationsRequest { pipeline }).await?.into_inner();
    let trials: Vec<Trial> = field::messages::read(answer.trials, "trials")?;
    if context.output.json {
        trials.iter().try_for_each(|trial| context.output.json(trial))?;
    } else {
        context.output.lines(&render::notification::trials(&trials, context.output.view()))?;
    }
    Ok(if trials.iter().all(|trial| trial.error.is_none()) { Exit::Done } else { Exit::Failed })
}
