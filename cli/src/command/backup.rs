//! `stopover backup`: which backups there are, whether one is what it was, and to have it back.

mod follow;
mod identity;

use serde::Serialize;
use stopover_model::backup::{BackupUpdate, RestoreTarget, StoredBackup};
use stopover_model::id::{DatabaseName, EnvironmentName};
use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::answer::DatabaseBackups;
use crate::args::{BackupCommand, RestoreArgs, VerifyArgs};
use crate::client::Control;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::{Line, Tone};
use follow::Ended;

#[derive(Serialize)]
struct Approved<'a> {
    backup: &'a str,
    have: u32,
    need: u32,
}

#[derive(Serialize)]
struct Shown<'a> {
    databases: &'a [DatabaseBackups],
}

pub(crate) async fn run(context: &Context, command: BackupCommand) -> Result<Exit, Failure> {
    match command {
        BackupCommand::List { environment, database } => list(context, environment, database).await,
        BackupCommand::Show { id } => show(context, &id).await,
        BackupCommand::Verify(args) => verify(context, &args).await,
        BackupCommand::Approve { id } => approve(context, &id).await,
        BackupCommand::Restore(args) => restore(context, &args).await,
    }
}

async fn list(
    context: &Context,
    environment: Option<EnvironmentName>,
    database: Option<DatabaseName>,
) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let databases = shelves(&mut control, environment, database).await?;
    let output = context.output;
    if output.json {
        output.json(&Shown { databases: &databases })?;
    } else {
        output.text(&render::backup::list(&databases, output.view()))?;
        for line in render::backup::problems(&databases, output.view()) {
            output.note(&line);
        }
    }
    Ok(if databases.iter().any(|database| database.failed.is_some()) { Exit::Failed } else { Exit::Done })
}

async fn show(context: &Context, id: &str) -> Result<Exit, Failure> {
    let backup = find(&mut context.control().await?, id).await?;
    let output = context.output;
    shown(context, &backup, &render::backup::whole(&backup, output.view()))?;
    Ok(Exit::Done)
}

async fn verify(context: &Context, args: &VerifyArgs) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let backup = find(&mut control, &args.id).await?;
    if args.restore && args.identity.is_none() && !backup.recipients.is_empty() {
        return Err(sealed(&backup));
    }
    let request = v1::VerifyStoredBackupRequest {
        environment: backup.environment.to_string(),
        database: backup.database.to_string(),
        backup: backup.id.to_string(),
        file_key: identity::key(&backup, args.identity.as_deref())?,
        restore: args.restore,
    };
    let updates = control.verify_backup(request).await?.into_inner();
    match follow::to_the_end(context.output, updates).await? {
        Ended::With(BackupUpdate::Proven(proof)) => {
            shown(context, &proof, &[render::backup::proven(&backup, &proof)])?;
            Ok(Exit::Done)
        }
        Ended::With(BackupUpdate::Failed(error)) => Err(follow::failed(context.output, &error)?),
        Ended::With(_) => Err(Failure::failed("the server's answer makes no sense")),
        Ended::Interrupted => {
            context.output.note(&Line::new().plain("stopped; nothing was changed"));
            Ok(Exit::Detached)
        }
    }
}

async fn approve(context: &Context, id: &str) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let backup = find(&mut control, id).await?;
    let request = v1::ApproveRestoreRequest {
        environment: backup.environment.to_string(),
        database: backup.database.to_string(),
        backup: backup.id.to_string(),
    };
    let v1::ApproveRestoreResponse { have, need } = control.approve_restore(request).await?.into_inner();
    let words = format!(
        "{}/{} may be replaced with {} within an hour, by somebody else, once {have} of {need} approvals do: stopover \
         backup restore {} --over-live",
        backup.environment, backup.database, backup.id, backup.id
    );
    let approved = Approved { backup: backup.id.as_str(), have, need };
    shown(context, &approved, &[Line::new().plain(words)])?;
    Ok(Exit::Done)
}

