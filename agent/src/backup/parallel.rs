//! A backup by several jobs: `pg_dump`'s directory format, a file for each table, and restored by as many.
//!
//! ```text
//! pg_dump -j -> NAME.dump.dir.partial/ -> each file hashed -> (pg_restore -j, each file hashed again) -> NAME.json -> NAME.dump.dir/
//! ```
//!
//! Goes into a directory of this machine alone: the format can't be streamed.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use stopover_model::report::{ErrorClass, Progress, ProgressUnit, StepError};

use super::child::Program;
use super::connection::{Connection, KEEPALIVES};
use super::dump::{LOCK_WAIT, failure, said_nothing};
use super::facts::Facts;
use super::members::{self, Member};
use super::programs::Programs;
use super::restore::Restoring;
use super::{BackupSettings, decode, progress, space, toc};
use crate::postgres::{Purpose, SessionName};
use crate::scratch::Scratch;
use crate::step::StepContext;

/// The least that gzip does: the jobs are there to be fast.
const COMPRESSION: &str = "--compress=1";
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// For sessions to end that were told to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Dumps the database into the empty directory; `more` are arguments of this dump's own.
pub(super) async fn dump(
    context: &StepContext,
    settings: &BackupSettings,
    (programs, more): (&Programs, &[String]),
    facts: &Facts,
    directory: &Path,
) -> Result<(), StepError> {
    let name = SessionName::of(context).to_string();
    let connection = Connection::of(&context.database, &name, &settings.scratch).await?;
    let (jobs, mut file) = (format!("--jobs={}", settings.jobs), OsString::from("--file="));
    file.push(directory);
    let mut arguments: Vec<&OsStr> =
        ["--format=directory", COMPRESSION, "--no-password", LOCK_WAIT, KEEPALIVES].map(OsStr::new).into();
    arguments.extend([OsStr::new(&jobs), &file]);
    arguments.extend(more.iter().map(|argument| OsStr::new(argument.as_str())));
    let pipes = (Stdio::null(), Stdio::null());
    let mut pg_dump =
        Program::start("pg_dump", &programs.pg_dump, &arguments, &connection.environment, pipes)?;
    let stopped = tokio::select! {
        _ = pg_dump.child.wait() => None,
        () = context.cancel.cancelled() => {
            Some(StepError::new(ErrorClass::Cancelled, "the backup was cancelled"))
        }
        () = said_nothing(|| members::size(directory)) => {
            let message = "pg_dump wrote nothing for ten minutes";
            Some(StepError::new(ErrorClass::Transient, message)
                .with_hint("check the network between the agent and the database"))
        }
        () = nearly_full(&settings.directory) => {
            let free = space::free(&settings.directory).unwrap_or(0);
            Some(space::full(&settings.directory, free, facts.tables_bytes))
        }
        never = progress::watch(context, facts, Some(directory)) => match never {},
    };
    if let Some(error) = stopped {
        pg_dump.stop().await;
        return Err(error);
    }
    let ended = pg_dump.wait().await?;
    if !ended.status.success() {
        if space::free(&settings.directory).is_ok_and(|free| free < space::RESERVE) {
            let free = space::free(&settings.directory).unwrap_or(0);
            return Err(space::full(&settings.directory, free, facts.tables_bytes));
        }
        return Err(failure(&ended, &context.database.place()));
    }
    for warning in ended.words.lines().take(20) {
        context.reporter.message(warning);
    }
    Ok(())
}

/// Decodes all of it and writes it nowhere.
pub(super) async fn decode(
    programs: &Programs,
    directory: &Path,
    members: &[Member],
    jobs: u32,
) -> Result<(), StepError> {
    let unpacked = members::unpack(directory, members, jobs).await;
    unpacked.map_err(|error| decode::unproven(&error.to_string()))?;
    let arguments = [OsStr::new("--file=/dev/null"), OsStr::new("--format=directory"), directory.as_os_str()];
    let pipes = (Stdio::null(), Stdio::null());
    decode::finish(Program::start("pg_restore", &programs.pg_restore, &arguments, &[], pipes)?).await
}

/// A backup that lies in a directory, and with what it is restored.
pub(super) struct Restore<'a> {
    pub(super) programs: &'a Programs,
    pub(super) settings: &'a BackupSettings,
    pub(super) directory: &'a Path,
    /// What must be found there. None: what is there has just been written.
    pub(super) members: Option<&'a [Member]>,
    /// Only the rows of some tables are in it.
    pub(super) partial: bool,
}

impl Restore<'_> {
    /// Gives back what was found there. It is hashed before and after it was read.
    pub(super) async fn run(
        &self,
        context: &StepContext,
        scratch: &Scratch,
    ) -> Result<Vec<Member>, StepError> {
        let jobs = self.settings.jobs;
        let measured;
        let members = if let Some(members) = self.members {
            self.check(members).await?;
            members
        } else {
            measured = hashed(self.directory, jobs).await?;
            &measured
        };
        let contents = toc::of_directory(self.programs, self.directory).await?;
        let tools = (self.programs, self.settings.scratch.as_path());
        let from = Some((self.directory, jobs));
        let restoring = Restoring::from(context, tools, (&contents, self.partial), scratch, from).await?;
        restoring.finish().await?;
        self.check(members).await?;
        Ok(members.to_vec())
    }

    async fn check(&self, members: &[Member]) -> Result<(), StepError> {
        check(self.directory, members, self.settings.jobs).await
    }
}

/// Length and hash of each file there.
pub(super) async fn hashed(directory: &Path, jobs: u32) -> Result<Vec<Member>, StepError> {
    let found = members::measured(directory, jobs).await;
    found.map_err(|error| decode::unproven(&error.to_string()))
}

/// Refuses what is not as it was written.
pub(super) async fn check(directory: &Path, members: &[Member], jobs: u32) -> Result<(), StepError> {
    let differences = members::differences(directory, members, jobs, |_| {}).await;
    if differences.is_empty() { Ok(()) } else { Err(decode::unproven(&differences.join("; "))) }
}

/// Ends what a killed agent's dump still does: with no pipe between them it does not notice that nobody waits for it.
pub(super) async fn end_orphans(context: &StepContext) -> Result<(), StepError> {
    let name = SessionName::of(context);
    let session = context.database.connect(&Purpose::reading(&name)).await?;
    let prefix = format!("stopover/{}/{}/", name.deployment, name.step);
    let client = session.client();
    let ended = async {
        let began = tokio::time::Instant::now();
        while began.elapsed() < PATIENCE {
            if client.query(ORPHANS, &[&prefix, &name.to_string()]).await?.is_empty() {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS / 10).await;
        }
        Ok::<_, tokio_postgres::Error>(())
    };
    let ended = ended.await.map_err(|error| crate::postgres::step_error("end an earlier dump", error));
    session.close().await;
    ended
}

pub(super) fn say(context: &StepContext, doing: &str, total: u64) {
    let (doing, unit) = (doing.to_owned(), ProgressUnit::Bytes);
    context.reporter.progress(Progress { doing, done: 0, total, unit, backfill: None });
}

/// Waits until the backup would use what is to stay free.
async fn nearly_full(directory: &Path) {
    while space::free(directory).is_ok_and(|free| free >= space::RESERVE) {
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

const ORPHANS: &str = "
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE pg_catalog.starts_with(application_name, $1) AND application_name <> $2 AND datname = pg_catalog.current_database()
    AND usename = current_user AND pid <> pg_catalog.pg_backend_pid()";
