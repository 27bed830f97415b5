//! Drift: the schema of a database is not as Stopover left it.
//!
//! The agent compares and names the objects; what counts, and what follows from it, is the pipeline's word. Nothing is
//! looked at here.

mod glob;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{DeploymentId, MigrationId};

pub use glob::ObjectGlob;

/// What differs from what was last known of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// When it was last known.
    pub since: Timestamp,
    /// That left it so, or the act that recorded it.
    pub deployment: DeploymentId,
    /// The last migration that was applied, or taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationId>,
    /// Where no migration left it so: "accepted by anna".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    pub objects: Vec<DriftedObject>,
    /// So many differ besides those.
    #[serde(default)]
    pub more: u64,
    /// Partitions that came or went, which whoever manages them does every day: they are no drift.
    #[serde(default)]
    pub partitions: u64,
}

/// An object that somebody else has made, changed or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftedObject {
    /// "index", "column", "table".
    pub kind: String,
    /// With its schema: `public.users.nick`, `public.users_email_idx`.
    pub name: String,
    /// What it belongs to, with its schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    pub change: ObjectChange,
    /// "type integer -> bigint"; of one that is new or gone: its definition. Empty where it is too long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectChange {
    Added,
    Removed,
    Changed,
}

/// A schema beside what is remembered of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaLook {
    /// Of the schema as it is now.
    pub schema: Digest,
    pub comparison: Comparison,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Nothing differs where no object is named.
    Known(Drift),
    Unknown {
        /// "nothing is recorded yet".
        why: String,
    },
}

/// What is left of a drift without what the pipeline ignores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted<'a> {
    pub objects: Vec<&'a DriftedObject>,
    /// Objects that are not named can't be ignored.
    pub more: u64,
}

impl Drift {
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.objects.is_empty() && self.more == 0
    }

    /// Without the objects that are none of the pipeline's.
    #[must_use]
    pub fn counted(&self, ignore: &[ObjectGlob]) -> Counted<'_> {
        let ours = |object: &&DriftedObject| !ignore.iter().any(|glob| glob.fits(object));
        Counted { objects: self.objects.iter().filter(ours).collect(), more: self.more }
    }

    /// "as deployment aacj4d44at left it with `001_x`, 2026-08-12 09:41 UTC".
    #[must_use]
    pub fn last_known(&self) -> String {
        let at = self.since.strftime("%Y-%m-%d %H:%M UTC");
        match (&self.origin, &self.migration) {
            (Some(origin), _) => format!("as it was {origin}, {at}"),
            (None, Some(migration)) => {
                format!("as deployment {} left it with {migration}, {at}", self.deployment)
            }
            (None, None) => format!("as deployment {} found it, {at}", self.deployment),
        }
    }
}

impl Counted<'_> {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.more == 0
    }

    /// The objects, so many at most.
    #[must_use]
    pub fn named(&self, most: usize) -> String {
        let named: Vec<_> = self.objects.iter().take(most).map(ToString::to_string).collect();
        let more = (self.objects.len() - named.len()) as u64 + self.more;
        match more {
            0 => named.join(", "),
            more if named.is_empty() => format!("{more} objects differ"),
            more => format!("{}, and {more} more", named.join(", ")),
        }
    }
}

impl fmt::Display for DriftedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.change {
            ObjectChange::Added => "is new",
            ObjectChange::Removed => "is gone",
            ObjectChange::Changed => "changed",
        };
        write!(f, "{} {} {what}", self.kind, self.name)?;
        if !self.details.is_empty() {
            write!(f, " ({})", self.details.join("; "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
