//! What is looked at days after a migration: when it is due, what came of it, and what a failure stands in the way of.
//!
//! By then the deployment has ended, so a follow-up lives on its own: from the success of a stage until its last run, or
//! until the migration is rolled back there.

mod schedule;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use schedule::{FollowUpChange, follow_up_changes};

use crate::digest::Digest;
use crate::id::{DatabaseName, DeploymentId, EnvironmentName, MigrationId, OperatorName};
use crate::migration::FollowUp;

/// A follow-up of one migration in one database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FollowUpKey {
    pub deployment: DeploymentId,
    pub environment: EnvironmentName,
    pub database: DatabaseName,
    pub migration: MigrationId,
    pub name: String,
}

/// Its schedule and its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scheduled {
    pub key: FollowUpKey,
    /// Of the migration.
    pub digest: Digest,
    pub follow_up: FollowUp,
    /// The success of the stage.
    pub since: Timestamp,
    /// Of the cluster that the migration was applied in; another one is not asked.
    pub system_identifier: String,
    /// The oldest first.
    pub runs: Vec<FollowUpRun>,
    /// Why the run that is due could not be made yet.
    pub held: Option<Held>,
    /// Of the failures so far.
    pub acknowledged: Option<Acknowledged>,
    /// When the migration was rolled back there.
    pub cancelled: Option<Timestamp>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUpRun {
    /// When it was to be made.
    pub due: Timestamp,
    /// When it was.
    pub at: Timestamp,
    /// Later runs that were due by then as well, and were not made: the one stands for all of them.
    pub skipped: u32,
    pub passed: bool,
    pub expected: String,
    pub observed: String,
}

/// A run that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Since it was first tried.
    pub since: Timestamp,
    pub why: String,
}

/// A person knows of the failures, and what is to become of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub by: OperatorName,
    pub reason: String,
    pub at: Timestamp,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUpState {
    /// It runs then, for the first time or again.
    Waits { due: Timestamp },
    /// The last run failed, and nobody has acknowledged that.
    Failed { due: Option<Timestamp> },
    /// All runs were made.
    Through,
    /// The migration is no longer there.
    Cancelled { at: Timestamp },
}

/// A failure that nobody has acknowledged: the same migration goes nowhere else meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedFollowUp {
    pub key: FollowUpKey,
    /// Of the migration.
    pub digest: Digest,
}

/// What was seen when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub passed: bool,
    pub expected: String,
    pub observed: String,
}

/// A run begins at its second, give or take what a server takes to look.
const ON_TIME: Duration = Duration::from_mins(5);

/// Why it can't be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAcknowledgement {
    #[error("\"{0}\" has not failed, so there is nothing to acknowledge")]
    NotFailed(String),
    #[error("why it may go on is missing: --reason \"...\"")]
    NoReason,
}

impl Scheduled {
    /// When it runs next; None: never again.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        if self.cancelled.is_some() {
            return None;
        }
        match self.runs.last() {
            None => Some(self.first()),
            Some(run) => self.after(run.at.max(run.due)),
        }
    }

    fn first(&self) -> Timestamp {
        later(self.since, self.follow_up.after)
    }

    /// The first of its times behind this one.
    fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let again = self.follow_up.again?;
        let end = later(self.since, again.until);
        let passed = Duration::try_from(at.duration_since(self.first())).unwrap_or_default();
        let every = again.every.as_nanos().max(1);
        let next = u64::try_from((passed.as_nanos() / every + 1) * every).ok()?;
        Some(later(self.first(), Duration::from_nanos(next))).filter(|next| *next <= end)
    }

    /// Takes what a run has seen. Nothing where none was due.
    pub fn record(&mut self, seen: Seen, at: Timestamp) {
        let Some(due) = self.due().filter(|due| *due <= at) else { return };
        let skipped = self.skipped_until(due, at);
        let Seen { passed, expected, observed } = seen;
        self.runs.push(FollowUpRun { due, at, skipped, passed, expected, observed });
        self.held = None;
        if !passed {
            self.acknowledged = None;
        }
    }

    fn skipped_until(&self, due: Timestamp, at: Timestamp) -> u32 {
        let Some(again) = self.follow_up.again else { return 0 };
        let last = at.min(later(self.since, again.until));
        let late = Duration::try_from(last.duration_since(due)).unwrap_or_default();
        u32::try_from(late.as_nanos() / again.every.as_nanos().max(1)).unwrap_or(u32::MAX)
    }

    /// The run that is due can't be made now.
    pub fn hold(&mut self, why: impl Into<String>, at: Timestamp) {
        let since = self.held.as_ref().map_or(at, |held| held.since);
        self.held = Some(Held { since, why: why.into() });
    }

    /// Whether the last run failed and nobody has said a word on it.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let failed = self.runs.last().is_some_and(|run| !run.passed);
        failed && self.acknowledged.is_none() && self.cancelled.is_none()
    }

    #[must_use]
    pub fn state(&self) -> FollowUpState {
        match (self.cancelled, self.due()) {
            (Some(at), _) => FollowUpState::Cancelled { at },
            (None, due) if self.has_failed() => FollowUpState::Failed { due },
            (None, Some(due)) => FollowUpState::Waits { due },
            (None, None) => FollowUpState::Through,
        }
    }

    pub fn acknowledge(
        &mut self,
        by: OperatorName,
        reason: &str,
        at: Timestamp,
    ) -> Result<(), InvalidAcknowledgement> {
        if !self.has_failed() {
            return Err(InvalidAcknowledgement::NotFailed(self.key.name.clone()));
        }
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(InvalidAcknowledgement::NoReason);
        }
        self.acknowledged = Some(Acknowledged { by, reason: reason.to_owned(), at });
        Ok(())
    }

    pub fn cancel(&mut self, at: Timestamp) {
        self.cancelled.get_or_insert(at);
        self.held = None;
    }
}

impl FollowUpRun {
    /// How late it was; None: on time.
    #[must_use]
    pub fn late(&self) -> Option<Duration> {
        let late = Duration::try_from(self.at.duration_since(self.due)).unwrap_or_default();
        Some(late).filter(|late| *late > ON_TIME || self.skipped > 0)
    }
}

impl fmt::Display for FollowUpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { environment, database, migration, name, .. } = self;
        write!(f, "\"{name}\" of {migration} in {environment}/{database}")
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
