//! The disks that a database writes to, as far as its agent sees them: PostgreSQL tells no client how much is free there.

use serde::{Deserialize, Serialize};

/// What stays free on a disk, so that nothing else on the machine suffers.
pub const RESERVE: u64 = 64 * 1024 * 1024;

/// What was found of a database's disks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disks {
    /// Each once, whatever lies on it. Empty: nothing could be seen.
    pub seen: Vec<Disk>,
    /// Why nothing could be seen; empty where it could.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unseen: String,
    /// So much larger the write-ahead log may grow before the server uses its files again.
    pub wal_room: u64,
    /// A copy of the database for a proof or a rehearsal is made on its own server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub copies_here: bool,
}

/// One file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// A directory of the database on it.
    pub path: String,
    /// That the server can still write.
    pub free: u64,
    /// It holds what is nowhere else: the database's own tablespace.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data: bool,
    /// It holds the write-ahead log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wal: bool,
    /// Of those that the migrations touch, the ones that are here by a tablespace of their own; as SQL names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<String>,
}
