//! The manifest beside each backup: what the file holds, where it is from, and how far it was proven.
//!
//! It is written before the backup gets its final name, so that a file of that name always has its manifest.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stopover_model::digest::{Digest, Digester};
use stopover_model::event::StepKey;
use stopover_model::id::{AgentName, Attempt, BackupId, DatabaseName, DeploymentId, EnvironmentName};
use stopover_model::pipeline::BackupLevel;
use stopover_model::report::{BackupReport, RestorePoint, RestoreProof};

use super::archive;
use super::compare::Contents;
use super::files::remove;
use super::members::{self, Member};
use super::names::{DIRECTORY, DUMP, LOG, MANIFEST, Names, PARTIAL};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Of this file: 1.
    pub(crate) format: u32,
    /// The backup's name in the same directory.
    pub(crate) file: String,
    pub(crate) environment: EnvironmentName,
    pub(crate) agent: AgentName,
    pub(crate) deployment: DeploymentId,
    pub(crate) step: StepKey,
    pub(crate) attempt: Attempt,
    pub(crate) database: DatabaseName,
    /// What PostgreSQL calls the database.
    pub(crate) database_name: String,
    pub(crate) system_identifier: String,
    pub(crate) server_version: String,
    pub(crate) pg_dump_version: String,
    pub(crate) level: BackupLevel,
    pub(crate) bytes: u64,
    pub(crate) sha256: Digest,
    /// Before compression; 0: of a backup in several files nobody knows.
    pub(crate) dump_bytes: u64,
    /// Of the tables' data in the database.
    pub(crate) database_bytes: u64,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
    pub(crate) restore_command: String,
    /// The objects that the backup is of in their order, where it is too long for one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pieces: Vec<String>,
    /// What is in the directory that `file` names; empty: it is a file itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<Member>,
    /// To whom it is encrypted; empty: it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) recipients: Vec<String>,
    /// The encrypted file's beginning in base 64, from which an identity gets its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) header: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proof: Option<RestoreProof>,
    /// What the tables held, with which a restore is compared later. None: nobody has looked, or there are too many of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) contents: Option<Contents>,
    /// Only the rows of these tables are in it. Empty: of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) only_tables: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) whole_because: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restore_point: Option<RestorePoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command_output: Option<String>,
}

impl Manifest {
    pub(crate) fn report(&self, path: String) -> BackupReport {
        BackupReport {
            path,
            id: Some(self.id()),
            encrypted: !self.recipients.is_empty(),
            bytes: self.bytes,
            sha256: self.sha256,
            level: self.level,
            database_bytes: self.database_bytes,
            took: Duration::try_from(self.finished.duration_since(self.started)).unwrap_or_default(),
            restore_command: self.restore_command.clone(),
            proof: self.proof,
            only_tables: self.only_tables.clone(),
            whole_because: self.whole_because.clone(),
            restore_point: self.restore_point.clone(),
            command_output: self.command_output.clone(),
        }
    }

    /// Its own, for as long as it lies there: no two backups have the same name and the same content.
    pub(crate) fn id(&self) -> BackupId {
        let mut builder = Digester::new("stopover backup");
        builder.part("file", self.file.as_bytes()).part("sha256", self.sha256.as_bytes());
        let bits =
            builder.finish().as_bytes().iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        BackupId::from_bits(bits)
    }

    /// The names of what it is of, in their order.
    pub(crate) fn pieces(&self) -> &[String] {
        if self.pieces.is_empty() { std::slice::from_ref(&self.file) } else { &self.pieces }
    }

    /// Whether the manifest of this name may name what it names. Somebody else may have written it.
    pub(crate) fn check(&self, name: &str) -> Result<(), String> {
        let stem = name.strip_suffix(MANIFEST).unwrap_or(name);
        for piece in std::iter::once(&self.file).chain(&self.pieces) {
            let ending = piece.strip_prefix(stem);
            if piece.contains(['/', '\\', '\0'])
                || !ending.is_some_and(|ending| ending.starts_with(".dump") || ending == LOG)
            {
                let piece = crate::postgres::shown(piece, 200);
                return Err(format!("it names `{piece}`, which is not the file that belongs to it"));
            }
        }
        if let Some(member) = self.members.iter().find(|member| !member.is_plain()) {
            let member = crate::postgres::shown(&member.name, 200);
            return Err(format!("it names `{member}`, which is no file of its directory"));
        }
        if self.format != 1 {
            return Err(format!("it is of format {}, which this agent does not know", self.format));
        }
        Ok(())
    }

    /// Whether the backup lies in this directory as it was written.
    pub(crate) async fn is_whole_in(&self, directory: &Path) -> bool {
        let path = directory.join(&self.file);
        if self.members.is_empty() {
            let found = archive::measure(&path).await;
            return found.is_ok_and(|found| found == (self.bytes, self.sha256));
        }
        members::differences(&path, &self.members, 1, |_| {}).await.is_empty()
    }

    /// Writes it under its name, on the disk when this returns.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&text)?;
        file.sync_all()
    }

    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}

/// The backup that an earlier run of this attempt made, when it lies there whole.
pub(crate) async fn find(
    directory: &Path,
    names: &Names,
    step: &StepKey,
    attempt: Attempt,
    level: BackupLevel,
) -> io::Result<Option<Manifest>> {
    for path in files(directory, names, MANIFEST)? {
        let Some(manifest) = Manifest::read(&path) else { continue };
        if manifest.step != *step || manifest.attempt != attempt || manifest.level < level {
            continue;
        }
        if manifest.is_whole_in(directory).await {
            return Ok(Some(manifest));
        }
    }
    Ok(None)
}

/// Whether a run that did not end left a directory, into which its jobs may still write.
pub(crate) fn left_a_directory(directory: &Path, names: &Names) -> io::Result<bool> {
    Ok(!files(directory, names, &format!("{DIRECTORY}{PARTIAL}"))?.is_empty())
}

/// Removes what runs that did not end left: partial files, and manifests of files that never got their name.
pub(crate) fn remove_leftovers(directory: &Path, names: &Names) -> io::Result<()> {
    for ending in [DUMP, DIRECTORY, LOG] {
        for path in files(directory, names, &format!("{ending}{PARTIAL}"))? {
            remove(&path)?;
        }
    }
    for path in files(directory, names, MANIFEST)? {
        let orphan = Manifest::read(&path).is_none_or(|m| !directory.join(&m.file).exists());
        if orphan {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn files(directory: &Path, names: &Names, ending: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| names.owns(name, ending)) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
