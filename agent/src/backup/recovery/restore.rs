//! Brings a backup back: into a new database, over the live one, or into one that is dropped again.

use std::time::Instant;

use stopover_model::backup::{RestoreTarget, RestoredBackup};
use stopover_model::pipeline::BackupLevel;
use stopover_model::report::{ErrorClass, Outcome, StepError, StepReport};

use super::super::manifest::Manifest;
use super::super::shelf::Shelf;
use super::super::{self as backup, BackupRequest, BackupSettings};
use super::place::{self, Beside};
use super::{Wanted, content, copy, swap};
use crate::step::StepContext;

/// Restores a backup. What is half done is dropped again, whatever goes wrong.
pub async fn restore(
    context: &StepContext,
    settings: &BackupSettings,
    wanted: &Wanted,
    target: &RestoreTarget,
) -> Result<RestoredBackup, StepError> {
    let begun = Instant::now();
    let destination = &settings.vault.destination;
    let shelf = Shelf::of(destination, &context.environment, &context.step.database).await?;
    let manifest = shelf.take(&wanted.backup, destination)?;
    if !manifest.recipients.is_empty() && wanted.key.is_none() {
        return Err(content::sealed(&manifest));
    }
    refuse(&manifest, target)?;
    check(context, target).await?;
    let fresh_backup = match target {
        RestoreTarget::NewDatabase { .. } => None,
        RestoreTarget::Live { .. } => Some(Box::pin(fresh(context, settings)).await?),
    };
    let place = Beside::create(context, &wanted.backup).await?;
    match fill_and_name(context, settings, wanted, &manifest, target, &place).await {
        Ok((database_name, kept_as)) => {
            place.session.close().await;
            Ok(RestoredBackup { database_name, kept_as, fresh_backup, took: begun.elapsed() })
        }
        Err(error) => Err(place.dropped(context, error).await),
    }
}

/// What can't come back in this way.
fn refuse(manifest: &Manifest, target: &RestoreTarget) -> Result<(), StepError> {
    let setup = |message: String| StepError::new(ErrorClass::Setup, message);
    if manifest.command_output.is_some() {
        let message =
            format!("the backup {} was made by the site's own command, not by pg_dump", manifest.id());
        return Err(setup(message).with_hint("bring it back by the means of what made it"));
    }
    if matches!(target, RestoreTarget::Live { .. }) && !manifest.only_tables.is_empty() {
        let message = format!(
            "the backup {} has the rows of {} alone: in the place of the database, all others would be gone",
            manifest.id(),
            manifest.only_tables.join(", ")
        );
        return Err(
            setup(message).with_hint("restore it into a new database, and copy what is needed from there")
        );
    }
    Ok(())
}

/// What would stop it later stops it now.
async fn check(context: &StepContext, target: &RestoreTarget) -> Result<(), StepError> {
    let session = place::maintenance(context).await?;
    let checked = match target {
        RestoreTarget::Live { disconnect_others: false } => swap::nobody_else(context, &session).await,
        RestoreTarget::Live { disconnect_others: true } => Ok(()),
        RestoreTarget::NewDatabase { .. } => place::check_name(&session, target).await,
    };
    session.close().await;
    checked
}

/// A backup of the live database as it is now; where it lies.
async fn fresh(context: &StepContext, settings: &BackupSettings) -> Result<String, StepError> {
    context.reporter.message("backing up the database as it is now");
    match Box::pin(backup::run(context, settings, &BackupRequest::at(BackupLevel::Recorded))).await {
        Outcome::Succeeded { report: StepReport::BackedUp(report) } => Ok(report.path),
        other => Err(other.error().cloned().unwrap_or_else(copy::stopped)),
    }
}

async fn fill_and_name(
    context: &StepContext,
    settings: &BackupSettings,
    wanted: &Wanted,
    manifest: &Manifest,
    target: &RestoreTarget,
    place: &Beside,
) -> Result<(String, Option<String>), StepError> {
    copy::fill(context, settings, manifest, wanted.key.as_ref(), place).await?;
    place.carry_over(context).await?;
    if context.cancel.is_cancelled() {
        return Err(copy::stopped());
    }
    match target {
        RestoreTarget::NewDatabase { name } => {
            place.called(name).await?;
            Ok((name.clone(), None))
        }
        RestoreTarget::Live { disconnect_others } => {
            let kept = swap::swap(context, place, *disconnect_others).await?;
            Ok((context.database.database().to_owned(), Some(kept)))
        }
    }
}
