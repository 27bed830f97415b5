//! A stage's gates in its deployment: who has opened them, for which plans, and whether those still are the plans.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::legal::{IllegalEvent, illegal_in};
use super::step::{Step, StepState};
use super::target::{MigrationSteps, Target};
use super::{Deployment, Pause, Set, Stage, StageStatus};
use crate::actor::Actor;
use crate::digest::Digest;
use crate::event::StageIndex;
use crate::gate::{
    Agreed, Approval, Approving, GateRefusal, HookEnd, HookOutcome, HookRun, Rejection, Tick, Voided,
    WindowOverride, changes, digest_of, find_item,
};
use crate::id::{Attempt, GroupName, HookName, OperatorName};
use crate::pipeline::{Hook, HookPlace, HookStep};

impl Stage {
    /// Whether one of its migrations was begun: its gates were open then.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.targets.any(Set::Migrating)
    }

    /// Whether everything is there that people look at before they open its gates.
    #[must_use]
    pub fn is_prepared(&self) -> bool {
        let prepared = |t: &Target| {
            t.left_out.is_some() || t.plan.is_some() && (!self.spec.rehearse || t.rehearse.is_done())
        };
        !self.targets.is_empty() && self.targets.iter().all(prepared)
    }

    #[must_use]
    pub fn applies_anything(&self) -> bool {
        self.targets.any(Set::Applying)
    }

    /// Whether the stage is where this hook may be waited for.
    #[must_use]
    pub fn may_wait_for(&self, hook: &Hook) -> bool {
        match self.status {
            StageStatus::Running { .. } => true,
            StageStatus::Soaking { .. } => hook.place() == HookPlace::after(HookStep::Soak),
            _ => false,
        }
    }

    /// When the last of the steps before its first migration ended.
    #[must_use]
    pub fn prepared_at(&self) -> Option<Timestamp> {
        let steps = self.targets.iter().flat_map(|t| [&t.inspect, &t.backup, &t.rehearse]);
        let ended = steps.filter_map(|step| match step.state {
            StepState::Succeeded { at, .. } => Some(at),
            _ => None,
        });
        ended.max()
    }

    fn agreed(&self) -> Vec<Agreed> {
        let of = |t: &Target| t.plan.as_ref().map(|plan| Agreed::of(plan, t.inspection(), &self.spec.drift));
        self.targets.iter().filter(|t| t.left_out.is_none()).filter_map(of).collect()
    }
}

impl Target {
    /// What is planned is to be found anew; what was planned is kept beside it.
    fn refresh(&mut self, former: Option<Agreed>) {
        self.former = former;
        self.plan = None;
        self.refused = None;
        for step in [&mut self.inspect, &mut self.backup] {
            *step = Step { attempts: step.attempts, tries: step.tries, ..Step::default() };
        }
        for step in self.migrations.iter_mut().flat_map(MigrationSteps::before_its_end) {
            if step.state == StepState::Skipped {
                step.state = StepState::Pending;
            }
        }
    }
}

impl Deployment {
    /// What an approval of a stage is bound to; None until all that there is to look at is there.
    #[must_use]
    pub fn plan_digest(&self, index: StageIndex) -> Option<Digest> {
        let stage = self.stage(index).filter(|stage| stage.is_prepared())?;
        Some(digest_of(self.digest, &stage.agreed()))
    }

    /// Why approvals of a stage that were given are not for what is planned now; None where they are.
    #[must_use]
    pub fn outdated_approvals(&self, index: StageIndex) -> Option<String> {
        let stage = self.stage(index)?;
        if stage.gates.approvals.is_empty() {
            return None;
        }
        let digest = self.plan_digest(index)?;
        if stage.gates.approvals.iter().all(|approval| approval.digest == digest) {
            return None;
        }
        let former: Vec<_> = stage.targets.iter().filter_map(|t| t.former.clone()).collect();
        let what = changes(&former, &stage.agreed());
        Some(what.map_or_else(
            || "the plan has changed".to_owned(),
            |what| format!("the plan has changed: {what}"),
        ))
    }

