//! Restores a backup into a scratch database, as it was done when it was made, and compares the rows with what the tables
//! held then.

use stopover_model::report::{ErrorClass, Progress, ProgressUnit, StepError};

use super::super::manifest::Manifest;
use super::super::restore::Restoring;
use super::super::{BackupSettings, compare, parallel, programs, toc};
use super::content;
use crate::postgres::{Purpose, SessionName};
use crate::scratch::Scratch;
use crate::step::StepContext;
use crate::vault::FileKey;

/// Sessions that read the copy.
const READERS: usize = 2;

/// Whatever comes of it, the scratch is dropped.
pub(super) async fn run(
    context: &StepContext,
    settings: &BackupSettings,
    manifest: &Manifest,
    key: Option<&FileKey>,
) -> Result<(), StepError> {
    if manifest.command_output.is_some() {
        let message = format!("the backup {} was made by the site's own command", manifest.id());
        return Err(
            StepError::new(ErrorClass::Setup, message).with_hint("try it out by the means of what made it")
        );
    }
    if !manifest.recipients.is_empty() && key.is_none() {
        return Err(content::sealed(manifest));
    }
    let scratch = Scratch::create(context).await?;
    let tried = tokio::select! {
        tried = into(context, settings, manifest, key, &scratch) => tried,
        () = context.cancel.cancelled() => {
            Err(StepError::new(ErrorClass::Cancelled, "it was stopped, and what was restored is dropped again"))
        }
    };
    scratch.remove().await;
    tried
}

async fn into(
    context: &StepContext,
    settings: &BackupSettings,
    manifest: &Manifest,
    key: Option<&FileKey>,
    scratch: &Scratch,
) -> Result<(), StepError> {
    let programs = programs::find(&settings.programs, server_version(context).await?).await?;
    let destination = &settings.vault.destination;
    let (tools, partial) = ((&programs, settings.scratch.as_path()), !manifest.only_tables.is_empty());
    let doing = "restoring the backup into a scratch database";
    if manifest.members.is_empty() {
        let list = content::listed(&programs, destination, manifest, key).await?;
        let mut restoring = Restoring::start(context, tools, &list, scratch, partial).await?;
        let input = restoring.program.child.stdin.take();
        let poured = content::pour(context, destination, manifest, key, input, doing).await;
        // What it says of a backup that is not what it was is of no interest.
        poured?;
        restoring.finish().await?;
    } else {
        let directory =
            content::whole(context, destination, manifest, settings.jobs, "reading the backup").await?;
        parallel::say(context, doing, manifest.bytes);
        let list = toc::of_directory(&programs, &directory).await?;
        let from = Some((directory.as_path(), settings.jobs));
        Restoring::from(context, tools, (&list, partial), scratch, from).await?.finish().await?;
    }
    context.reporter.progress(Progress {
        doing: "comparing what is restored".to_owned(),
        done: 0,
        total: 0,
        unit: ProgressUnit::Bytes,
        backfill: None,
    });
    let contents = manifest.contents.as_ref();
    let readers = READERS.max(usize::try_from(settings.jobs).unwrap_or(1));
    let (tables, rows) = compare::compare_later(context, scratch.database(), contents, readers).await?;
    context.reporter.message(match contents {
        Some(_) => format!("restored, and equal to what was backed up: {rows} rows of {tables} tables"),
        None => format!(
            "restored: {rows} rows of {tables} tables; nobody has counted them when it was made, which `restored` does"
        ),
    });
    Ok(())
}

async fn server_version(context: &StepContext) -> Result<u32, StepError> {
    let session = context.database.connect(&Purpose::reading(&SessionName::of(context))).await?;
    let version = session.identity().version_num;
    session.close().await;
    Ok(u32::try_from(version).unwrap_or(0))
}
