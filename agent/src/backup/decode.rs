//! Proves a backup by reading all of it back: through zstd, and through `pg_restore`, which decodes the whole archive.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use stopover_model::report::{ErrorClass, Progress, ProgressUnit, StepError};

use super::archive::{self, ArchiveError, Written};
use super::child::Program;
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
    let ended = pg_restore.wait().await?;
    if ended.status.success() {
        return Ok(());
    }
    Err(unproven(&format!("pg_restore could not decode it ({}): {}", ended.status, ended.words)))
}

async fn prove(programs: &Programs, path: &Path, written: &Written) -> Result<(), StepError> {
    let mut pg_restore = start(programs)?;
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
            let why =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            pg_restore.stop().await;
            return Err(unproven(&why));
        }
    };
    finish(pg_restore).await?;
    // It needed no more than a part of its input; the rest is hashed all the same.
    let found = match found {
        Some(found) => found,
        None => archive::measure(path).await.map_err(|error| unproven(&error.to_string()))?,
    };
    if found != (written.bytes, written.sha256) {
        return Err(unproven("what lies on the disk is not what was written"));
    }
    Ok(())
}

pub(super) fn unproven(why: &str) -> StepError {
    let message = format!("the backup could not be read back, so it is none: {why}");
    StepError::new(ErrorClass::Transient, message)
        .with_hint("check where the backup lies, and the agent's machine: the next attempt makes another")
}