    /// Whether people have opened what only they can, for these very plans.
    pub(super) fn is_agreed_to(&self, index: StageIndex) -> bool {
        self.stage(index).is_some_and(|stage| {
            stage.has_begun()
                || (!crate::gate::has_gates(&stage.spec)
                    || stage.gates.asks_nobody(&stage.spec)
                        && stage.gates.hooks_passed(&stage.spec, HookPlace::BEFORE)
                        && self.outdated_approvals(index).is_none())
                    && stage.gates.hooks_in_front_passed(&stage.spec, HookStep::Migrate)
        })
    }

    pub(super) fn approve(
        &mut self,
        index: StageIndex,
        groups: &[GroupName],
        approval: Approval,
    ) -> Result<(), IllegalEvent> {
        let stage = self.check_word(index, &approval.by, groups)?;
        let environment = || stage.spec.environment.clone();
        let now =
            self.plan_digest(index).ok_or_else(|| GateRefusal::NotPlanned { environment: environment() })?;
        if !stage.applies_anything() {
            return Err(GateRefusal::NothingToApply { environment: environment() }.into());
        }
        if now != approval.digest {
            let refusal =
                GateRefusal::OtherDigest { environment: environment(), given: approval.digest, now };
            return Err(refusal.into());
        }
        self.approving(stage, &approval.by, groups).check_first(&stage.gates.approvals)?;
        self.stage_mut(index)?.gates.approvals.push(approval);
        Ok(())
    }

    /// It is held with it, until somebody resumes it.
    pub(super) fn reject(
        &mut self,
        index: StageIndex,
        groups: &[GroupName],
        rejection: Rejection,
    ) -> Result<(), IllegalEvent> {
        self.going_on()?;
        let stage = self.check_word(index, &rejection.by, groups)?;
        let cause =
            format!("{} rejected it in {}: {}", rejection.by, stage.spec.environment, rejection.reason);
        let by = Actor::Operator(rejection.by.clone());
        let pause = Pause { cause, by, since: rejection.at };
        self.stage_mut(index)?.gates.reject(rejection);
        self.paused = Some(pause);
        Ok(())
    }

    pub(super) fn void(&mut self, index: StageIndex, voided: Voided) -> Result<(), IllegalEvent> {
        self.going_on()?;
        let stage = self.stage_mut(index)?;
        if stage.gates.approvals.is_empty() || stage.has_begun() {
            return Err(illegal_in(stage, "the end of its approvals"));
        }
        stage.gates.void(voided);
        Ok(())
    }

