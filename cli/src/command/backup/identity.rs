//! Gets the key of one encrypted backup out of its header, with an identity that stays here.

#[cfg(feature = "encryption")]
mod with_age;
#[cfg(not(feature = "encryption"))]
mod without;

use std::path::Path;

use stopover_model::backup::StoredBackup;

#[cfg(feature = "encryption")]
use with_age as way;
#[cfg(not(feature = "encryption"))]
use without as way;

use crate::failure::Failure;

/// Empty where the backup is not encrypted, or no identity is given.
pub(super) fn key(backup: &StoredBackup, identity: Option<&Path>) -> Result<Vec<u8>, Failure> {
    match identity {
        Some(path) if !backup.recipients.is_empty() => way::key(backup, path),
        _ => Ok(Vec::new()),
    }
}
