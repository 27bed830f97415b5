//! Backup: `pg_dump`'s custom format through zstd into a file, proven as far as the pipeline asks, with a manifest.
//!
//! ```text
//! pg_dump -> zstd -> NAME.dump.zst.partial -> fsync -> (pg_restore reads all of it) -> NAME.json -> NAME.dump.zst
//! ```
//!
//! With several jobs it is `pg_dump`'s directory format instead, one file a table, see [`parallel`].
//!
//! A file gets its final name only when it is whole and proven. Nothing is ever overwritten, nothing goes through a shell,
//! and the password is in no argument and no variable.

mod again;
mod archive;
mod child;
mod compare;
mod connection;
mod contents;
mod decode;
mod dump;
mod facts;
mod files;
mod manifest;
mod members;
mod names;
mod own_command;
mod parallel;
mod programs;
mod progress;
mod proof;
mod publish;
mod ready;
pub mod recovery;
mod restore;
mod restore_command;
mod restore_point;
mod retention;
mod scope;
mod secret_file;
mod shelf;
mod snapshot;
mod space;
mod stream;
mod streamed;
#[cfg(test)]
mod tests;
mod toc;
#[cfg(test)]
mod vault_tests;
mod work;

use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use stopover_model::id::DeploymentId;
use stopover_model::pipeline::{BackupLevel, BackupSettings as Wanted};
use stopover_model::plan::Touched;
use stopover_model::report::{BackupReport, ErrorClass, Outcome, StepError, StepReport};

use crate::step::StepContext;
use crate::vault::{Destination, Vault};
use facts::Facts;
use names::Names;
use work::Work;

pub use again::restore_again;
pub use programs::ProgramPaths;
pub(crate) use ready::hindrances;
pub(crate) use space::free;

/// Where and with what backups are made.
#[derive(Debug, Clone)]
pub struct BackupSettings {
    /// Where files of a backup are written on this machine.
    pub directory: PathBuf,
    /// Where backups go, who can read them, and how long they stay.
    pub vault: Vault,
    /// So many tables are dumped and restored at a time; with more than one a backup is a directory.
    pub jobs: u32,
    /// The site's own program, which makes backups in `pg_dump`'s place.
    pub command: Option<Vec<String>>,
    /// A private directory for files that live no longer than a step.
    pub scratch: PathBuf,
    pub programs: ProgramPaths,
}

/// What a backup is asked to be.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    pub wanted: Wanted,
    /// Whose rows are needed, where not all tables' are wanted.
    pub touched: Touched,
    /// What the inspection found; empty: not checked.
    pub system_identifier: String,
    /// Deployments whose backups may still be needed; None: nobody knows, and nothing is removed.
    pub needed: Option<BTreeSet<DeploymentId>>,
    /// A restored copy is left for the rehearsal that follows.
    pub keep_restored: bool,
}

impl BackupRequest {
    /// The whole database, of whatever cluster answers.
    #[must_use]
    pub fn at(level: BackupLevel) -> Self {
        Self {
            wanted: Wanted::of(level),
            touched: Touched::Known(Vec::new()),
            system_identifier: String::new(),
            keep_restored: false,
            needed: None,
        }
    }
}

/// Makes the backup, or answers with the one that an earlier run of this attempt made.
pub async fn run(context: &StepContext, settings: &BackupSettings, request: &BackupRequest) -> Outcome {
    match Box::pin(backup(context, settings, request)).await {
        Ok(report) => {
            retention::apply(context, &settings.vault, request.needed.as_ref()).await;
            Outcome::Succeeded { report: StepReport::BackedUp(report) }
        }
        Err(error) => Outcome::Failed { error, report: None },
    }
}

async fn backup(
    context: &StepContext,
    settings: &BackupSettings,
    request: &BackupRequest,
) -> Result<BackupReport, StepError> {
    let directory = &settings.directory;
    if settings.command.is_some() || matches!(settings.vault.destination, Destination::Directory(_)) {
        prepare(settings)?;
    }
    if settings.command.is_none() && settings.vault.streams() {
        return Box::pin(streamed::backup(context, settings, request)).await;
    }
    let names = Names::new(&context.environment, &context.step.database, &context.deployment);
    let found = manifest::find(directory, &names, &context.step, context.attempt, request.wanted.level).await;
    if let Some(manifest) =
        found.map_err(|error| disk_error("look for an earlier backup", settings, &error))?
    {
        context.reporter.message("this attempt's backup is there already, and is what its manifest says");
        return Ok(manifest.report(directory.join(&manifest.file).display().to_string()));
    }
    let left = manifest::left_a_directory(directory, &names);
    if left.map_err(|error| disk_error("look for leftovers", settings, &error))? {
        parallel::end_orphans(context).await?;
    }
    manifest::remove_leftovers(directory, &names)
        .map_err(|error| disk_error("remove leftovers", settings, &error))?;
    if request.wanted.restore_point {
        restore_point::check(context).await?;
    }
    let facts = Facts::of(context, &request.system_identifier).await?;
    let work = Work { context, settings, request, facts: &facts, names: &names };
    if let Some(command) = &settings.command {
        return work.by_command(command).await;
    }
    let programs = programs::find(&settings.programs, facts.server_version_num).await?;
    space::check(directory, facts.tables_bytes)?;
    work.by_dump(&programs).await
}

/// The default directory is made; one that somebody named must be there, since its disk may not be mounted.
fn prepare(settings: &BackupSettings) -> Result<(), StepError> {
    let directory = &settings.directory;
    let own = settings.scratch.parent().is_some_and(|state| directory.starts_with(state));
    if own && !directory.exists() {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| disk_error("make the directory", settings, &error))?;
    }
    if directory.is_dir() {
        return Ok(());
    }
    let message = format!("the backup directory {} is not there", directory.display());
    Err(StepError::new(ErrorClass::Setup, message).with_hint(
        "mount its disk, or make it and let the agent's user write to it, or correct backup.directory in agent.toml",
    ))
}

fn disk_error(doing: &str, settings: &BackupSettings, error: &std::io::Error) -> StepError {
    let directory = &settings.directory;
    if matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
        return space::full(directory, space::free(directory).unwrap_or(0), 0);
    }
    let message = format!("could not {doing} in the backup directory {}: {error}", directory.display());
    StepError::new(ErrorClass::Setup, message)
        .with_hint("let the agent's user write to it, or set backup.directory in agent.toml to another one")
}
