//! What `adopt` and `baseline` share: it is shown, a person agrees, and it is written database by database.

use serde::Serialize;
use stopover_model::history::AppliedMigration;
use stopover_model::id::EnvironmentName;
use stopover_model::layout::Directory;
use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::answer::{DatabaseAdoption, DatabaseHistories};
use crate::args::AppliedArgs;
use crate::client::Control;
use crate::directory;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::Line;
use crate::render::number::count;

#[derive(Serialize)]
struct Shown<'a> {
    environment: &'a EnvironmentName,
    databases: &'a [DatabaseAdoption],
}

/// The directory of one tool's migrations.
pub(super) fn read_directory(context: &Context, args: &AppliedArgs) -> Result<Directory, Failure> {
    let directory = directory::read_directory(&args.directory, args.layout)?;
    if !context.output.json {
        let found = count(directory.migrations.len() as u64, "migration");
        let notes = std::iter::once(format!("layout: {}, {found}", directory.layout));
        for note in notes.chain(directory.notes.iter().cloned()) {
            context.output.note(&Line::new().dim(note));
        }
    }
    Ok(directory)
}

/// What is in the environment's databases.
pub(super) async fn histories(
    control: &mut Control,
    args: &AppliedArgs,
    directory: &Directory,
) -> Result<Vec<DatabaseHistories>, Failure> {
    let request = v1::ReadHistoriesRequest {
        environment: args.environment.to_string(),
        database: args.database.as_ref().map(ToString::to_string).unwrap_or_default(),
        migrations: directory.migrations.iter().map(|migration| migration.id.to_string()).collect(),
    };
    let answer = control.read_histories(request).await?.into_inner();
    Ok(field::messages::read(answer.databases, "databases")?)
}

/// Shows it, asks, and writes it; nothing is written when something stands in the way anywhere.
pub(super) async fn carry_out(
    context: &Context,
    control: &mut Control,
    args: &AppliedArgs,
    mut targets: Vec<DatabaseAdoption>,
) -> Result<Exit, Failure> {
    let output = context.output;
    if !output.json {
        for target in &targets {
            output.lines(&render::adoption::lines(target, output.view()))?;
        }
    }
    let agreed = agree(context, args, &targets);
    if agreed.as_ref().is_ok_and(|agreed| *agreed) {
        write(control, args, &mut targets).await?;
    }
    if output.json {
        output.json(&Shown { environment: &args.environment, databases: &targets })?;
    }
    if !agreed? {
        return Ok(Exit::Done);
    }
    let mut exit = Exit::Done;
    for target in &targets {
        if let Some(line) = render::adoption::recorded(target).filter(|_| !output.json) {
            output.lines(&[line])?;
        }
        if let Some(error) = &target.failed {
            exit = Exit::Failed;
            let lines = render::error::lines(error, output.view().width);
            let head = Line::new().strong(target.database.as_str()).plain(": nothing was recorded");
            std::iter::once(&head).chain(&lines).for_each(|line| output.note(line));
        }
    }
    Ok(exit)
}

/// Whether it is to be written; false: there is nothing to write.
fn agree(context: &Context, args: &AppliedArgs, targets: &[DatabaseAdoption]) -> Result<bool, Failure> {
    let failed = targets.iter().filter(|target| target.failed.is_some()).count();
    let problems: usize = targets.iter().map(DatabaseAdoption::problems).sum();
    let only_others = "to leave a database out, name another with --database";
    if failed > 0 {
        let what = format!("nothing was written: {} could not be read", count(failed as u64, "database"));
        return Err(Failure::failed(what).with_hint(only_others));
    }
    if problems > 0 {
        let verb = if problems == 1 { "stands" } else { "stand" };
        let what = format!("nothing was written: {} {verb} in the way", count(problems as u64, "problem"));
        let failure = Failure::failed(what);
        return Err(if targets.len() > 1 { failure.with_hint(only_others) } else { failure });
    }
    let new: usize = targets.iter().map(DatabaseAdoption::new_marks).sum();
    if new == 0 {
        context.output.note(&Line::new().plain("there is nothing to write: the ledger has it all"));
        return Ok(false);
    }
    let databases: Vec<_> =
        targets.iter().filter(|t| t.new_marks() > 0).map(|t| t.database.to_string()).collect();
    let question = format!(
        "record {} as applied in {} of {}, without running them? [y/N] ",
        count(new as u64, "migration"),
        databases.join(", "),
        args.environment
    );
    context.agreed(args.yes, &question).map(|()| true)
}

async fn write(
    control: &mut Control,
    args: &AppliedArgs,
    targets: &mut [DatabaseAdoption],
) -> Result<(), Failure> {
    use v1::record_applied_response::Result as Answer;
    for target in targets.iter_mut().filter(|target| target.new_marks() > 0) {
        let marks = target.adoption.iter().flat_map(|adoption| &adoption.marks);
        let migrations =
            marks.map(|mark| AppliedMigration { migration: mark.migration.clone(), digest: mark.digest });
        let request = v1::RecordAppliedRequest {
            environment: args.environment.to_string(),
            database: target.database.to_string(),
            migrations: field::messages::write(migrations.collect()),
            adopted_from: target.history.as_ref().map(|history| history.table.clone()).unwrap_or_default(),
        };
        match control.record_applied(request).await?.into_inner().result {
            Some(Answer::Recorded(recorded)) => {
                target.recorded = Some(field::direct::read(recorded, "recorded")?);
            }
            Some(Answer::Failed(error)) => target.failed = Some(field::direct::read(error, "failed")?),
            None => return Err(stopover_proto::convert::InvalidWire::missing("result").into()),
        }
    }
    Ok(())
}
