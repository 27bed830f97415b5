//! Hooks: what others do before or after a stage's migrations or its steps, and say how it went.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::id::{Attempt, DeploymentId, HookName};
use crate::pipeline::{Hook, HookPlace, HookStep, StageSpec};

use super::GateState;

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    pub attempt: Attempt,
    pub since: Timestamp,
    /// None while its answer is waited for.
    pub ended: Option<HookEnd>,
    /// It failed, and a person said that it goes on: it is begun once more.
    pub again: bool,
}

/// The answer of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Why it failed, where nobody has said that it is to be begun once more.
    #[must_use]
    pub fn failed(&self) -> Option<&str> {
        match &self.ended {
            Some(HookEnd { outcome: HookOutcome::Failed { reason }, .. }) if !self.again => Some(reason),
            _ => None,
        }
    }

    /// It fails then, unless its answer is there.
    #[must_use]
    pub fn until(&self, hook: &Hook) -> Timestamp {
        self.since.checked_add(hook.timeout).unwrap_or(Timestamp::MAX)
    }
}

impl GateState {
    /// Whether all hooks that are asked there have.
    #[must_use]
    pub fn hooks_passed(&self, spec: &StageSpec, place: HookPlace) -> bool {
        spec.hooks_at(place).all(|hook| self.hooks.get(&hook.name).is_some_and(HookRun::passed))
    }

    /// Whether all hooks have without which no such step begins.
    #[must_use]
    pub fn hooks_in_front_passed(&self, spec: &StageSpec, step: HookStep) -> bool {
        in_front_of(step).iter().all(|place| self.hooks_passed(spec, *place))
    }

    /// The first hook of the stage that has failed, and why.
    #[must_use]
    pub fn failed_hook<'a>(&'a self, spec: &StageSpec) -> Option<(&'a HookName, &'a str)> {
        let mut runs = spec.hooks.iter().filter_map(|hook| self.hooks.get_key_value(&hook.name));
        runs.find_map(|(name, run)| Some((name, run.failed()?)))
    }

    /// Failed ones are to be begun once more.
    pub(crate) fn excuse_hooks(&mut self) {
        for run in self.hooks.values_mut() {
            run.again |= run.failed().is_some();
        }
    }
}

/// Where the hooks stand without which no such step begins, in their order; beside the stage's gates.
#[must_use]
pub fn in_front_of(step: HookStep) -> &'static [HookPlace] {
    use HookStep::{Backup, Inspect, Migrate, Rehearse, Soak, Verify};
    const FIRST: [HookPlace; 7] = [
        HookPlace::before(Inspect),
        HookPlace::after(Inspect),
        HookPlace::before(Backup),
        HookPlace::after(Backup),
        HookPlace::before(Rehearse),
        HookPlace::after(Rehearse),
        HookPlace::before(Migrate),
    ];
    const VERIFY: [HookPlace; 1] = [HookPlace::before(Verify)];
    const SOAK: [HookPlace; 1] = [HookPlace::before(Soak)];
    match step {
        Inspect => &FIRST[..1],
        Backup => &FIRST[..3],
        Rehearse => &FIRST[..5],
        Migrate => &FIRST,
        Verify => &VERIFY,
        Soak => &SOAK,
    }
}

/// What is the same however often an attempt is called, so that its receiver does it once.
#[must_use]
pub fn hook_call_id(deployment: &DeploymentId, hook: &HookName, attempt: Attempt) -> String {
    format!("{deployment}-{hook}-{attempt}")
}
