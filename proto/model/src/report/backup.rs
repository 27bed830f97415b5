//! What a backup is: where it lies, what is in it, and how far it was proven.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::BackupId;
use crate::pipeline::BackupLevel;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// On the agent's machine.
    pub path: String,
    pub bytes: u64,
    /// Of the file as it lies there.
    pub sha256: Digest,
    pub level: BackupLevel,
    /// Size of the tables' data in the database.
    pub database_bytes: u64,
    #[serde(with = "crate::duration")]
    pub took: Duration,
    /// How to get it back.
    pub restore_command: String,
    /// By which `stopover backup` knows it; earlier versions' backups have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<BackupId>,
    /// Only who has an identity of its recipients can read it.
    #[serde(default)]
    pub encrypted: bool,
    /// What its restored copy was compared with. None: it was not restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<RestoreProof>,
    /// Only the rows of these tables are in it, beside the whole schema. Empty: those of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_tables: Vec<String>,
    /// Why the rows of all tables are in it although the stage asks for the touched ones alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_because: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_point: Option<RestorePoint>,
    /// The end of what the site's own command said, which made the backup in `pg_dump`'s place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_output: Option<String>,
}

/// Found equal in the restored copy, at the backup's own snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreProof {
    pub tables: u64,
    pub rows: u64,
    pub sequences: u64,
    pub large_objects: u64,
    #[serde(with = "crate::duration")]
    pub dumped_in: Duration,
    #[serde(with = "crate::duration")]
    pub restored_in: Duration,
    /// What the comparison took beyond the restore, beside which a part of it runs.
    #[serde(with = "crate::duration")]
    pub compared_in: Duration,
}

/// A named place in the WAL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePoint {
    pub name: String,
    /// As PostgreSQL writes it: "0/16B3748".
    pub lsn: String,
}
