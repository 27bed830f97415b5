//! Whether a backup is what it was when it was made.

use std::time::Instant;

use stopover_model::backup::BackupProof;
use stopover_model::pipeline::BackupLevel;
use stopover_model::report::{ErrorClass, StepError};

use super::super::shelf::Shelf;
use super::super::{BackupSettings, decode, parallel, programs};
use super::{Wanted, content, try_out};
use crate::step::StepContext;

/// Reads all of it. An encrypted one whose key is not given is hashed and not decoded.
pub async fn verify(
    context: &StepContext,
    settings: &BackupSettings,
    wanted: &Wanted,
    and_restore: bool,
) -> Result<BackupProof, StepError> {
    let begun = Instant::now();
    let destination = &settings.vault.destination;
    let shelf = Shelf::of(destination, &context.environment, &context.step.database).await?;
    let manifest = shelf.take(&wanted.backup, destination)?;
    let proof =
        |level| BackupProof { bytes: manifest.bytes, sha256: manifest.sha256, level, took: begun.elapsed() };
    if and_restore {
        try_out::run(context, settings, &manifest, wanted.key.as_ref()).await?;
        return Ok(proof(BackupLevel::Restored));
    }
    let doing = "reading the backup";
    let why_not = if manifest.command_output.is_some() {
        Some("the site's own command made it: what that said is hashed, and nothing more can be looked into")
    } else if !manifest.recipients.is_empty() && wanted.key.is_none() {
        Some("it is encrypted: hashed, and not decoded; --identity FILE decodes it")
    } else {
        None
    };
    if let Some(why_not) = why_not {
        let poured = content::pour(context, destination, &manifest, None, None, doing);
        stoppable(context, poured).await?;
        context.reporter.message(why_not);
        return Ok(proof(BackupLevel::Recorded));
    }
    let programs = programs::find(&settings.programs, major(&manifest.pg_dump_version) * 10_000).await?;
    if !manifest.members.is_empty() {
        let whole = content::whole(context, destination, &manifest, settings.jobs, doing);
        let directory = stoppable(context, whole).await?;
        let decoded = parallel::decode(&programs, &directory, &manifest.members, settings.jobs);
        stoppable(context, decoded).await?;
        return Ok(proof(BackupLevel::Decoded));
    }
    let mut pg_restore = decode::start(&programs)?;
    let input = pg_restore.child.stdin.take();
    let poured = content::pour(context, destination, &manifest, wanted.key.as_ref(), input, doing);
    stoppable(context, poured).await?;
    stoppable(context, decode::finish(pg_restore)).await?;
    Ok(proof(BackupLevel::Decoded))
}

/// 15 of `15.18 (Debian)`: an archive is read by programs that are not older than those that wrote it.
fn major(version: &str) -> u32 {
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().unwrap_or(0)
}

async fn stoppable<T>(
    context: &StepContext,
    work: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    tokio::select! {
        done = work => done,
        () = context.cancel.cancelled() => Err(StepError::new(ErrorClass::Cancelled, "it was stopped")),
    }
}
