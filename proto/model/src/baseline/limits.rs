//! `[stage.baseline]`: how much more may be counted in a soak than before the migration.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Figure;
use crate::text::as_text;

/// At most so many times what was there before; without a limit a figure is only shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct BaselineLimits {
    /// Of each table, a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq_scans: Option<Factor>,
    /// Of each statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_time: Option<Factor>,
    /// Of each table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_rows: Option<Factor>,
    /// Of each table with its indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Factor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Factor>,
    /// A minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlocks: Option<Factor>,
    /// Written to temporary files a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temp_bytes: Option<Factor>,
}

/// `3x`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Factor(f64);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not how many times as much there may be: write a number from 1 to 1000 and an x, such as \"3x\" or \"1.5x\""
)]
pub struct InvalidFactor(String);

impl BaselineLimits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn of(&self, figure: &Figure) -> Option<Factor> {
        match figure {
            Figure::SeqScans { .. } => self.seq_scans,
            Figure::IndexScans { .. } => None,
            Figure::MeanTime { .. } => self.mean_time,
            Figure::DeadRows { .. } => self.dead_rows,
            Figure::Size { .. } => self.size,
            Figure::Connections => self.connections,
            Figure::Deadlocks => self.deadlocks,
            Figure::TempBytes => self.temp_bytes,
        }
    }
}

impl Factor {
    #[must_use]
    pub fn times(self) -> f64 {
        self.0
    }
}

impl FromStr for Factor {
    type Err = InvalidFactor;

    fn from_str(text: &str) -> Result<Self, InvalidFactor> {
        let number = text.trim().strip_suffix('x').and_then(|number| number.trim().parse::<f64>().ok());
        let number = number.filter(|number| (1.0..=1000.0).contains(number));
        number.map(Self).ok_or_else(|| InvalidFactor(text.to_owned()))
    }
}

as_text!(Factor, InvalidFactor);

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x", self.0)
    }
}
