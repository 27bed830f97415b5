//! Runs `pg_dump` and writes what it says to the disk.

use std::ffi::OsStr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stopover_model::report::{ErrorClass, StepError};
use tokio::process::ChildStdout;

use super::archive::{self, ArchiveError, Written};
use super::child::{Ended, Program};
use super::connection::{Connection, KEEPALIVES};
use super::facts::Facts;
use super::programs::Programs;
use super::publish::Partial;
use super::{BackupSettings, disk_error, progress, space};
use crate::postgres::SessionName;
use crate::step::StepContext;

/// A dump takes weak locks on all tables at its start; behind an ALTER that waits itself it gives up after this.
pub(super) const LOCK_WAIT: &str = "--lock-wait-timeout=60s";
/// A dump that says nothing for so long hangs on a network that swallows its packets.
const SILENCE: Duration = Duration::from_mins(10);

/// Dumps the database into the partial file; `more` are arguments of this dump's own.
pub(super) async fn run(
    context: &StepContext,
    settings: &BackupSettings,
    (programs, more): (&Programs, &[String]),
    facts: &Facts,
    partial: &mut Partial,
) -> Result<Written, StepError> {
    let mut file = partial.take_file().map_err(|error| disk_error("write a file", settings, &error))?;
    through(context, settings, (programs, more), facts, async |dump, read| {
        let read = |bytes| read.store(bytes, Ordering::Relaxed);
        let written = archive::write(dump, &mut file, &settings.directory, read).await;
        written.map_err(|error| archive_error(&error, settings, facts))
    })
    .await
}

/// Gives the dump as it is made, with arguments of its own, to somebody, who counts what was read of it.
pub(super) async fn through<T>(
    context: &StepContext,
    settings: &BackupSettings,
    (programs, more): (&Programs, &[String]),
    facts: &Facts,
    take: impl AsyncFnOnce(ChildStdout, &AtomicU64) -> Result<T, StepError>,
) -> Result<T, StepError> {
    let name = SessionName::of(context).to_string();
    let connection = Connection::of(&context.database, &name, &settings.scratch).await?;
    let mut arguments: Vec<&OsStr> =
        ["--format=custom", "--compress=0", "--no-password", LOCK_WAIT, KEEPALIVES].map(OsStr::new).into();
    arguments.extend(more.iter().map(|argument| OsStr::new(argument.as_str())));
    let pipes = (Stdio::null(), Stdio::piped());
    let mut pg_dump =
        Program::start("pg_dump", &programs.pg_dump, &arguments, &connection.environment, pipes)?;
    let Some(dump) = pg_dump.child.stdout.take() else {
        return Err(StepError::new(ErrorClass::Internal, "pg_dump has no output"));
    };
    let read = AtomicU64::new(0);
    let written = tokio::select! {
        written = take(dump, &read) => written,
        () = context.cancel.cancelled() => {
            pg_dump.stop().await;
            return Err(StepError::new(ErrorClass::Cancelled, "the backup was cancelled"));
        }
        () = said_nothing(|| read.load(Ordering::Relaxed)) => {
            pg_dump.stop().await;
            let message = format!("pg_dump said nothing for {} minutes", SILENCE.as_secs() / 60);
            return Err(StepError::new(ErrorClass::Transient, message)
                .with_hint("check the network between the agent and the database"));
        }
        never = progress::watch(context, facts, None) => match never {},
    };
    match written {
        Ok(written) => {
            let ended = pg_dump.wait().await?;
            if !ended.status.success() {
                return Err(failure(&ended, &context.database.place()));
            }
            for warning in ended.words.lines().take(20) {
                context.reporter.message(warning);
            }
            Ok(written)
        }
        Err(error) => {
            pg_dump.stop().await;
            Err(error)
        }
    }
}

/// Waits until nothing has come for too long; `so_far` tells how much there is.
pub(super) async fn said_nothing(so_far: impl Fn() -> u64) {
    loop {
        let before = so_far();
        tokio::time::sleep(SILENCE).await;
        if so_far() == before {
            return;
        }
    }
}

pub(super) fn archive_error(error: &ArchiveError, settings: &BackupSettings, facts: &Facts) -> StepError {
    let directory = &settings.directory;
    match error {
        ArchiveError::NoSpace => {
            space::full(directory, space::free(directory).unwrap_or(0), facts.tables_bytes)
        }
        ArchiveError::Write(error) => disk_error("write the backup", settings, error),
        ArchiveError::Read(error) => {
            StepError::new(ErrorClass::Internal, format!("could not read what pg_dump says: {error}"))
        }
    }
}

/// Why `pg_dump` failed, from its own words. They name objects and places, never a row or the password.
pub(super) fn failure(ended: &Ended, place: &str) -> StepError {
    let words = &ended.words;
    let says = |part: &str| words.contains(part);
    let (class, hint) = if says("server version mismatch") {
        (
            ErrorClass::Setup,
            "install PostgreSQL's client programs of the server's version or newer, or set pg_dump in agent.toml",
        )
    } else if says("permission denied") {
        (
            ErrorClass::Setup,
            "a backup reads everything: GRANT pg_read_all_data (PostgreSQL 14 and newer) to the agent's user",
        )
    } else if says("password authentication failed") || says("no password supplied") || says("pg_hba.conf") {
        (ErrorClass::Setup, "check the user and the password of the database in agent.toml")
    } else if says("lock timeout") || says("could not obtain lock") {
        (ErrorClass::Lock, "something holds a lock on a table for long: see the inspection for who")
    } else if says("connection to server")
        || says("terminating connection")
        || says("server closed the connection")
    {
        (ErrorClass::Transient, "check that the database runs and can be reached from the agent")
    } else {
        (ErrorClass::Setup, "run pg_dump by hand with the agent's settings to see more")
    };
    let reason = if words.is_empty() { "it gave no reason".to_owned() } else { words.clone() };
    let message = format!("pg_dump of {place} failed ({}): {reason}", ended.status);
    StepError::new(class, message).with_hint(hint)
}
