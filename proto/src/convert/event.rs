//! The events of a deployment and their records.

use stopover_model::event::{Actor, DeploymentKind, DeploymentOutcome, Event, Record, StageOutcome};

use super::error::InvalidWire;
use super::field::{
    default_enumeration, digest, enumeration, from_one, message, messages, name, names, optional_message,
    optional_name, optional_text, plain, timestamp,
};
use super::step::{attempt, epoch, seq, stage};
use crate::v1;

wire_message!(Record { deployment: name, seq: seq, at: timestamp, event: message });

wire_choice!(Event, event {
    "created" Created {
        pipeline: message,
        migrations: messages,
        digest: digest,
        by: name,
        lint: messages,
        again: optional_text,
        kind: default_enumeration,
        restore_saved: plain,
    },
    "stage_started" StageStarted { stage: stage, databases: names, waves: plain },
    "step_started" StepStarted { step: message, attempt: attempt, epoch: epoch, agent: name },
    "step_logged" StepLogged { step: message, attempt: attempt, run: name, line_number: from_one, line: message },
    "step_finished" StepFinished { step: message, attempt: attempt, outcome: message },
    "planned" Planned { stage: stage, plan: message },
    "plan_refused" PlanRefused { stage: stage, database: name, error: message },
    "soak_started" SoakStarted { stage: stage, until: timestamp },
    "rollback_started" RollbackStarted { stage: stage, cause: plain, by: message, to: optional_name },
    "rollback_failed" RollbackFailed { stage: stage, cause: plain },
    "stage_finished" StageFinished { stage: stage, outcome: enumeration },
    "waiting_changed" WaitingChanged { waiting: optional_message },
    "paused" Paused { cause: plain, by: message },
    "resumed" Resumed { by: message, databases: names },
    "resolved" Resolved { step: message, resolution: enumeration, by: message },
    "cancel_requested" CancelRequested { by: message },
    "finished" Finished { outcome: enumeration },
    "throttled" Throttled { throttle: message, by: message },
    "approved" Approved { stage: stage, by: name, groups: names, digest: digest, reason: plain },
    "rejected" Rejected { stage: stage, by: name, groups: names, reason: plain },
    "approvals_voided" ApprovalsVoided { stage: stage, why: plain },
    "ticked" Ticked { stage: stage, item: plain, by: name },
    "stage_refreshed" StageRefreshed { stage: stage, why: plain },
    "window_overridden" WindowOverridden { stage: stage, by: name, reason: plain },
    "hook_started" HookStarted { stage: stage, hook: name, attempt: attempt },
    "hook_finished" HookFinished { stage: stage, hook: name, attempt: attempt, outcome: message, by: message },
    "fleet_changed" FleetChanged { stage: stage, joined: names, left: names },
    "database_left_out" DatabaseLeftOut { stage: stage, database: name, by: message, reason: plain },
});

wire_enum!(StageOutcome { Succeeded, Failed, RolledBack, RollbackFailed });
wire_enum!(DeploymentOutcome { Succeeded, Failed, Cancelled, RolledBack, RollbackFailed });

wire_enum!(DeploymentKind { Migration, Rehearsal });

impl From<Actor> for v1::Actor {
    fn from(actor: Actor) -> Self {
        let kind = match actor {
            Actor::Operator(operator) => v1::actor::Kind::Operator(name::write(operator)),
            Actor::Pipeline => v1::actor::Kind::Pipeline(true),
            Actor::Hook(hook) => v1::actor::Kind::Hook(name::write(hook)),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::Actor> for Actor {
    type Error = InvalidWire;

    fn try_from(wire: v1::Actor) -> Result<Self, InvalidWire> {
        match wire.kind.ok_or_else(|| InvalidWire::missing("kind"))? {
            v1::actor::Kind::Operator(operator) => Ok(Self::Operator(name::read(operator, "operator")?)),
            v1::actor::Kind::Hook(hook) => Ok(Self::Hook(name::read(hook, "hook")?)),
            v1::actor::Kind::Pipeline(true) => Ok(Self::Pipeline),
            v1::actor::Kind::Pipeline(false) => {
                Err(InvalidWire::new("pipeline", "is false; when set, it is true"))
            }
        }
    }
}
