//! Fills an empty database from a backup, and makes it ready to be used.

use std::ffi::OsStr;
use std::process::Stdio;

use stopover_model::report::{ErrorClass, Progress, ProgressUnit, StepError};

use super::super::BackupSettings;
use super::super::child::Program;
use super::super::connection::{Connection, KEEPALIVES};
use super::super::manifest::Manifest;
use super::super::programs::{self, Programs};
use super::content;
use super::place::{Beside, name_of};
use crate::postgres::{Purpose, SessionName, step_error};
use crate::step::StepContext;
use crate::vault::FileKey;

/// Restores all of it. The first error ends it.
pub(super) async fn fill(
    context: &StepContext,
    settings: &BackupSettings,
    manifest: &Manifest,
    key: Option<&FileKey>,
    into: &Beside,
) -> Result<(), StepError> {
    let version = u32::try_from(into.session.identity().version_num).unwrap_or(0);
    let programs = programs::find(&settings.programs, version).await?;
    let there = StepContext { database: into.database(), ..context.clone() };
    let owners = keeps_owners(into).await?;
    if !owners {
        let user = &into.session.identity().user;
        context.reporter.message(format!(
            "{user} is no superuser: what is restored belongs to it, whoever it belonged to"
        ));
    }
    let restored = restore(&there, settings, &programs, manifest, key, owners);
    tokio::select! {
        restored = restored => restored?,
        () = context.cancel.cancelled() => return Err(stopped()),
    }
    tokio::select! {
        analysed = analyse(&there) => analysed,
        () = context.cancel.cancelled() => Err(stopped()),
    }
}

async fn restore(
    there: &StepContext,
    settings: &BackupSettings,
    programs: &Programs,
    manifest: &Manifest,
    key: Option<&FileKey>,
    owners: bool,
) -> Result<(), StepError> {
    let name = SessionName::of(there).to_string();
    let connection = Connection::of(&there.database, &name, &settings.scratch).await?;
    let mut arguments = vec!["--no-password", KEEPALIVES];
    // Where the rows of some tables alone are in it, foreign keys to others can't come back.
    let whole = manifest.only_tables.is_empty();
    if whole {
        arguments.push("--exit-on-error");
    }
    if !owners {
        arguments.push("--no-owner");
    }
    let mut arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
    let (destination, doing) = (&settings.vault.destination, "restoring the data");
    let environment = &connection.environment;
    let pg_restore = if manifest.members.is_empty() {
        arguments.push(OsStr::new("--format=custom"));
        let pipes = (Stdio::piped(), Stdio::null());
        let mut pg_restore =
            Program::start("pg_restore", &programs.pg_restore, &arguments, environment, pipes)?;
        let input = pg_restore.child.stdin.take();
        content::pour(there, destination, manifest, key, input, doing).await?;
        say(there, "building indexes and constraints");
        pg_restore
    } else {
        let directory =
            content::whole(there, destination, manifest, settings.jobs, "reading the backup").await?;
        say(there, doing);
        let jobs = format!("--jobs={}", settings.jobs);
        arguments.extend(["--format=directory", &jobs].map(OsStr::new));
        arguments.push(directory.as_os_str());
        let pipes = (Stdio::null(), Stdio::null());
        Program::start("pg_restore", &programs.pg_restore, &arguments, environment, pipes)?
    };
    ended(there, manifest, whole, pg_restore).await
}

async fn ended(
    there: &StepContext,
    manifest: &Manifest,
    whole: bool,
    pg_restore: Program,
) -> Result<(), StepError> {
    let ended = pg_restore.wait().await?;
    if ended.status.success() {
        return Ok(());
    }
    if !whole && ended.words.contains("errors ignored on restore") {
        there.reporter.message(format!(
            "the rows of {} alone are in the backup, so that not everything came back: {}",
            manifest.only_tables.join(", "),
            ended.words
        ));
        return Ok(());
    }
    let reason = if ended.words.is_empty() { "it gave no reason".to_owned() } else { ended.words };
    let message = format!("pg_restore of {} failed ({}): {reason}", manifest.id(), ended.status);
    Err(StepError::new(ErrorClass::Setup, message).with_hint(
        "what it names has to be there or allowed before: a role that is gone, an extension that only a superuser may make",
    ))
}

/// `pg_restore` brings no statistics along, without which the first queries would be slow ones.
async fn analyse(there: &StepContext) -> Result<(), StepError> {
    say(there, "gathering statistics");
    let session = there.database.connect(&Purpose::writing(&name_of(there))).await?;
    let done = session.client().batch_execute("ANALYZE").await;
    let done = done.map_err(|error| session.error(error).into_step_error("gather statistics"));
    session.close().await;
    done
}

async fn keeps_owners(into: &Beside) -> Result<bool, StepError> {
    let sql = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
    let row = into.session.client().query_one(sql, &[]).await;
    Ok(row.map_err(|error| step_error("read what the agent's role may do", error))?.get(0))
}

fn say(context: &StepContext, doing: &str) {
    let unit = ProgressUnit::Bytes;
    context.reporter.progress(Progress { doing: doing.to_owned(), done: 0, total: 0, unit, backfill: None });
}

pub(super) fn stopped() -> StepError {
    StepError::new(ErrorClass::Cancelled, "it was stopped, and what was restored is dropped again")
}
