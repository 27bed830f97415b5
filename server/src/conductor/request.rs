//! From what an operator asks to the event that says so.

use stopover_model::backfill::Throttle;
use stopover_model::deployment::{Deployment, Stage, StageStatus, StepState};
use stopover_model::event::{Actor, Event, StageIndex, StepKey};
use stopover_model::gate::find_item;
use stopover_model::id::{Attempt, HookName, OperatorName};

use super::{ConductError, Request, ThrottleChange};

/// The event that a request becomes in the deployment's present state; `apply` says whether it is legal.
pub(super) fn event_of(
    deployment: &Deployment,
    by: OperatorName,
    request: Request,
) -> Result<Event, ConductError> {
    let person = by.clone();
    let by = Actor::Operator(by);
    Ok(match request {
        Request::Cancel => Event::CancelRequested { by },
        Request::Rollback { stage, to } => {
            let stage = stage
                .or_else(|| deployment.last_stage_with_effects())
                .ok_or_else(|| ConductError::NothingToRollBack(deployment.id.clone()))?;
            Event::RollbackStarted { stage, cause: format!("{by} asked for it"), by, to }
        }
        Request::Pause { reason } => Event::Paused { cause: reason, by },
        Request::Resume { databases } => Event::Resumed { by, databases },
        Request::LeaveOut { database, reason } => {
            let stage = running_stage(deployment);
            Event::DatabaseLeftOut { stage, database, by, reason }
        }
        Request::Throttle(change) => Event::Throttled { throttle: change.over(&deployment.throttle), by },
        Request::Resolve { step, resolution } => {
            let step = step.map_or_else(|| only_unknown(deployment), Ok)?;
            Event::Resolved { step, resolution, by }
        }
        Request::Approve { stage, groups, digest, reason } => {
            let stage = stage.unwrap_or_else(|| next_stage(deployment));
            Event::Approved { stage, by: person, groups, digest, reason }
        }
        Request::Reject { stage, groups, reason } => {
            let stage = stage.unwrap_or_else(|| next_stage(deployment));
            Event::Rejected { stage, by: person, groups, reason }
        }
        Request::OverrideWindow { stage, reason } => {
            let stage = stage.unwrap_or_else(|| next_stage(deployment));
            Event::WindowOverridden { stage, by: person, reason }
        }
        Request::AnswerHook { stage, hook, outcome } => {
            let stage = stage.unwrap_or_else(|| stage_of_hook(deployment, &hook));
            let run = deployment.stage(stage).and_then(|stage| stage.gates.hooks.get(&hook));
            // Of what was not begun there is no attempt: the deployment refuses it.
            let attempt = run.map_or(Attempt(0), |run| run.attempt);
            Event::HookFinished { stage, hook, attempt, outcome, by }
        }
        Request::Tick { stage, item } => {
            let stage = stage.unwrap_or_else(|| stage_with(deployment, &item));
            let spec = deployment.stage(stage).map(|stage| &stage.spec);
            // As the pipeline has it; what has no such item is refused by the deployment.
            let known = spec.and_then(|spec| find_item(spec, &item).ok()).map(str::to_owned);
            Event::Ticked { stage, item: known.unwrap_or(item), by: person }
        }
    })
}

/// The stage that people mean when they name none: the open one, or the one that comes next.
#[must_use]
pub fn next_stage(deployment: &Deployment) -> StageIndex {
    let ended = |stage: &Stage| matches!(stage.status, StageStatus::Ended { .. });
    let mut stages = deployment.indexed_stages();
    let next = stages.find(|(_, stage)| !ended(stage)).map(|(index, _)| index);
    next.or_else(|| deployment.indexed_stages().next_back().map(|(index, _)| index)).unwrap_or(StageIndex(0))
}

/// The stage that databases fail in.
fn running_stage(deployment: &Deployment) -> StageIndex {
    let mut stages = deployment.indexed_stages();
    let open = stages.find(|(_, stage)| stage.is_open()).map(|(index, _)| index);
    open.unwrap_or_else(|| next_stage(deployment))
}

/// The stage that waits for the hook; else one that has it.
#[must_use]
pub fn stage_of_hook(deployment: &Deployment, name: &HookName) -> StageIndex {
    let waits = |stage: &Stage| stage.gates.hooks.get(name).is_some_and(|run| run.ended.is_none());
    let has = |stage: &Stage| stage.spec.hooks.iter().any(|hook| hook.name == *name);
    let find = |fits: &dyn Fn(&Stage) -> bool| {
        let mut stages = deployment.indexed_stages();
        stages.find(|(_, stage)| fits(stage)).map(|(index, _)| index)
    };
    let open = |stage: &Stage| has(stage) && stage.is_open();
    find(&waits).or_else(|| find(&open)).or_else(|| find(&has)).unwrap_or_else(|| next_stage(deployment))
}

/// The first stage that goes on in which this item is not ticked, else the next one.
#[must_use]
pub fn stage_with(deployment: &Deployment, item: &str) -> StageIndex {
    let goes_on = |stage: &Stage| !matches!(stage.status, StageStatus::Ended { .. });
    let open =
        |stage: &Stage| find_item(&stage.spec, item).is_ok_and(|i| !stage.gates.ticked.contains_key(i));
    let mut stages = deployment.indexed_stages().filter(|(_, stage)| goes_on(stage));
    stages.find(|(_, stage)| open(stage)).map_or_else(|| next_stage(deployment), |(index, _)| index)
}

impl ThrottleChange {
    fn over(self, before: &Throttle) -> Throttle {
        let before = if self.reset { Throttle::default() } else { before.clone() };
        Throttle {
            batch_time: self.batch_time.or(before.batch_time),
            max_rate: self.max_rate.or(before.max_rate),
            pause: self.pause.or(before.pause),
            paused: self.paused.unwrap_or(before.paused),
        }
    }
}

fn only_unknown(deployment: &Deployment) -> Result<StepKey, ConductError> {
    let is_unknown =
        |key: &StepKey| matches!(deployment.step(key).map(|s| &s.state), Some(StepState::Unknown { .. }));
    let unknown = deployment
        .indexed_stages()
        .flat_map(|(index, stage)| stage.targets.iter().flat_map(move |t| t.keys(index)))
        .filter(is_unknown);
    let failed = deployment.failed_rollbacks();
    let mut unknown = unknown.chain(failed);
    match (unknown.next(), unknown.next()) {
        (Some(step), None) => Ok(step),
        (None, _) => Err(ConductError::NothingUnknown(deployment.id.clone())),
        _ => Err(ConductError::SeveralUnknown(deployment.id.clone())),
    }
}
