//! The events of a deployment: what happened, in order, for ever.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::actor::Actor;
use crate::backfill::Throttle;
use crate::digest::Digest;
use crate::follow_up::FollowUpKey;
use crate::gate::{GateWait, HookOutcome};
use crate::id::{
    AgentName, Attempt, DatabaseName, DeploymentId, EnvironmentName, Epoch, GroupName, HookName, MigrationId,
    OperatorName, RunId, Seq,
};
use crate::lint::LintFinding;
use crate::pipeline::Pipeline;
use crate::plan::{MigrationSummary, TargetPlan};
use crate::report::{LogLine, Outcome, StepError, StepReport};
use crate::wave::Selector;

/// One event with its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub deployment: DeploymentId,
    pub seq: Seq,
    pub at: Timestamp,
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "the largest is a log's first, and few are in memory at a time"
)]
pub enum Event {
    Created {
        pipeline: Pipeline,
        migrations: Vec<MigrationSummary>,
        /// Over the pipeline and the migrations: what people agreed to.
        digest: Digest,
        by: OperatorName,
        /// What the linter found, of what some stage does not allow.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lint: Vec<LintFinding>,
        /// Why it may apply what was rolled back before, as the one who deploys said it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<String>,
        #[serde(default, skip_serializing_if = "DeploymentKind::is_migration")]
        kind: DeploymentKind,
        /// What earlier rollbacks of the migrations have dropped is put back once they are applied.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        restore_saved: bool,
    },
    /// The stage begins with these databases; nobody else migrates in its environment until it ends.
    StageStarted {
        stage: StageIndex,
        /// In the order in which they are migrated.
        databases: Vec<DatabaseName>,
        /// How many of them are in each wave, in that order. Empty: all are one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        waves: Vec<u32>,
    },
    /// Which databases the stage would begin with now is not what it began with: those that came are not migrated by it.
    FleetChanged {
        stage: StageIndex,
        joined: Vec<DatabaseName>,
        left: Vec<DatabaseName>,
    },
    /// A person goes on without a database in which nothing has happened.
    DatabaseLeftOut {
        stage: StageIndex,
        database: DatabaseName,
        by: Actor,
        /// May be empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// Written before the agent is asked, so that a restarted server knows what may be under way.
    StepStarted {
        step: StepKey,
        attempt: Attempt,
        epoch: Epoch,
        agent: AgentName,
    },
    StepLogged {
        step: StepKey,
        attempt: Attempt,
        /// The agent's run and the line's place in it, from 1: a line sent twice is known by them.
        run: RunId,
        line_number: u64,
        line: LogLine,
    },
    StepFinished {
        step: StepKey,
        attempt: Attempt,
        outcome: Outcome,
    },
    Planned {
        stage: StageIndex,
        plan: TargetPlan,
    },
    /// What was found in the database forbids going on.
    PlanRefused {
        stage: StageIndex,
        database: DatabaseName,
        error: StepError,
    },
    SoakStarted {
        stage: StageIndex,
        until: Timestamp,
    },
    /// The stage failed, or a person asked: its changes are taken back from here on.
    RollbackStarted {
        stage: StageIndex,
        cause: String,
        by: Actor,
        /// This migration and those before it stay; None: all are taken back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<MigrationId>,
    },
    /// Taking back came to a stop: the stage stays as it is, and keeps its environment, until a person decides.
    RollbackFailed {
        stage: StageIndex,
        cause: String,
    },
    StageFinished {
        stage: StageIndex,
        outcome: StageOutcome,
    },
    /// What the deployment waits for has changed; None when it waits for nothing.
    WaitingChanged {
        waiting: Option<Waiting>,
    },
    Paused {
        cause: String,
        by: Actor,
    },
    Resumed {
        by: Actor,
        /// Only what failed in these is tried again. Empty: all goes on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        databases: Vec<DatabaseName>,
    },
    /// A person looked at an UNKNOWN step, or at a rollback that failed, and says what is true.
    Resolved {
        step: StepKey,
        resolution: Resolution,
        by: Actor,
    },
    CancelRequested {
        by: Actor,
    },
    /// How fast backfills may go from here on, as a person has it: the whole of that wish.
    Throttled {
        throttle: Throttle,
        by: Actor,
    },
    /// A person has seen the stage's plans, and agrees to them.
    Approved {
        stage: StageIndex,
        by: OperatorName,
        /// That the token which was used is in.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<GroupName>,
        /// Of the stage's plans, as they were seen.
        digest: Digest,
        /// May be empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// A person does not agree: the deployment is held until it is resumed, and then has to be approved anew.
    Rejected {
        stage: StageIndex,
        by: OperatorName,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<GroupName>,
        reason: String,
    },
    /// The plan is not what the approvals were given for.
    ApprovalsVoided {
        stage: StageIndex,
        why: String,
    },
    /// A person says that an item of the stage's checklist is done.
    Ticked {
        stage: StageIndex,
        item: String,
        by: OperatorName,
    },
    /// What was found in the stage's databases is too old to go by: they are inspected, planned and backed up anew.
    StageRefreshed {
        stage: StageIndex,
        why: String,
    },
    /// An administrator lets the stage go on outside of its windows.
    WindowOverridden {
        stage: StageIndex,
        by: OperatorName,
        reason: String,
    },
    /// Written before a hook is called, or waited for.
    HookStarted {
        stage: StageIndex,
        hook: HookName,
        attempt: Attempt,
    },
    HookFinished {
        stage: StageIndex,
        hook: HookName,
        attempt: Attempt,
        outcome: HookOutcome,
        by: Actor,
    },
    Finished {
        outcome: DeploymentOutcome,
    },
}

/// What a deployment is there for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentKind {
    /// To apply migrations.
    #[default]
    Migration,
    /// To rehearse them on a copy. Nothing is ever applied in its name.
    Rehearsal,
}

/// The place of a stage in its pipeline, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageIndex(pub u32);

/// A step's address in a deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepKey {
    pub stage: StageIndex,
    pub database: DatabaseName,
    pub kind: StepKind,
    /// For the kinds that concern one migration.
    pub migration: Option<MigrationId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Inspect,
    Backup,
    /// Of all migrations that are to be applied, on a copy of the database.
    Rehearse,
    /// Of one migration.
    Migrate,
    /// Of one migration.
    Verify,
    /// Of one migration: its monitors, again and again through the soak; without one: the stage's own.
    Monitor,
    /// Reads what PostgreSQL has counted, when the soak begins and when it ends.
    Measure,
    /// The backup before a rollback.
    RollbackBackup,
    /// Of one migration.
    Rollback,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageOutcome {
    Succeeded,
    /// It failed, and there was nothing to take back.
    Failed,
    RolledBack,
    /// Taking it back failed as well: a person must look.
    RollbackFailed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentOutcome {
    Succeeded,
    Failed,
    /// Stopped by a person; what had been applied stays.
    Cancelled,
    RolledBack,
    RollbackFailed,
}

/// See [`Event::Resolved`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    Applied,
    NotApplied,
}

/// What a deployment waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Waiting {
    /// `stopover environment create` is missing.
    EnvironmentMissing {
        environment: EnvironmentName,
    },
    /// No agent has joined the environment, or none of its agents serves the database that the pipeline names.
    NoAgent {
        environment: EnvironmentName,
        database: Option<DatabaseName>,
    },
    /// No database of the environment has the labels that the stage, or one of its waves, asks for.
    NoneSelected {
        environment: EnvironmentName,
        selector: Selector,
    },
    AgentAway {
        environment: EnvironmentName,
        database: DatabaseName,
        agent: AgentName,
    },
    /// Another deployment is in the environment.
    EnvironmentHeld {
        environment: EnvironmentName,
        by: DeploymentId,
    },
    Soak {
        environment: EnvironmentName,
        until: Timestamp,
        /// Why it does not end then, or ends later than it was to.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        held: Vec<String>,
    },
    /// A step failed for a passing reason and is tried again.
    Retry {
        step: StepKey,
        at: Timestamp,
    },
    /// A follow-up of one of the migrations failed in another environment, and nobody has acknowledged it.
    FollowUp {
        follow_up: FollowUpKey,
    },
    /// A person must say how to go on.
    Person {
        cause: String,
    },
    /// The stage's gates, before its first migration or its next one; all that are closed.
    Gates {
        environment: EnvironmentName,
        gates: Vec<GateWait>,
    },
}

