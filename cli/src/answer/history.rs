//! What other tools applied in a database, and what is made of it.

use serde::Serialize;
use stopover_model::history::{Adoption, Histories, Recorded, Tool};
use stopover_model::id::{DatabaseName, MigrationId};
use stopover_model::report::StepError;
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

/// A database, and its histories or why they could not be read.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseHistories {
    pub database: DatabaseName,
    pub found: Result<Histories, StepError>,
}

/// What is to be written into a database's ledger, and what became of that.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatabaseAdoption {
    pub database: DatabaseName,
    /// Where it is read from; None: it is a baseline, or there is no history.
    pub history: Option<HistoryName>,
    #[serde(flatten)]
    pub adoption: Option<Adoption>,
    /// Of its marks, those that the ledger has already.
    pub in_ledger: Vec<MigrationId>,
    /// What was written; None while nothing was.
    pub recorded: Option<Recorded>,
    pub failed: Option<StepError>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryName {
    pub tool: Tool,
    pub table: String,
}

impl DatabaseAdoption {
    /// How many rows it would add.
    #[must_use]
    pub fn new_marks(&self) -> usize {
        self.adoption.as_ref().map_or(0, |adoption| adoption.marks.len() - self.in_ledger.len())
    }

    #[must_use]
    pub fn problems(&self) -> usize {
        self.adoption.as_ref().map_or(0, |adoption| adoption.problems.len())
    }
}

impl TryFrom<v1::read_histories_response::DatabaseHistories> for DatabaseHistories {
    type Error = InvalidWire;

    fn try_from(wire: v1::read_histories_response::DatabaseHistories) -> Result<Self, InvalidWire> {
        use v1::read_histories_response::database_histories::Result as Wire;
        Ok(Self {
            database: field::name::read(wire.database, "database")?,
            found: match wire.result {
                Some(Wire::Found(found)) => Ok(field::direct::read(found, "found")?),
                Some(Wire::Failed(error)) => Err(field::direct::read(error, "failed")?),
                None => return Err(InvalidWire::missing("result")),
            },
        })
    }
}
