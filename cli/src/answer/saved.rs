//! What is kept in a database.

use serde::Serialize;
use stopover_model::id::{DatabaseName, EnvironmentName};
use stopover_model::report::StepError;
use stopover_model::saved::Saved;
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

/// A database, and what is kept there or why that is not known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatabaseSaved {
    pub environment: EnvironmentName,
    pub database: DatabaseName,
    pub saved: Vec<Saved>,
    pub failed: Option<StepError>,
}

/// Something that is kept, and where.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundSaved {
    pub environment: EnvironmentName,
    pub database: DatabaseName,
    pub saved: Saved,
}

impl TryFrom<v1::list_saved_response::DatabaseSaved> for DatabaseSaved {
    type Error = InvalidWire;

    fn try_from(wire: v1::list_saved_response::DatabaseSaved) -> Result<Self, InvalidWire> {
        use v1::list_saved_response::database_saved::Result as Wire;
        let (saved, failed) = match wire.result {
            Some(Wire::Found(found)) => (field::messages::read(found.items, "found.items")?, None),
            Some(Wire::Failed(error)) => (Vec::new(), Some(field::direct::read(error, "failed")?)),
            None => return Err(InvalidWire::missing("result")),
        };
        Ok(Self {
            environment: field::name::read(wire.environment, "environment")?,
            database: field::name::read(wire.database, "database")?,
            saved,
            failed,
        })
    }
}
