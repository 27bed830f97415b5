//! The file of signed heads: appended to, a line each, and never read here.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use super::AuditError;
use crate::store::SignedHead;

pub(super) struct HeadFile {
    path: PathBuf,
    file: File,
}

impl HeadFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, AuditError> {
        match OpenOptions::new().create(true).append(true).mode(0o600).open(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(AuditError::File { action: "open", path, source }),
        }
    }

    /// The log is refused what the file can't hold: a head that is nowhere but in the store guards nothing.
    pub(super) fn append(&mut self, head: &SignedHead) -> Result<(), AuditError> {
        let line = as_json(head);
        let written =
            self.file.write_all(format!("{line}\n").as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|source| AuditError::File { action: "append to", path: self.path.clone(), source })
    }
}

/// A head as it is told.
pub(super) fn as_json(head: &SignedHead) -> serde_json::Value {
    serde_json::json!({
        "seq": head.head.seq, "hash": head.head.hash.to_string(), "signature": head.signature,
    })
}
