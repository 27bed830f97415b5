//! What is asked of backups outside of any deployment: which there are, whether one is what it was, and to have it back.
//!
//! ```text
//! what lies there -> (hashed as it lies) -> age -> zstd -> pg_restore, which decodes it or restores it
//! ```

mod content;
mod copy;
mod place;
mod restore;
mod swap;
#[cfg(test)]
mod tests;
mod try_out;
mod verify;

use stopover_model::backup::BackupShelf;
use stopover_model::id::{BackupId, DatabaseName, EnvironmentName};
use stopover_model::report::StepError;

use super::BackupSettings;
use super::shelf::{self, Shelf};
use crate::vault::FileKey;

pub use place::drop_leftovers;
pub use restore::restore;
pub use verify::verify;

/// A backup, and what is needed to read it.
#[derive(Debug)]
pub struct Wanted {
    pub backup: BackupId,
    /// Of this one encrypted file.
    pub(crate) key: Option<FileKey>,
}

impl Wanted {
    /// None: the key has another length than a key.
    #[must_use]
    pub fn new(backup: BackupId, key: &[u8]) -> Option<Self> {
        let key = if key.is_empty() { None } else { Some(FileKey::new(key)?) };
        Some(Self { backup, key })
    }
}

/// The backups of a database.
pub async fn list(
    settings: &BackupSettings,
    environment: &EnvironmentName,
    database: &DatabaseName,
) -> Result<BackupShelf, StepError> {
    let destination = &settings.vault.destination;
    let found = Shelf::of(destination, environment, database).await?;
    let place = destination.location("");
    Ok(BackupShelf {
        destination: place.trim_end_matches('/').to_owned(),
        backups: found.backups.into_iter().map(|manifest| shelf::stored(destination, manifest)).collect(),
        unreadable: found.unreadable,
    })
}
