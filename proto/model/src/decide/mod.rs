//! What to do next: a pure function of the deployment, the world around it and the time.
//!
//! The conductor carries the commands out and asks again after each change. Nothing here waits; what is waited for is an
//! event ([`Event::WaitingChanged`]) and a time to wake up at.

mod baseline;
mod behind;
mod failure;
mod fleet;
mod fresh;
mod gates;
mod hooks;
mod prepare;
mod rollback;
mod soak;
mod stage;
mod steps;
mod window;
mod world;

use jiff::Timestamp;

pub use soak::{DueMonitors, due_monitors};
pub use world::{AgentPresence, EnvironmentView, World};

pub use crate::deployment::MOST_TRIES;
use crate::deployment::{Deployment, Stage, StageStatus, StepState};
use crate::event::{DeploymentOutcome, Event, StageIndex, StageOutcome, StepKey, StepKind, Waiting};
use crate::gate::GateWait;
use crate::id::{AgentName, Attempt, Epoch, HookName};
use crate::report::{Effect, ErrorClass, Outcome, StepError};

/// What the conductor is to do.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a handful exist at a time")]
pub enum Command {
    /// Append it to the log. Nothing after it in the list counts any more: ask again.
    Append(Event),
    /// Draw an epoch, append `StepStarted`, then ask the agent. Those that follow at once in the list count together.
    Start { step: StepKey, attempt: Attempt, agent: AgentName },
    /// The step is running according to the log, and nobody here listens to it: ask the agent again with the same attempt.
    Attach { step: StepKey, attempt: Attempt, epoch: Epoch, agent: AgentName },
    /// Ask the agent to stop it; its outcome still comes by itself.
    CancelStep { step: StepKey, attempt: Attempt },
    /// Ask the agent to leave it, if its turn has not come; its outcome still comes by itself.
    Withdraw { step: StepKey, attempt: Attempt },
    /// Call it, unless it is being called: the log says that its answer is waited for.
    CallHook { stage: StageIndex, hook: HookName, attempt: Attempt },
    /// Ask again at this time at the latest.
    WakeAt(Timestamp),
}

/// Says what to do next. An empty answer means: nothing until something happens.
#[must_use]
pub fn decide(deployment: &Deployment, world: &World, now: Timestamp) -> Vec<Command> {
    if deployment.outcome.is_some() {
        return Vec::new();
    }
    let mut next =
        Next { deployment, world, now, commands: attach_running(deployment, world), waiting: None };
    if deployment.cancelling.is_some() {
        cancel(&mut next);
    } else if let Some(pause) = &deployment.paused {
        next.waiting = Some(Waiting::Person { cause: pause.cause.clone() });
        withdraw(&mut next);
    } else {
        go_on(&mut next);
    }
    next.into_commands()
}

/// The answer while it is being put together.
struct Next<'a> {
    deployment: &'a Deployment,
    world: &'a World,
    now: Timestamp,
    commands: Vec<Command>,
    waiting: Option<Waiting>,
}

impl Next<'_> {
    fn append(&mut self, event: Event) {
        self.commands.push(Command::Append(event));
    }

    fn into_commands(mut self) -> Vec<Command> {
        let changes = self.commands.iter().any(|c| matches!(c, Command::Append(_) | Command::Start { .. }));
        // While an agent that has running work is away, that is what the deployment waits for.
        let waiting = self.waiting.take().or_else(|| running_agent_away(self.deployment, self.world));
        if !changes && waiting != self.deployment.waiting {
            self.append(Event::WaitingChanged { waiting });
        } else if changes && self.deployment.waiting.is_some() && waiting.is_none() {
            self.commands.insert(0, Command::Append(Event::WaitingChanged { waiting: None }));
        }
        self.commands
    }

    /// Says which gates are waited for, and looks again when the first of them ends by itself.
    fn wait_at_gates(&mut self, stage: &Stage, gates: Vec<GateWait>) {
        if let Some(at) = gates.iter().filter_map(GateWait::until).min() {
            self.commands.push(Command::WakeAt(at));
        }
        self.waiting = Some(Waiting::Gates { environment: stage.spec.environment.clone(), gates });
    }

    /// Starts a step where its agent is here; says what is waited for where it isn't.
    fn start(&mut self, stage: &Stage, step: StepKey) -> bool {
        let tries = self.deployment.step(&step).map_or(0, |s| s.attempts);
        match self.world.presence(&stage.spec.environment, &step.database) {
            Some(AgentPresence::Connected(agent)) => {
                self.commands.push(Command::Start {
                    step,
                    attempt: Attempt(tries + 1),
                    agent: agent.clone(),
                });
                return true;
            }
            Some(AgentPresence::Away(agent)) => {
                self.waiting = Some(Waiting::AgentAway {
                    environment: stage.spec.environment.clone(),
                    database: step.database,
                    agent: agent.clone(),
                });
            }
            None => {
                self.waiting = Some(Waiting::NoAgent {
                    environment: stage.spec.environment.clone(),
                    database: Some(step.database),
                });
            }
        }
        false
    }
}

