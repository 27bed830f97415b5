//! Hooks: what others do before or after a stage's migrations, and say how it went.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::id::Attempt;

/// How a hook went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum HookOutcome {
    Passed {
        /// In the words of whoever answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    Failed {
        reason: String,
    },
}

/// A hook that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRun {
    pub attempt: Attempt,
    pub since: Timestamp,
    /// None while its answer is waited for.
    pub ended: Option<HookEnd>,
}

/// The answer of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookEnd {
    pub outcome: HookOutcome,
    pub by: Actor,
    pub at: Timestamp,
}

impl HookRun {
    #[must_use]
    pub fn passed(&self) -> bool {
        matches!(&self.ended, Some(HookEnd { outcome: HookOutcome::Passed { .. }, .. }))
    }
}