    pub(super) fn tick(&mut self, index: StageIndex, item: &str, tick: Tick) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        let stage = self.stage_mut(index)?;
        if matches!(stage.status, StageStatus::Ended { .. }) {
            return Err(illegal_in(stage, "a tick of its checklist"));
        }
        let item = find_item(&stage.spec, item)?.to_owned();
        if let Some(before) = stage.gates.ticked.get(&item) {
            return Err(GateRefusal::TickedAlready { item, by: before.by.clone() }.into());
        }
        stage.gates.ticked.insert(item, tick);
        Ok(())
    }

    pub(super) fn refresh(&mut self, index: StageIndex) -> Result<(), IllegalEvent> {
        self.going_on()?;
        let stage = self.stage(index).ok_or(IllegalEvent::NoStage(index))?;
        let runs = self.running_steps().iter().any(|key| key.stage == index);
        if !matches!(stage.status, StageStatus::Running { .. }) || stage.has_begun() || runs {
            return Err(illegal_in(stage, "another look at its databases"));
        }
        let agreed: BTreeMap<_, _> = stage.agreed().into_iter().map(|a| (a.database.clone(), a)).collect();
        for target in self.stage_mut(index)?.targets.all_mut() {
            let former = agreed.get(&target.database).cloned();
            target.refresh(former);
        }
        Ok(())
    }

    pub(super) fn override_window(
        &mut self,
        index: StageIndex,
        word: WindowOverride,
    ) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        let stage = self.stage_mut(index)?;
        if matches!(stage.status, StageStatus::Ended { .. }) {
            return Err(illegal_in(stage, "an override of its windows"));
        }
        if stage.spec.calendar.is_empty() {
            return Err(GateRefusal::NoWindow { environment: stage.spec.environment.clone() }.into());
        }
        stage.gates.overridden = Some(word);
        Ok(())
    }

    pub(super) fn start_hook(
        &mut self,
        index: StageIndex,
        hook: &HookName,
        attempt: Attempt,
        at: Timestamp,
    ) -> Result<(), IllegalEvent> {
        self.going_on()?;
        let stage = self.stage_mut(index)?;
        let before = stage.gates.hooks.get(hook).map_or(0, |run| run.attempt.0);
        let waits = stage.gates.hooks.get(hook).is_some_and(|run| !run.again);
        let known = stage.spec.hooks.iter().find(|known| known.name == *hook);
        let has_its_place = known.is_some_and(|known| stage.may_wait_for(known));
        if !has_its_place || waits || attempt.0 != before + 1 {
            return Err(illegal_in(stage, "the start of a hook"));
        }
        stage.gates.hooks.insert(hook.clone(), HookRun { attempt, since: at, ended: None, again: false });
        Ok(())
    }

    pub(super) fn finish_hook(
        &mut self,
        index: StageIndex,
        hook: &HookName,
        attempt: Attempt,
        end: HookEnd,
    ) -> Result<(), IllegalEvent> {
        self.not_ended()?;
        let stage = self.stage_mut(index)?;
        let (environment, name) = (stage.spec.environment.clone(), hook.clone());
        let Some(spec) = stage.spec.hooks.iter().find(|known| known.name == *hook) else {
            let hooks = stage.spec.hooks.iter().map(|hook| hook.name.clone()).collect();
            return Err(GateRefusal::NoHook { environment, name, hooks }.into());
        };
        let passes = matches!(end.outcome, HookOutcome::Passed { .. });
        if passes && !spec.is_external() && matches!(end.by, Actor::Operator(_)) {
            return Err(GateRefusal::HookIsCalled { environment, name }.into());
        }
        let waits = stage.may_wait_for(spec);
        match stage.gates.hooks.get_mut(hook) {
            Some(HookRun { ended: Some(former), .. }) => {
                let how =
                    if matches!(former.outcome, HookOutcome::Passed { .. }) { "passed" } else { "failed" };
                Err(GateRefusal::HookEnded { environment, name, how, by: former.by.clone() }.into())
            }
            Some(_) if !waits => Err(GateRefusal::HookPast { environment, name }.into()),
            Some(run) if run.attempt == attempt => {
                run.ended = Some(end);
                Ok(())
            }
            _ => Err(GateRefusal::HookNotBegun { environment, name }.into()),
        }
    }

    /// The stage, where this person may still say yes or no to it.
    fn check_word(
        &self,
        index: StageIndex,
        by: &OperatorName,
        groups: &[GroupName],
    ) -> Result<&Stage, IllegalEvent> {
        self.not_ended()?;
        if self.cancelling.is_some() {
            return Err(IllegalEvent::Cancelling);
        }
        let stage = self.stage(index).ok_or(IllegalEvent::NoStage(index))?;
        self.approving(stage, by, groups).check()?;
        let environment = stage.spec.environment.clone();
        match stage.status {
            StageStatus::Pending => Err(GateRefusal::NotPlanned { environment }.into()),
            _ if stage.has_begun() => Err(GateRefusal::Begun { environment }.into()),
            StageStatus::Running { .. } => Ok(stage),
            _ => Err(illegal_in(stage, "an approval")),
        }
    }

    fn approving<'a>(
        &'a self,
        stage: &'a Stage,
        by: &'a OperatorName,
        groups: &'a [GroupName],
    ) -> Approving<'a> {
        Approving { spec: &stage.spec, creator: &self.by, by, groups }
    }
}
