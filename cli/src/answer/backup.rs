//! The backups of a database.

use serde::Serialize;
use stopover_model::backup::BackupShelf;
use stopover_model::id::{DatabaseName, EnvironmentName};
use stopover_model::report::StepError;
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

/// A database, and what lies there of it or why it could not be looked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatabaseBackups {
    pub environment: EnvironmentName,
    pub database: DatabaseName,
    pub found: Option<BackupShelf>,
    pub failed: Option<StepError>,
}

impl TryFrom<v1::list_environment_backups_response::DatabaseBackups> for DatabaseBackups {
    type Error = InvalidWire;

    fn try_from(wire: v1::list_environment_backups_response::DatabaseBackups) -> Result<Self, InvalidWire> {
        use v1::list_environment_backups_response::database_backups::Result as Wire;
        let (found, failed) = match wire.result {
            Some(Wire::Found(found)) => (Some(field::direct::read(found, "found")?), None),
            Some(Wire::Failed(error)) => (None, Some(field::direct::read(error, "failed")?)),
            None => return Err(InvalidWire::missing("result")),
        };
        Ok(Self {
            environment: field::name::read(wire.environment, "environment")?,
            database: field::name::read(wire.database, "database")?,
            found,
            failed,
        })
    }
}
