//! How a database's schema is beside what is remembered of it.

use serde::Serialize;
use stopover_model::drift::{Comparison, SchemaLook};
use stopover_model::id::DatabaseName;
use stopover_model::report::StepError;
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

/// A database, and what was found there or why it could not be looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatabaseDrift {
    pub database: DatabaseName,
    pub found: Option<SchemaLook>,
    /// Its schema counts as known now.
    pub accepted: bool,
    pub failed: Option<StepError>,
}

impl DatabaseDrift {
    /// Something differs, and was not accepted.
    #[must_use]
    pub fn has_drifted(&self) -> bool {
        !self.accepted
            && matches!(&self.found, Some(SchemaLook { comparison: Comparison::Known(drift), .. }) if !drift.is_none())
    }

    /// There is something to accept: differences, or a schema of which nothing is known.
    #[must_use]
    pub fn may_be_accepted(&self) -> bool {
        let unknown = matches!(&self.found, Some(SchemaLook { comparison: Comparison::Unknown { .. }, .. }));
        self.has_drifted() || unknown && !self.accepted
    }
}

impl TryFrom<v1::read_environment_drift_response::DatabaseDrift> for DatabaseDrift {
    type Error = InvalidWire;

    fn try_from(wire: v1::read_environment_drift_response::DatabaseDrift) -> Result<Self, InvalidWire> {
        use v1::read_environment_drift_response::database_drift::Result as Wire;
        let (found, failed) = match wire.result {
            Some(Wire::Found(found)) => (Some(field::direct::read(found, "found")?), None),
            Some(Wire::Failed(error)) => (None, Some(field::direct::read(error, "failed")?)),
            None => return Err(InvalidWire::missing("result")),
        };
        Ok(Self { database: field::name::read(wire.database, "database")?, found, accepted: false, failed })
    }
}
