//! The scripts that a migration can be applied by.

use serde::{Deserialize, Serialize};

/// Which of a migration's scripts runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// up.sql
    Standard,
    /// up.batch.sql
    Batched,
}

impl Variant {
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Standard => "up.sql",
            Self::Batched => "up.batch.sql",
        }
    }
}