fn go_on(next: &mut Next<'_>) {
    let deployment = next.deployment;
    let open = deployment.indexed_stages().find(|(_, s)| s.is_open());
    if let Some((index, stage)) = open {
        match &stage.status {
            StageStatus::Running { .. } => stage::run(next, index, stage),
            StageStatus::Soaking { until, .. } => soak::run(next, index, stage, *until),
            StageStatus::RollingBack { .. } => rollback::run(next, index, stage),
            StageStatus::RollbackFailed { cause, .. } => {
                next.waiting = Some(Waiting::Person { cause: cause.clone() });
            }
            StageStatus::Pending | StageStatus::Ended { .. } => {}
        }
        return;
    }
    match deployment.indexed_stages().find(|(_, s)| !ended_well(s)) {
        Some((index, stage)) => match stage.status {
            StageStatus::Ended { outcome, .. } => {
                // Whatever came of the other stages: where taking back failed, a person must look.
                let outcome = if deployment.stages.iter().any(rollback_failed) {
                    StageOutcome::RollbackFailed
                } else {
                    outcome
                };
                next.append(Event::Finished { outcome: outcome_of(outcome) });
            }
            _ => stage::begin(next, index, stage),
        },
        None => next.append(Event::Finished { outcome: DeploymentOutcome::Succeeded }),
    }
}

fn ended_well(stage: &Stage) -> bool {
    matches!(stage.status, StageStatus::Ended { outcome: StageOutcome::Succeeded, .. })
}

fn rollback_failed(stage: &Stage) -> bool {
    matches!(
        stage.status,
        StageStatus::RollbackFailed { .. } | StageStatus::Ended { outcome: StageOutcome::RollbackFailed, .. }
    )
}

fn outcome_of(stage: StageOutcome) -> DeploymentOutcome {
    match stage {
        StageOutcome::Succeeded => DeploymentOutcome::Succeeded,
        StageOutcome::Failed => DeploymentOutcome::Failed,
        StageOutcome::RolledBack => DeploymentOutcome::RolledBack,
        StageOutcome::RollbackFailed => DeploymentOutcome::RollbackFailed,
    }
}

/// Running steps that nobody here listens to, and whose agent is here.
fn attach_running(deployment: &Deployment, world: &World) -> Vec<Command> {
    let attach = |key: StepKey| {
        let environment = &deployment.stage(key.stage)?.spec.environment;
        let StepState::Running { attempt, epoch, .. } = &deployment.step(&key)?.state else {
            return None;
        };
        match world.presence(environment, &key.database) {
            Some(AgentPresence::Connected(agent)) if !world.in_flight.contains(&key) => {
                Some(Command::Attach { step: key, attempt: *attempt, epoch: *epoch, agent: agent.clone() })
            }
            _ => None,
        }
    };
    deployment.running_steps().into_iter().filter_map(attach).collect()
}

/// What stands behind a running migration goes no further while a person is waited for.
fn withdraw(next: &mut Next<'_>) {
    for step in next.deployment.running_steps() {
        let state = next.deployment.step(&step).map(|s| &s.state);
        if let Some(StepState::Running { attempt, behind: true, .. }) = state
            && next.world.in_flight.contains(&step)
        {
            next.commands.push(Command::Withdraw { attempt: *attempt, step });
        }
    }
}

fn running_agent_away(deployment: &Deployment, world: &World) -> Option<Waiting> {
    deployment.running_steps().into_iter().find_map(|key| {
        let environment = deployment.stage(key.stage)?.spec.environment.clone();
        match world.presence(&environment, &key.database) {
            _ if world.in_flight.contains(&key) => None,
            Some(AgentPresence::Connected(_)) => None,
            Some(AgentPresence::Away(agent)) => {
                Some(Waiting::AgentAway { environment, database: key.database, agent: agent.clone() })
            }
            None => Some(Waiting::NoAgent { environment, database: Some(key.database) }),
        }
    })
}

fn cancel(next: &mut Next<'_>) {
    let running = next.deployment.running_steps();
    if running.is_empty() {
        // A rollback that is given up has failed, whoever ends it.
        let given_up = next.deployment.stages.iter().any(Stage::rollback_failed);
        let outcome = if given_up { DeploymentOutcome::RollbackFailed } else { DeploymentOutcome::Cancelled };
        next.append(Event::Finished { outcome });
        return;
    }
    for step in running {
        cancel_step(next, step);
    }
}

/// Asks the agent to stop a step. Where the agent is away nobody can be asked: what may have had an effect is UNKNOWN.
fn cancel_step(next: &mut Next<'_>, step: StepKey) {
    let Some(StepState::Running { attempt, .. }) = next.deployment.step(&step).map(|s| &s.state) else {
        return;
    };
    let attempt = *attempt;
    let environment = next.deployment.stage(step.stage).map(|s| &s.spec.environment);
    let here = environment
        .and_then(|e| next.world.presence(e, &step.database))
        .is_some_and(|p| matches!(p, AgentPresence::Connected(_)));
    if here || next.world.in_flight.contains(&step) {
        next.commands.push(Command::CancelStep { step, attempt });
        return;
    }
    let error = StepError::new(ErrorClass::Cancelled, "cancelled while its agent was away");
    let outcome = match step.kind {
        StepKind::Migrate | StepKind::Rollback => Outcome::Unknown {
            error: error.with_effect(Effect::Possible).with_hint(
                "the agent may still be at work: look at the database, or roll back when the agent is here",
            ),
        },
        _ => Outcome::Failed { error, report: None },
    };
    next.append(Event::StepFinished { step, attempt, outcome });
}

/// The steps of a stage that are under way.
fn running_in(deployment: &Deployment, index: StageIndex) -> Vec<StepKey> {
    deployment.running_steps().into_iter().filter(|k| k.stage == index).collect()
}

#[cfg(test)]
mod tests;
