//! `stopover saved`: what migrations and rollbacks have dropped, and Stopover has kept.

mod purge;
mod restore;

use stopover_model::id::{DatabaseName, EnvironmentName, SavedId};
use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::answer::{DatabaseSaved, FoundSaved};
use crate::args::SavedCommand;
use crate::client::Control;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::Line;

pub(crate) async fn run(context: &Context, command: SavedCommand) -> Result<Exit, Failure> {
    match command {
        SavedCommand::List { environment, database, purged } => {
            list(context, &environment, database.as_ref(), purged).await
        }
        SavedCommand::Show { id, environment } => show(context, &id, environment.as_ref()).await,
        SavedCommand::Restore(args) => restore::run(context, &args).await,
        SavedCommand::Purge(args) => purge::run(context, &args).await,
    }
}

async fn list(
    context: &Context,
    environment: &EnvironmentName,
    database: Option<&DatabaseName>,
    purged: bool,
) -> Result<Exit, Failure> {
    let request = v1::ListSavedRequest {
        environment: environment.to_string(),
        database: database.map(ToString::to_string).unwrap_or_default(),
        id: String::new(),
        purged,
    };
    let databases = ask(&mut context.control().await?, request).await?;
    let output = context.output;
    if output.json {
        output.json(&databases)?;
    } else {
        output.text(&render::saved::list(&databases, output.view()))?;
        say_what_failed(context, &databases);
    }
    let failed = databases.iter().any(|database| database.failed.is_some());
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

async fn show(
    context: &Context,
    id: &SavedId,
    environment: Option<&EnvironmentName>,
) -> Result<Exit, Failure> {
    let found = find(context, &mut context.control().await?, id, environment).await?;
    if context.output.json {
        context.output.json(&found)?;
    } else {
        context.output.lines(&render::saved::one(&found, context.output.view()))?;
    }
    Ok(Exit::Done)
}

async fn ask(control: &mut Control, request: v1::ListSavedRequest) -> Result<Vec<DatabaseSaved>, Failure> {
    let answer = control.list_saved(request).await?.into_inner();
    Ok(field::messages::read(answer.databases, "databases")?)
}

async fn find(
    context: &Context,
    control: &mut Control,
    id: &SavedId,
    environment: Option<&EnvironmentName>,
) -> Result<FoundSaved, Failure> {
    let request = v1::ListSavedRequest {
        environment: environment.map(ToString::to_string).unwrap_or_default(),
        database: String::new(),
        id: id.to_string(),
        purged: true,
    };
    let databases = ask(control, request).await?;
    say_what_failed(context, &databases);
    let unseen = databases.iter().any(|database| database.failed.is_some());
    let mut found = databases.into_iter().filter_map(|database| {
        let DatabaseSaved { environment, database, saved, .. } = database;
        saved.into_iter().next().map(|saved| FoundSaved { environment, database, saved })
    });
    let hint = if unseen {
        "not every database could be asked; `stopover environment list` shows whose agent is away"
    } else {
        "`stopover saved list ENVIRONMENT` shows what is kept there"
    };
    match (found.next(), found.next()) {
        (Some(found), None) => Ok(found),
        // A database that was copied into another environment took its saved values along.
        (Some(one), Some(other)) => {
            Err(Failure::usage(format!("{id} is kept in {} and in {}", one.environment, other.environment))
                .with_hint("say which one is meant with --environment"))
        }
        _ => Err(Failure::failed(format!("nothing is kept as {id}")).with_hint(hint)),
    }
}

fn say_what_failed(context: &Context, databases: &[DatabaseSaved]) {
    for database in databases {
        if let Some(error) = &database.failed {
            let name = format!("{}/{}", database.environment, database.database);
            context.output.note(&Line::new().strong(name).plain(": could not be asked"));
            let lines = render::error::lines(error, context.output.view().width);
            for line in &lines {
                context.output.note(line);
            }
        }
    }
}
