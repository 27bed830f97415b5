//! Restores a backup, as it lies on the disk, into a scratch database: whatever `pg_restore` minds makes it none.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;

use async_compression::tokio::bufread::ZstdDecoder;
use stopover_model::report::{ErrorClass, StepError};
use tokio::fs::File;
use tokio::io::BufReader;

use super::archive::Written;
use super::child::{Ended, Program};
use super::connection::{Connection, KEEPALIVES};
use super::programs::Programs;
use super::secret_file::SecretFile;
use super::{decode, toc};
use crate::postgres::SessionName;
use crate::scratch::Scratch;
use crate::step::StepContext;

/// A backup that lies on the disk, and with what it is restored.
pub(super) struct Restore<'a> {
    pub(super) programs: &'a Programs,
    /// For private files.
    pub(super) scratch_directory: &'a Path,
    pub(super) path: &'a Path,
    /// What must be found on the disk.
    pub(super) written: Written,
    /// Only the rows of some tables are in it.
    pub(super) partial: bool,
}

impl Restore<'_> {
    /// Dropping it kills `pg_restore`; its session ends with the database.
    pub(super) async fn into(&self, context: &StepContext, scratch: &Scratch) -> Result<(), StepError> {
        let contents = self.contents().await?;
        let (tools, partial) = ((self.programs, self.scratch_directory), self.partial);
        let restoring = Restoring::start(context, tools, &contents, scratch, partial).await?;
        let Restoring { program, _files } = restoring;
        let (ended, found) = decode::feed(program, self.path).await?;
        judge(&ended)?;
        decode::check(found, self.path, &self.written).await
    }

    /// The archive's own list of what it holds.
    async fn contents(&self) -> Result<String, StepError> {
        let file = File::open(self.path).await.map_err(|error| decode::unproven(&error.to_string()))?;
        let mut archive = ZstdDecoder::new(BufReader::new(file));
        Ok(toc::head(self.programs, &mut archive).await?.1)
    }
}

/// A `pg_restore` that waits for the archive on its standard input.
pub(super) struct Restoring {
    pub(super) program: Program,
    _files: (SecretFile, Connection),
}

impl Restoring {
    pub(super) async fn start(
        context: &StepContext,
        tools: (&Programs, &Path),
        contents: &str,
        scratch: &Scratch,
        partial: bool,
    ) -> Result<Self, StepError> {
        Self::from(context, tools, (contents, partial), scratch, None).await
    }

    /// The same of a directory, read by so many jobs, where there is one.
    pub(super) async fn from(
        context: &StepContext,
        (programs, scratch_directory): (&Programs, &Path),
        (contents, partial): (&str, bool),
        scratch: &Scratch,
        directory: Option<(&Path, u32)>,
    ) -> Result<Self, StepError> {
        let leave = toc::Leave { schemas: scratch.schemas(), foreign_keys: partial };
        let list = SecretFile::write(scratch_directory, "list", &toc::chosen(contents, &leave))?;
        let name = SessionName::of(context).to_string();
        let connection = Connection::of(scratch.restorer(), &name, scratch_directory).await?;
        let mut use_list = OsString::from("--use-list=");
        use_list.push(list.path());
        let mut arguments: Vec<&OsStr> = OPTIONS.map(OsStr::new).into();
        arguments.push(&use_list);
        let jobs = directory.map(|(_, jobs)| format!("--jobs={jobs}"));
        let input = if let (Some((directory, _)), Some(jobs)) = (directory, &jobs) {
            arguments.extend(["--format=directory", jobs].map(OsStr::new));
            arguments.push(directory.as_os_str());
            Stdio::null()
        } else {
            arguments.push(OsStr::new("--format=custom"));
            Stdio::piped()
        };
        let mut environment = connection.environment.clone();
        // The copy is gone tomorrow: nobody has to wait until a standby has it.
        environment.push(("PGOPTIONS", "-c synchronous_commit=off".into()));
        let pipes = (input, Stdio::null());
        let program = Program::start("pg_restore", &programs.pg_restore, &arguments, &environment, pipes)?;
        Ok(Self { program, _files: (list, connection) })
    }

    /// What it says after it was given all of the archive.
    pub(super) async fn finish(self) -> Result<(), StepError> {
        judge(&self.program.wait().await?)
    }
}

fn judge(ended: &Ended) -> Result<(), StepError> {
    if ended.status.success() { Ok(()) } else { Err(failure(ended)) }
}

/// Owners and grants are left out: the roles that they name may not be there, and the copy is nobody's.
const OPTIONS: [&str; 9] = [
    "--exit-on-error",
    "--no-owner",
    "--no-privileges",
    "--no-tablespaces",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--no-password",
    KEEPALIVES,
];

/// Why `pg_restore` failed, from its own words.
fn failure(ended: &Ended) -> StepError {
    let words = &ended.words;
    let says = |part: &str| words.contains(part);
    let (class, hint) = if says("No space left on device") || says("could not extend file") {
        (
            ErrorClass::Setup,
            "make room on the database's disk, or set scratch_url of this database in agent.toml to another server",
        )
    } else if says("server closed the connection")
        || says("terminating connection")
        || says("connection to server")
    {
        (ErrorClass::Transient, "check that the server of the scratch database runs")
    } else if says("permission denied") || says("must be superuser") || says("must be owner") {
        (
            ErrorClass::Setup,
            "the role that restores lacks what this needs; scratch_url in agent.toml can name a server where the agent is a superuser",
        )
    } else {
        (
            ErrorClass::Setup,
            "a restore in earnest would fail in the same way: correct what it names in the database",
        )
    };
    let reason = if words.is_empty() { "it gave no reason".to_owned() } else { words.clone() };
    let message =
        format!("the backup does not restore, so it is none: pg_restore failed ({}): {reason}", ended.status);
    StepError::new(class, message).with_hint(hint)
}
