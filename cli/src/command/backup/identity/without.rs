//! For a command line that was built without encryption.

use std::path::Path;

use stopover_model::backup::StoredBackup;

use crate::failure::Failure;

pub(super) fn key(backup: &StoredBackup, _: &Path) -> Result<Vec<u8>, Failure> {
    Err(Failure::usage(format!(
        "the backup {} is encrypted, and this stopover was built without encryption",
        backup.id
    ))
    .with_hint("use one that was built with the feature `encryption`, which is on by default"))
}
