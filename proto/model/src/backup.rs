//! Backups that lie somewhere: what is known of them, and what is asked of them outside of any deployment.
//!
//! Where they lie and how they are read is the agent's; nothing is looked at here.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{AgentName, Attempt, BackupId, DatabaseName, DeploymentId, EnvironmentName};
use crate::pipeline::BackupLevel;
use crate::report::{LogLine, Progress, StepError};

/// What lies where the backups of an environment's database go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupShelf {
    /// A directory of the agent's machine, or a bucket's URL.
    pub destination: String,
    /// The newest first.
    pub backups: Vec<StoredBackup>,
    pub unreadable: Vec<UnreadableBackup>,
}

/// A backup, as its manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBackup {
    pub id: BackupId,
    pub environment: EnvironmentName,
    pub database: DatabaseName,
    pub agent: AgentName,
    pub deployment: DeploymentId,
    pub attempt: Attempt,
    /// A path on the agent's machine, or a URL.
    pub location: String,
    /// What PostgreSQL calls the database.
    pub database_name: String,
    pub server_version: String,
    /// How far it was proven when it was made.
    pub level: BackupLevel,
    /// As it lies there.
    pub bytes: u64,
    pub sha256: Digest,
    /// Before compression and encryption; 0: not known, as of a backup by several jobs.
    pub dump_bytes: u64,
    /// Size of the tables' data in the database.
    pub database_bytes: u64,
    /// To whom it is encrypted; empty: it is not.
    pub recipients: Vec<String>,
    /// The beginning of the encrypted file, from which an identity gets the file's key.
    #[serde(skip)]
    pub header: Vec<u8>,
    pub started: Timestamp,
    pub finished: Timestamp,
    /// How to get it back without Stopover.
    pub restore_command: String,
}

/// Something that has a manifest's name and can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableBackup {
    pub location: String,
    pub why: String,
}

/// All of a backup was read back and is what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupProof {
    pub bytes: u64,
    pub sha256: Digest,
    /// How far it was proven now.
    pub level: BackupLevel,
    #[serde(with = "crate::duration")]
    pub took: Duration,
}

/// Where a backup is restored to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreTarget {
    /// A database that is not there yet, on the same server.
    NewDatabase { name: String },
    /// The database that the backup is of: it is replaced as a whole, and kept under another name.
    Live {
        /// Sessions of others are ended. False: they stop the restore.
        disconnect_others: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredBackup {
    /// What PostgreSQL calls the database in which it is.
    pub database_name: String,
    /// What the database that was there before is called now.
    pub kept_as: Option<String>,
    /// Where the backup lies that was made of it just before.
    pub fresh_backup: Option<String>,
    #[serde(with = "crate::duration")]
    pub took: Duration,
}

/// What comes while a backup is verified or restored; the last one is proven, restored or failed.
#[derive(Debug, Clone, PartialEq)]
pub enum BackupUpdate {
    Line(LogLine),
    /// Droppable.
    Progress(Progress),
    Proven(BackupProof),
    Restored(RestoredBackup),
    /// Nothing is left of it but what the error names.
    Failed(StepError),
}
