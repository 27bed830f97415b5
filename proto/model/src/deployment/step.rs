//! A step and its attempts.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{Actor, Resolution};
use crate::id::{AgentName, Attempt, Epoch, RunId};
use crate::report::{Effect, ErrorClass, Outcome, StepError, StepReport};

/// How often a step is tried in all when it fails for reasons that pass by themselves.
pub const MOST_TRIES: u32 = 6;

/// A step, through all its attempts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// All attempts so far.
    pub attempts: u32,
    /// Attempts since it last succeeded, or since a person last said "go on": what the limit on retries counts.
    pub tries: u32,
    pub state: StepState,
    /// An attempt left something in the database, or may have. A later attempt that is refused before it looks doesn't
    /// change that.
    pub left_behind: bool,
    /// What a person said of an UNKNOWN outcome; the next attempt carries it.
    pub resolution: Option<Resolution>,
    /// Of a rollback that failed: who says that what it was to do is done, by other means. The next attempt only books it.
    pub by_hand: Option<Actor>,
    /// What its statements took, those that ended; by their place in the script, from 0.
    pub statements: BTreeMap<u32, StatementRun>,
    /// Attempts that were over before they began.
    pub not_begun: u32,
}

/// What a statement took when it last ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementRun {
    /// That it said it touched.
    pub rows: u64,
    pub took: Duration,
}

/// Each state has its own facts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum StepState {
    #[default]
    Pending,
    Running {
        attempt: Attempt,
        epoch: Epoch,
        agent: AgentName,
        since: Timestamp,
        /// The agent's run and its last line that is in the log.
        logged: Option<(RunId, u64)>,
        /// The agent begins it by itself once the migration before it has succeeded, and not otherwise.
        behind: bool,
    },
    Succeeded {
        since: Timestamp,
        at: Timestamp,
        report: StepReport,
    },
    Failed {
        since: Timestamp,
        at: Timestamp,
        error: StepError,
        report: Option<StepReport>,
    },
    Unknown {
        since: Timestamp,
        at: Timestamp,
        error: StepError,
    },
    /// There was nothing to do for it.
    Skipped,
}

impl Step {
    /// One that has nothing to do from the beginning.
    pub(super) fn skipped() -> Self {
        Self { state: StepState::Skipped, ..Self::default() }
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.state, StepState::Running { .. })
    }

    /// The agent has it, and its turn has not come.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        matches!(self.state, StepState::Running { behind: true, .. })
    }

    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.state == StepState::Pending
    }

    #[must_use]
    pub fn succeeded(&self) -> bool {
        matches!(self.state, StepState::Succeeded { .. })
    }

    /// Succeeded, or nothing to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, StepState::Succeeded { .. } | StepState::Skipped)
    }

    #[must_use]
    pub fn report(&self) -> Option<&StepReport> {
        match &self.state {
            StepState::Succeeded { report, .. } => Some(report),
            StepState::Failed { report, .. } => report.as_ref(),
            _ => None,
        }
    }

    #[must_use]
    pub fn error(&self) -> Option<&StepError> {
        match &self.state {
            StepState::Failed { error, .. } | StepState::Unknown { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Failed for a reason that passes by itself; when it ended.
    #[must_use]
    pub fn passing_failure(&self) -> Option<Timestamp> {
        match &self.state {
            StepState::Failed { at, error, .. } | StepState::Unknown { at, error, .. }
                if error.class == ErrorClass::Transient =>
            {
                Some(*at)
            }
            _ => None,
        }
    }

    /// Failed, or UNKNOWN, for good; not while another try is due.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.error().is_some() && (self.passing_failure().is_none() || self.tries >= MOST_TRIES)
    }

    pub(super) fn start(&mut self, attempt: Attempt, epoch: Epoch, agent: AgentName, at: Timestamp) {
        self.attempts = attempt.0;
        self.tries += 1;
        self.state = StepState::Running { attempt, epoch, agent, since: at, logged: None, behind: false };
    }

    pub(super) fn stand_behind(&mut self) {
        if let StepState::Running { behind, .. } = &mut self.state {
            *behind = true;
        }
    }

    /// The migration before it has succeeded.
    pub(super) fn take_turn(&mut self, at: Timestamp) {
        if let StepState::Running { behind, since, .. } = &mut self.state {
            *behind = false;
            *since = at;
        }
    }

    /// Whether an attempt of it may have been at work.
    pub(super) fn was_begun(&self) -> bool {
        self.attempts > self.not_begun
    }

    pub(super) fn finish(&mut self, outcome: Outcome, at: Timestamp) {
        let since = match &self.state {
            StepState::Running { since, .. } => *since,
            _ => at,
        };
        if let Outcome::NotBegun { .. } = outcome {
            self.not_begun += 1;
            self.tries = self.tries.saturating_sub(1);
            self.state = StepState::Pending;
            return;
        }
        (self.resolution, self.by_hand) = (None, None);
        self.left_behind |= match &outcome {
            Outcome::Succeeded { .. } | Outcome::NotBegun { .. } => false,
            Outcome::Failed { error, .. } => error.effect != Effect::None,
            Outcome::Unknown { .. } => true,
        };
        self.state = match outcome {
            Outcome::Succeeded { report } => {
                // A monitor runs again and again: only failures in a row count.
                self.tries = 0;
                StepState::Succeeded { since, at, report }
            }
            Outcome::Failed { error, report } => StepState::Failed { since, at, error, report },
            Outcome::Unknown { error } => StepState::Unknown { since, at, error },
            Outcome::NotBegun { .. } => StepState::Pending,
        };
    }

    /// Makes a step that did not succeed due again, with all its tries.
    pub(super) fn reopen(&mut self) {
        if matches!(self.state, StepState::Failed { .. } | StepState::Unknown { .. }) {
            self.state = StepState::Pending;
            self.tries = 0;
        }
    }
}