async fn restore(context: &Context, args: &RestoreArgs) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let backup = find(&mut control, &args.id).await?;
    let target = match &args.as_name {
        Some(name) => RestoreTarget::NewDatabase { name: name.clone() },
        None => RestoreTarget::Live { disconnect_others: args.disconnect_others },
    };
    if args.over_live {
        agree(context, args, &backup)?;
    }
    let request = v1::RestoreStoredBackupRequest {
        environment: backup.environment.to_string(),
        database: backup.database.to_string(),
        backup: backup.id.to_string(),
        file_key: identity::key(&backup, args.identity.as_deref())?,
        target: field::message::write(target),
    };
    let updates = control.restore_backup(request).await?.into_inner();
    match follow::to_the_end(context.output, updates).await? {
        Ended::With(BackupUpdate::Restored(restored)) => {
            let lines = render::backup::restored(&backup, &restored, context.output.view());
            shown(context, &restored, &lines)?;
            Ok(Exit::Done)
        }
        Ended::With(BackupUpdate::Failed(error)) => Err(follow::failed(context.output, &error)?),
        Ended::With(_) => Err(Failure::failed("the server's answer makes no sense")),
        Ended::Interrupted => {
            let words = if args.over_live {
                "stopping: the agent drops what it has restored, and the live database stays as it is. Only when the two \
                 were being exchanged at this very moment has it been replaced: `\\l` in psql shows"
            } else {
                "stopping: the agent drops what it has restored"
            };
            context.output.note(&Line::of(Tone::Warn, words));
            Ok(Exit::Detached)
        }
    }
}

fn agree(context: &Context, args: &RestoreArgs, backup: &StoredBackup) -> Result<(), Failure> {
    let name = backup.database_name.as_str();
    if !context.output.json {
        context.output.lines(&render::backup::over_live(
            backup,
            args.disconnect_others,
            context.output.view(),
        ))?;
    }
    context.typed(args.yes, &format!("type the database's name, {name}, to go on: "), name)
}

/// For a program, or for people.
fn shown(context: &Context, value: &impl Serialize, lines: &[Line]) -> Result<(), Failure> {
    if context.output.json { context.output.json(value) } else { context.output.lines(lines) }
}

/// The one backup whose id begins so.
async fn find(control: &mut Control, id: &str) -> Result<StoredBackup, Failure> {
    let databases = shelves(control, None, None).await?;
    let prefix = id.to_ascii_lowercase();
    let failed: Vec<String> = databases
        .iter()
        .filter(|place| place.failed.is_some())
        .map(|place| format!("{}/{}", place.environment, place.database))
        .collect();
    let all = databases.into_iter().filter_map(|place| place.found).flat_map(|shelf| shelf.backups);
    let mut fitting = all.filter(|backup| !prefix.is_empty() && backup.id.as_str().starts_with(&prefix));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("several backups begin with `{id}`; write more of the id")))
        }
        (None, _) if failed.is_empty() => Err(Failure::usage(format!("there is no backup `{id}`"))
            .with_hint("`stopover backup list` shows them; old ones go as agent.toml says")),
        (None, _) => {
            Err(Failure::failed(format!("no backup `{id}` was found, and not everywhere could be looked"))
                .with_hint(format!("see why {} could not be asked: stopover backup list", failed.join(", "))))
        }
    }
}

async fn shelves(
    control: &mut Control,
    environment: Option<EnvironmentName>,
    database: Option<DatabaseName>,
) -> Result<Vec<DatabaseBackups>, Failure> {
    let request = v1::ListEnvironmentBackupsRequest {
        environment: field::optional_name::write(environment),
        database: field::optional_name::write(database),
    };
    let answer = control.list_backups(request).await?.into_inner();
    Ok(field::messages::read(answer.databases, "databases")?)
}

fn sealed(backup: &StoredBackup) -> Failure {
    Failure::usage(format!("the backup {} is encrypted to {}", backup.id, backup.recipients.join(", ")))
        .with_hint("name the file with its identity: --identity FILE")
}
