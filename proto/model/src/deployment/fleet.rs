//! A stage's databases as one: its waves and how far they are, which databases failed, and what people make of that.

use std::ops::Range;

use jiff::Timestamp;

use super::legal::{IllegalEvent, illegal_in};
use super::targets::{FleetCounts, Targets};
use super::{Deployment, FleetChange, LeftOut, Set, Stage, StageStatus, Step, StepState, Target};
use crate::event::{Actor, StageIndex};
use crate::id::DatabaseName;
use crate::wave::MaxFailures;

/// One wave of a stage, and where its databases are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaveProgress {
    /// As the pipeline has it; empty where all databases are one wave.
    pub name: String,
    /// The places of its databases.
    pub places: Range<usize>,
    pub counts: FleetCounts,
}

impl Stage {
    /// The stage's waves, in their order.
    #[must_use]
    pub fn waves(&self) -> Vec<WaveProgress> {
        let named = (0..).map(|n| self.spec.fleet.waves.get(n).map(ToString::to_string));
        let waves = self.targets.waves().zip(named);
        waves
            .map(|(places, name)| WaveProgress {
                name: name.unwrap_or_default(),
                counts: self.targets.counts(places.clone()),
                places,
            })
            .collect()
    }

    /// Databases in which a step failed for good, in their order.
    pub fn failed_targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.that_are(Set::Failed)
    }

    /// Databases in which something of the deployment is, or may be.
    pub fn affected_targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.that_are(Set::Affected)
    }

    /// Databases that somebody goes on without.
    pub fn left_out_targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.that_are(Set::LeftOut)
    }

    /// In how many databases a step is under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.targets.count(Set::Running)
    }

    /// Databases in which a step is under way.
    pub fn running_targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.that_are(Set::Running)
    }

    /// Whether so much has failed that nothing further begins by itself.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        // One that is tried again counts until it is through.
        let failed = self.targets.count(Set::Failed) + self.targets.count(Set::ByItself);
        if failed == 0 {
            return false;
        }
        // Before people have agreed to anything, nothing is lost by waiting.
        let before_gates = crate::gate::has_gates(&self.spec) && !self.has_begun();
        let most = self.spec.fleet.max_failures;
        let too_many_in = |places: Range<usize>| {
            let counts = self.targets.counts(places.clone());
            let failed = counts.failed + self.targets.in_wave(Set::ByItself, &places).count();
            let nothing_works = failed > 0 && failed + counts.left_out == counts.all();
            nothing_works || most.of_wave(counts.all()).is_some_and(|most| failed > most)
        };
        let too_many = matches!(most, MaxFailures::Count(most) if failed > most as usize);
        before_gates || too_many || self.targets.waves().any(too_many_in)
    }
}

impl Deployment {
    pub(super) fn change_fleet(
        &mut self,
        index: StageIndex,
        change: FleetChange,
    ) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        let stage = self.stage_mut(index)?;
        if !stage.is_open() {
            return Err(illegal_in(stage, "a change of its databases"));
        }
        stage.changed = Some(change).filter(|c| *c != FleetChange::default());
        Ok(())
    }

    /// Only what failed in these databases is tried again.
    pub(super) fn retry(&mut self, databases: &[DatabaseName]) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        if self.cancelling.is_some() {
            return Err(IllegalEvent::Cancelling);
        }
        if self.paused.as_ref().is_some_and(|pause| pause.by != Actor::Pipeline) {
            return Err(IllegalEvent::HeldByPerson);
        }
        let stage = self.stages.iter().find(|s| matches!(s.status, StageStatus::Running { .. }));
        let failed = |name: &DatabaseName| stage.and_then(|s| s.target(name)).is_some_and(Target::has_failed);
        if let Some(other) = databases.iter().find(|name| !failed(name)) {
            return Err(IllegalEvent::NotFailed { database: other.clone() });
        }
        for stage in self.stages.iter_mut().filter(|s| matches!(s.status, StageStatus::Running { .. })) {
            for name in databases {
                if let Some(target) = stage.targets.named_mut(name) {
                    target.reopen();
                    target.by_itself = true;
                }
                stage.targets.review(name);
            }
        }
        self.paused = None;
        Ok(())
    }

    pub(super) fn leave_out(
        &mut self,
        index: StageIndex,
        database: &DatabaseName,
        (by, reason, at): (&Actor, &str, Timestamp),
    ) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        if self.cancelling.is_some() {
            return Err(IllegalEvent::Cancelling);
        }
        let stage = self.stage_mut(index)?;
        if !matches!(stage.status, StageStatus::Running { .. }) {
            return Err(illegal_in(stage, "going on without a database"));
        }
        let environment = stage.spec.environment.to_string();
        let others = stage.targets.iter().filter(|t| t.left_out.is_none() && t.database != *database).count();
        let Some(target) = stage.targets.named_mut(database) else {
            return Err(IllegalEvent::NoDatabase { database: database.clone(), environment });
        };
        let why = if target.left_out.is_some() {
            Some("it is left out already")
        } else if target.is_running() {
            Some("a step of it is under way; wait for its end, or cancel the deployment")
        } else if target.is_migrated() {
            Some("it is through")
        } else if target.has_effects() {
            Some("some of the deployment is, or may be, in it; roll back, or try it again")
        } else if others == 0 {
            Some("it is the only one; cancel the deployment instead")
        } else {
            None
        };
        if let Some(why) = why {
            return Err(IllegalEvent::StaysIn { database: database.clone(), why });
        }
        target.left_out = Some(LeftOut { by: by.clone(), reason: reason.to_owned(), at });
        stage.targets.review(database);
        watch_with_another(&mut stage.targets, stage.spec.monitors_at(0).next().is_some());
        if self.paused.as_ref().is_some_and(|pause| pause.by == Actor::Pipeline) {
            self.paused = None;
        }
        Ok(())
    }
}

/// What is asked elsewhere is asked with the first database that is left.
fn watch_with_another(targets: &mut Targets, monitored: bool) {
    let first = targets.all_mut().find(|t| t.left_out.is_none());
    if let Some(first) = first.filter(|t| monitored && t.monitor.state == StepState::Skipped) {
        first.monitor = Step::default();
    }
}
