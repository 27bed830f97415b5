//! Proves a backup by reading all of it back: through zstd, and through `pg_restore`, which decodes the whole archive.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use stopover_model::digest::Digest;
use stopover_model::report::{ErrorClass, Progress, ProgressUnit, StepError};

use super::archive::{self, ArchiveError, Written};
use super::child::{Ended, Program};
use super::programs::Programs;
use crate::step::StepContext;

pub(super) async fn run(
    context: &StepContext,
    programs: &Programs,
    path: &Path,
    written: &Written,
) -> Result<(), StepError> {
    let doing = "decoding the backup".to_owned();
    context.reporter.progress(Progress {
        doing,
        done: 0,
        total: written.bytes,
        unit: ProgressUnit::Bytes,
        backfill: None,
    });
    tokio::select! {
        proven = prove(programs, path, written) => proven,
        () = context.cancel.cancelled() => Err(StepError::new(ErrorClass::Cancelled, "the backup was cancelled")),
    }
}

/// A `pg_restore` that decodes the archive that it is given and writes it nowhere. Dropping it kills it; it talks to no
/// server.
pub(super) fn start(programs: &Programs) -> Result<Program, StepError> {
    let arguments = ["--file=/dev/null", "--format=custom"].map(OsStr::new);
    let pipes = (Stdio::piped(), Stdio::null());
    Program::start("pg_restore", &programs.pg_restore, &arguments, &[], pipes)
}

/// What it says after it was given all of the archive.
pub(super) async fn finish(pg_restore: Program) -> Result<(), StepError> {
    judge(&pg_restore.wait().await?)
}

fn judge(ended: &Ended) -> Result<(), StepError> {
    if ended.status.success() {
        return Ok(());
    }
    Err(unproven(&format!("pg_restore could not decode it ({}): {}", ended.status, ended.words)))
}

async fn prove(programs: &Programs, path: &Path, written: &Written) -> Result<(), StepError> {
    let (ended, found) = feed(start(programs)?, path).await?;
    judge(&ended)?;
    check(found, path, written).await
}

/// Length and hash of a file.
pub(super) type Found = (u64, Digest);

/// Gives the file, decompressed, to a `pg_restore`, and waits for its end. What was found on the disk is None where it
/// needed no more than a part of it.
pub(super) async fn feed(mut pg_restore: Program, path: &Path) -> Result<(Ended, Option<Found>), StepError> {
    let Some(mut input) = pg_restore.child.stdin.take() else {
        return Err(StepError::new(ErrorClass::Internal, "pg_restore has no input"));
    };
    let copied = archive::read_back(path, &mut input).await;
    drop(input);
    let found = match copied {
        Ok(found) => Some(found),
        // It stopped reading: its status and its own words say why.
        Err(ArchiveError::Write(_)) => None,
        Err(error) => {
            pg_restore.stop().await;
            return Err(unproven(&reason(&error)));
        }
    };
    Ok((pg_restore.wait().await?, found))
}

/// Refuses a file that is not what was written. What has not been read yet is read for it.
pub(super) async fn check(found: Option<Found>, path: &Path, written: &Written) -> Result<(), StepError> {
    let found = match found {
        Some(found) => found,
        None => archive::measure(path).await.map_err(|error| unproven(&error.to_string()))?,
    };
    if found != (written.bytes, written.sha256) {
        return Err(unproven("what lies on the disk is not what was written"));
    }
    Ok(())
}

pub(super) fn reason(error: &ArchiveError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

pub(super) fn unproven(why: &str) -> StepError {
    let message = format!("the backup could not be read back, so it is none: {why}");
    StepError::new(ErrorClass::Transient, message)
        .with_hint("check where the backup lies, and the agent's machine: the next attempt makes another")
}
