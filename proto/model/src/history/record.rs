//! What is asked of a database and written into its ledger when migrations count as applied that no deployment ran.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::HistoryTable;
use crate::digest::Digest;
use crate::id::{MigrationId, OperatorName};
use crate::report::LedgerEntry;

/// What was found in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histories {
    pub tables: Vec<HistoryTable>,
    /// The ledger's rows of the migrations that were asked for.
    pub ledger: Vec<LedgerEntry>,
}

/// A migration that counts as applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedMigration {
    pub migration: MigrationId,
    pub digest: Digest,
}

/// Why migrations count as applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Adopted {
        /// The history table.
        from: String,
        by: OperatorName,
    },
    Baseline {
        by: OperatorName,
    },
}

/// What became of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    pub written: Vec<MigrationId>,
    /// These were there with the same content.
    pub already: Vec<MigrationId>,
}

impl Origin {
    /// The act, as the ledger's history calls it.
    #[must_use]
    pub fn act(&self) -> &'static str {
        match self {
            Self::Adopted { .. } => "adopted",
            Self::Baseline { .. } => "baseline",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopted { from, by } => write!(f, "adopted from {from} by {by}"),
            Self::Baseline { by } => write!(f, "baseline by {by}"),
        }
    }
}
