//! What comes before a database's first migration and changes nothing in it: inspect, plan, back up, rehearse.

use super::steps::try_step;
use super::{AgentPresence, Next, hooks};
use crate::deployment::{Stage, Target};
use crate::event::{DeploymentKind, Event, StageIndex, StepKey, StepKind};
use crate::gate::window::check_plan;
use crate::pipeline::HookStep;
use crate::plan::TargetPlan;
use crate::report::{ErrorClass, StepError};

/// The next of the steps that change nothing: inspect, plan, back up, rehearse. False when they are all done.
pub(super) fn prepare(next: &mut Next<'_>, index: StageIndex, stage: &Stage, target: &Target) -> bool {
    let key = |kind| StepKey::target(index, &target.database, kind);
    let (kind, hooked, step) = if !target.inspect.succeeded() {
        (StepKind::Inspect, HookStep::Inspect, &target.inspect)
    } else if target.plan.is_none() {
        plan(next, index, stage, target);
        return true;
    } else if !target.backup.is_done() {
        (StepKind::Backup, HookStep::Backup, &target.backup)
    } else if !target.rehearse.is_done() {
        (StepKind::Rehearse, HookStep::Rehearse, &target.rehearse)
    } else {
        return false;
    };
    if !hooks::hold_in_front(next, index, stage, hooked) {
        try_step(next, stage, key(kind), step);
    }
    true
}

fn plan(next: &mut Next<'_>, index: StageIndex, stage: &Stage, target: &Target) {
    let Some(inspection) = target.inspection() else {
        return;
    };
    if let Some(error) = listed_twice(next, stage, target) {
        next.append(Event::PlanRefused { stage: index, database: target.database.clone(), error });
        return;
    }
    let known = next.deployment.known(index, &next.world.history);
    let (database, out_of_order) = (&target.database, next.deployment.pipeline.out_of_order);
    let migrations = &next.deployment.migrations;
    let drift = &stage.spec.drift;
    let plan = TargetPlan::make(database, migrations, inspection, &known, out_of_order, drift);
    let environment = &stage.spec.environment;
    // A rehearsal applies nothing.
    let again = next.deployment.again.is_some() || next.deployment.kind == DeploymentKind::Rehearsal;
    let quarantined = if again { &[][..] } else { &next.world.quarantined };
    let plan = plan
        .and_then(|plan| plan.unless_quarantined(environment, migrations, quarantined))
        .and_then(|plan| plan.linted(environment, &next.deployment.lint))
        .and_then(|plan| plan.backed_up(inspection, &stage.spec))
        .and_then(|plan| plan.on_its_disks(inspection, &stage.spec))
        .and_then(|plan| match &stage.gates.overridden {
            Some(_) => Ok(plan),
            None => check_plan(plan, migrations, &stage.spec, next.now),
        });
    match plan {
        Ok(plan) => next.append(Event::Planned { stage: index, plan }),
        Err(error) => {
            next.append(Event::PlanRefused { stage: index, database: target.database.clone(), error });
        }
    }
}

/// One database may stand under two names, or one name in the files of two agents: nobody could say who works on it.
fn listed_twice(next: &Next<'_>, stage: &Stage, target: &Target) -> Option<StepError> {
    let environment = &stage.spec.environment;
    let agent = |target: &Target| match next.world.presence(environment, &target.database) {
        Some(AgentPresence::Connected(agent) | AgentPresence::Away(agent)) => agent.to_string(),
        None => "nobody".to_owned(),
    };
    let refused = |message: String| StepError::new(ErrorClass::Setup, message);
    let view = next.world.environments.get(environment);
    if let Some(other) = view.and_then(|view| view.disputed.get(&target.database)) {
        let message =
            format!("{} is served by two agents at once, {} and {other}", target.database, agent(target));
        return Some(refused(message).with_hint(
            "remove it from the agent.toml of one of them, restart that agent, then: stopover resume",
        ));
    }
    let twin = stage.targets.twin(target)?;
    let found = target.inspection()?;
    let message = format!(
        "{} (of the agent {}) and {} (of the agent {}) are the same database: {} in the cluster {}",
        twin.database,
        agent(twin),
        target.database,
        agent(target),
        found.database,
        found.system_identifier
    );
    Some(refused(message).with_hint(
        "remove one of them from its agent.toml, restart that agent, then: stopover resume, with --leave-out NAME for \
         the one that is gone",
    ))
}
