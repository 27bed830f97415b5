//! `stopover saved purge`: what is kept is dropped for good.

use std::collections::BTreeMap;
use std::time::Duration;

use stopover_model::duration::human;
use stopover_model::id::{DatabaseName, EnvironmentName};
use stopover_model::report::StepError;
use stopover_proto::convert::field;
use stopover_proto::v1;

use super::{Context, ask, find, say_what_failed};
use crate::answer::FoundSaved;
use crate::args::PurgeSavedArgs;
use crate::client::Control;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::{Line, Tone};
use crate::render::number::{between, count};

pub(super) async fn run(context: &Context, args: &PurgeSavedArgs) -> Result<Exit, Failure> {
    let output = context.output;
    let mut control = context.control().await?;
    let found = meant(context, &mut control, args).await?;
    let Some(environment) = found.first().map(|found| found.environment.clone()) else {
        output.note(&Line::new().plain("there is nothing to purge"));
        return Ok(Exit::Done);
    };
    if let Some(other) = found.iter().find(|found| found.environment != environment) {
        let message = format!("they are kept in {environment} and in {}", other.environment);
        return Err(Failure::usage(message).with_hint("purge one environment at a time"));
    }
    if !output.json {
        output.lines(&render::saved::to_purge(&found, output.view()))?;
    }
    let question = format!("nothing brings it back but a backup; type {environment} to purge it: ");
    context.typed(args.yes, &question, environment.as_str())?;
    let mut by_database: BTreeMap<DatabaseName, Vec<String>> = BTreeMap::new();
    for found in &found {
        by_database.entry(found.database.clone()).or_default().push(found.saved.id.to_string());
    }
    let mut failed = false;
    for (database, ids) in by_database {
        match purge(&mut control, &environment, &database, ids.clone()).await? {
            None => {
                let text = format!("purged {} of {database}", ids.join(", "));
                output.note(&Line::of(Tone::Good, "✓ ").plain(text));
            }
            Some(error) => {
                failed = true;
                output.note(&Line::new().strong(database.as_str()).plain(": nothing was purged"));
                for line in &render::error::lines(&error, output.view().width) {
                    output.note(line);
                }
            }
        }
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

async fn meant(
    context: &Context,
    control: &mut Control,
    args: &PurgeSavedArgs,
) -> Result<Vec<FoundSaved>, Failure> {
    if let (Some(age), Some(environment)) = (args.older_than, &args.environment) {
        return older(context, control, environment, age).await;
    }
    let mut found = Vec::with_capacity(args.ids.len());
    for id in &args.ids {
        found.push(find(context, control, id, args.environment.as_ref()).await?);
    }
    Ok(found)
}

async fn older(
    context: &Context,
    control: &mut Control,
    environment: &EnvironmentName,
    age: Duration,
) -> Result<Vec<FoundSaved>, Failure> {
    let request = v1::ListSavedRequest { environment: environment.to_string(), ..Default::default() };
    let databases = ask(control, request).await?;
    say_what_failed(context, &databases);
    let now = context.output.view().now;
    let each = databases.into_iter().flat_map(|database| {
        let (environment, name) = (database.environment, database.database);
        database.saved.into_iter().map(move |saved| FoundSaved {
            environment: environment.clone(),
            database: name.clone(),
            saved,
        })
    });
    let found: Vec<FoundSaved> = each.filter(|found| between(found.saved.at, now) >= age).collect();
    if found.is_empty() {
        let text = format!("nothing in {environment} was saved more than {} ago", human(age));
        context.output.note(&Line::new().plain(text));
    } else {
        context.output.note(&Line::new().dim(count(found.len() as u64, "object")));
    }
    Ok(found)
}

async fn purge(
    control: &mut Control,
    environment: &EnvironmentName,
    database: &DatabaseName,
    ids: Vec<String>,
) -> Result<Option<StepError>, Failure> {
    let request = v1::PurgeEnvironmentSavedRequest {
        environment: environment.to_string(),
        database: database.to_string(),
        ids,
    };
    let answer = control.purge_saved(request).await?.into_inner();
    Ok(answer.failed.map(|error| field::direct::read(error, "failed")).transpose()?)
}