impl StepKey {
    #[must_use]
    pub fn target(stage: StageIndex, database: &DatabaseName, kind: StepKind) -> Self {
        Self { stage, database: database.clone(), kind, migration: None }
    }

    #[must_use]
    pub fn migration(
        stage: StageIndex,
        database: &DatabaseName,
        kind: StepKind,
        migration: &MigrationId,
    ) -> Self {
        Self { stage, database: database.clone(), kind, migration: Some(migration.clone()) }
    }
}

impl StepKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Backup => "backup",
            Self::Rehearse => "rehearse",
            Self::Migrate => "migrate",
            Self::Verify => "verify",
            Self::Monitor => "monitor",
            Self::Measure => "measure",
            Self::RollbackBackup => "rollback backup",
            Self::Rollback => "rollback",
        }
    }

    /// Whether a step of this kind can have this report.
    #[must_use]
    pub fn reports(self, report: &StepReport) -> bool {
        match report {
            StepReport::Inspected(_) => self == Self::Inspect,
            StepReport::BackedUp(_) => matches!(self, Self::Backup | Self::RollbackBackup),
            StepReport::Migrated(_) => self == Self::Migrate,
            StepReport::Verified(_) => matches!(self, Self::Verify | Self::Monitor),
            StepReport::RolledBack(_) => self == Self::Rollback,
            StepReport::Rehearsed(_) => self == Self::Rehearse,
            StepReport::Measured(_) => self == Self::Measure,
        }
    }
}

impl DeploymentKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
    fn is_migration(&self) -> bool {
        *self == Self::Migration
    }

    /// "deployment", "rehearsal".
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Migration => "deployment",
            Self::Rehearsal => "rehearsal",
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.migration {
            Some(migration) => write!(f, "{} {} {migration}", self.database, self.kind),
            None => write!(f, "{} {}", self.database, self.kind),
        }
    }
}

impl fmt::Display for DeploymentOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::RolledBack => "rolled back",
            Self::RollbackFailed => "rollback failed",
        })
    }
}
