//! Restores a backup, as it lies on the disk, into a scratch database: whatever `pg_restore` minds makes it none.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;

use stopover_model::report::{ErrorClass, StepError};
use tokio::io::AsyncReadExt as _;

use super::archive::{self, ArchiveError, Written};
use super::child::{Ended, Program};
use super::connection::{Connection, KEEPALIVES};
use super::programs::Programs;
use super::secret_file::SecretFile;
use super::{decode, toc};
use crate::postgres::SessionName;
use crate::scratch::Scratch;
use crate::step::StepContext;

/// A backup, and with what it is restored.
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
        let list =
            toc::chosen(&contents, &toc::Leave { schemas: scratch.schemas(), foreign_keys: self.partial });
        let list = SecretFile::write(self.scratch_directory, "list", &list)?;
        let name = SessionName::of(context).to_string();
        let connection = Connection::of(scratch.restorer(), &name, self.scratch_directory).await?;
        let mut use_list = OsString::from("--use-list=");
        use_list.push(list.path());
        let mut arguments: Vec<&OsStr> = OPTIONS.map(OsStr::new).into();
        arguments.push(&use_list);
        let mut environment = connection.environment.clone();
        // The copy is gone tomorrow: nobody has to wait until a standby has it.
        environment.push(("PGOPTIONS", "-c synchronous_commit=off".into()));
        let pipes = (Stdio::piped(), Stdio::null());
        let pg_restore =
            Program::start("pg_restore", &self.programs.pg_restore, &arguments, &environment, pipes)?;
        let (ended, found) = decode::feed(pg_restore, self.path).await?;
        if !ended.status.success() {
            return Err(failure(&ended));
        }
        decode::check(found, self.path, &self.written).await
    }

    /// The archive's own list of what it holds.
    async fn contents(&self) -> Result<String, StepError> {
        let arguments = ["--list", "--format=custom"].map(OsStr::new);
        let pipes = (Stdio::piped(), Stdio::piped());
        let mut lister = Program::start("pg_restore", &self.programs.pg_restore, &arguments, &[], pipes)?;
        let (Some(mut input), Some(mut output)) = (lister.child.stdin.take(), lister.child.stdout.take())
        else {
            return Err(StepError::new(ErrorClass::Internal, "pg_restore has no input"));
        };
        let mut text = String::new();
        let (copied, read) = tokio::join!(
            async {
                let copied = archive::read_back(self.path, &mut input).await;
                drop(input);
                copied
            },
            output.read_to_string(&mut text),
        );
        match copied {
            // It has read what it needs.
            Ok(_) | Err(ArchiveError::Write(_)) => {}
            Err(error) => return Err(decode::unproven(&decode::reason(&error))),
        }
        let ended = lister.wait().await?;
        if !ended.status.success() || read.is_err() {
            return Err(decode::unproven(&format!(
                "pg_restore could not list it ({}): {}",
                ended.status, ended.words
            )));
        }
        Ok(text)
    }
}

/// Owners and grants are left out: the roles that they name may not be there, and the copy is nobody's.
const OPTIONS: [&str; 10] = [
    "--format=custom",
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
