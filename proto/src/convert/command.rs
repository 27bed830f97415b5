//! What the server asks of an agent: who asks, for what, and until when it may begin.

use jiff::Timestamp;
use stopover_model::digest::Digest;
use stopover_model::event::StepKey;
use stopover_model::id::{Attempt, DatabaseName, DeploymentId, EnvironmentName, Epoch, RunId};

use super::error::{InField, InvalidWire};
use super::field::{digest, message, name, timestamp};
use super::step::{attempt, epoch};
use crate::v1;

/// The part that every request for a step has in common; see [`v1::Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCommand {
    pub environment: EnvironmentName,
    pub deployment: DeploymentId,
    pub step: StepKey,
    pub attempt: Attempt,
    /// A database that has seen a higher one refuses.
    pub epoch: Epoch,
    /// The deployment's digest, which people agreed to.
    pub plan_digest: Digest,
    /// Work that has not begun by then is refused.
    pub not_after: Timestamp,
    /// The last line of which run the caller has; 0 is none of it.
    pub resume: Option<(RunId, u64)>,
}

/// What is asked outside of any deployment; see [`v1::Act`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAct {
    pub environment: EnvironmentName,
    pub database: DatabaseName,
    /// Its own, which is no deployment's.
    pub id: DeploymentId,
    pub epoch: Epoch,
    pub not_after: Timestamp,
}

impl From<AgentAct> for v1::Act {
    fn from(act: AgentAct) -> Self {
        Self {
            environment: name::write(act.environment),
            database: name::write(act.database),
            id: name::write(act.id),
            epoch: epoch::write(act.epoch),
            not_after: timestamp::write(act.not_after),
        }
    }
}

impl TryFrom<v1::Act> for AgentAct {
    type Error = InvalidWire;

    fn try_from(wire: v1::Act) -> Result<Self, InvalidWire> {
        Ok(Self {
            environment: name::read(wire.environment, "environment")?,
            database: name::read(wire.database, "database")?,
            id: name::read(wire.id, "id")?,
            epoch: epoch::read(wire.epoch, "epoch")?,
            not_after: timestamp::read(wire.not_after, "not_after")?,
        })
    }
}

impl From<AgentCommand> for v1::Command {
    fn from(command: AgentCommand) -> Self {
        let resume = |(run, line_number)| v1::ResumePoint { run: name::write(run), line_number };
        Self {
            environment: name::write(command.environment),
            deployment: name::write(command.deployment),
            step: message::write(command.step),
            attempt: attempt::write(command.attempt),
            epoch: epoch::write(command.epoch),
            plan_digest: digest::write(command.plan_digest),
            not_after: timestamp::write(command.not_after),
            resume: command.resume.map(resume),
        }
    }
}

impl TryFrom<v1::Command> for AgentCommand {
    type Error = InvalidWire;

    fn try_from(wire: v1::Command) -> Result<Self, InvalidWire> {
        Ok(Self {
            environment: name::read(wire.environment, "environment")?,
            deployment: name::read(wire.deployment, "deployment")?,
            step: message::read(wire.step, "step")?,
            attempt: attempt::read(wire.attempt, "attempt")?,
            epoch: epoch::read(wire.epoch, "epoch")?,
            plan_digest: digest::read(wire.plan_digest, "plan_digest")?,
            not_after: timestamp::read(wire.not_after, "not_after")?,
            resume: wire.resume.map(read_resume).transpose().in_field("resume")?,
        })
    }
}

fn read_resume(wire: v1::ResumePoint) -> Result<(RunId, u64), InvalidWire> {
    Ok((name::read(wire.run, "run")?, wire.line_number))
}
