//! A proven backup restored once more, for a rehearsal whose copy is gone: the agent was started again, say.

use stopover_model::event::StepKey;
use stopover_model::id::Attempt;
use stopover_model::pipeline::BackupLevel;
use stopover_model::report::{ErrorClass, Progress, ProgressUnit, StepError};

use super::archive::Written;
use super::facts::Facts;
use super::names::Names;
use super::restore::Restore;
use super::{BackupSettings, disk_error, manifest, parallel, programs};
use crate::scratch::Scratch;
use crate::step::StepContext;

/// Restores what an attempt of a backup step has made into a new scratch database.
pub async fn restore_again(
    context: &StepContext,
    settings: &BackupSettings,
    (step, attempt): (&StepKey, Attempt),
    system_identifier: &str,
) -> Result<Scratch, StepError> {
    let directory = &settings.directory;
    let names = Names::new(&context.environment, &context.step.database, &context.deployment);
    let found = match manifest::find(directory, &names, step, attempt, BackupLevel::Restored).await {
        // It went elsewhere as it was made.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        found => found.map(|found| found.filter(|manifest| manifest.recipients.is_empty())),
    };
    let Some(manifest) = found.map_err(|error| disk_error("look for the backup", settings, &error))? else {
        let message = "the restored copy is gone, and its backup can't be read from here: it is encrypted, or lies elsewhere";
        let hint =
            format!("`stopover resume {}` makes another backup, with another copy", context.deployment);
        return Err(StepError::new(ErrorClass::Setup, message).with_hint(hint));
    };
    let facts = Facts::of(context, system_identifier).await?;
    let programs = programs::find(&settings.programs, facts.server_version_num).await?;
    let doing = "restoring the backup once more".to_owned();
    let total = manifest.database_bytes;
    context.reporter.progress(Progress { doing, done: 0, total, unit: ProgressUnit::Bytes, backfill: None });
    let scratch = Scratch::create(context).await?;
    let path = directory.join(&manifest.file);
    let partial = !manifest.only_tables.is_empty();
    let restoring = async {
        if !manifest.members.is_empty() {
            let members = Some(manifest.members.as_slice());
            let restore =
                parallel::Restore { programs: &programs, settings, directory: &path, members, partial };
            return restore.run(context, &scratch).await.map(|_| ());
        }
        let written =
            Written { bytes: manifest.bytes, sha256: manifest.sha256, dump_bytes: manifest.dump_bytes };
        let scratch_directory = &settings.scratch;
        let restore = &Restore { programs: &programs, scratch_directory, path: &path, written, partial };
        restore.into(context, &scratch).await
    };
    let restored = tokio::select! {
        restored = restoring => restored,
        () = context.cancel.cancelled() => {
            Err(StepError::new(ErrorClass::Cancelled, "the rehearsal was cancelled"))
        }
    };
    match restored {
        Ok(()) => Ok(scratch),
        Err(error) => {
            scratch.remove().await;
            Err(error)
        }
    }
}
