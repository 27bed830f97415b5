//! What a soak is compared with, and what came of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Deployment, Stage, StageStatus, Step, Target};
use crate::baseline::{Comparison, Metrics};

/// The looks at a database's statistics in its soak. The one before the migration is in the inspection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Twice: when the soak begins, and when it ends.
    pub step: Step,
    pub begin: Option<Measured>,
    pub end: Option<Measured>,
    /// A person has seen what came of it, and says that it goes on.
    pub accepted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// By the server's clock.
    pub at: Timestamp,
    pub metrics: Metrics,
}

impl Baseline {
    pub(super) fn take(&mut self, metrics: Metrics, at: Timestamp) {
        let place = if self.begin.is_none() { &mut self.begin } else { &mut self.end };
        *place = Some(Measured { at, metrics });
    }

    /// A person says that it goes on.
    pub(super) fn reopen(&mut self) {
        self.step.reopen();
        self.accepted |= self.end.is_some();
    }
}

impl Target {
    /// Whether something was applied here, and there is something to compare its soak with.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.counted_before().is_some() && self.has_effects()
    }

    fn counted_before(&self) -> Option<&Metrics> {
        self.inspection()?.metrics.as_deref()
    }
}

impl Stage {
    /// What the end of a target's soak is beside what was there before; None until it is known.
    #[must_use]
    pub fn compared(&self, target: &Target) -> Option<Comparison> {
        let (begin, end) = (target.baseline.begin.as_ref()?, target.baseline.end.as_ref()?);
        Some(Comparison::of(target.counted_before()?, &begin.metrics, &end.metrics, &self.spec.baseline))
    }
}

impl Deployment {
    /// Until when a soak lasts that is judged by what was counted in it: from its first look on, so long as it was to last.
    pub(super) fn measured_until(stage: &Stage) -> Option<Timestamp> {
        if stage.spec.baseline.is_none() || !matches!(stage.status, StageStatus::Soaking { .. }) {
            return None;
        }
        let begun = stage.targets.iter().filter_map(|t| t.baseline.begin.as_ref());
        begun.filter_map(|begun| begun.at.checked_add(stage.spec.soak).ok()).max()
    }
}
