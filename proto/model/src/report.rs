//! What an agent reports of its work: the results of steps, their errors and the lines in between.

mod backup;
mod rehearsal;
mod session;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::baseline::Metrics;
use crate::digest::Digest;
use crate::disk::Disks;
use crate::drift::Drift;
use crate::id::{DeploymentId, MigrationId};
use crate::impact::ScriptImpact;
use crate::migration::Variant;
use crate::rollback::taken::Taken;
use crate::saved::Saved;

pub use backup::{BackupReport, RestorePoint, RestoreProof};
pub use rehearsal::{
    ChangedRows, HeldLock, RehearsalReport, RehearsedMigration, RehearsedRun, RehearsedStatement,
};
pub use session::Session;

/// What a step found or did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum StepReport {
    Inspected(Inspection),
    BackedUp(BackupReport),
    Migrated(MigrateReport),
    Verified(VerifyReport),
    RolledBack(RollbackReport),
    Rehearsed(RehearsalReport),
    Measured(Metrics),
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The effect was seen in the database.
    Succeeded { report: StepReport },
    Failed {
        error: StepError,
        /// What was found all the same: the checks of a failed verification.
        report: Option<StepReport>,
    },
    /// Nobody can say whether the effect is there until somebody looks.
    Unknown { error: StepError },
    /// It was not begun, and nothing of it is there: the one that it was to follow did not succeed, say. It can be
    /// started again.
    NotBegun { why: String },
}

/// Why a step did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    pub class: ErrorClass,
    /// What was attempted and what went wrong, for people. Never holds a secret or a row's value.
    pub message: String,
    /// The way out.
    pub hint: Option<String>,
    /// PostgreSQL's SQLSTATE (Appendix A of its manual).
    pub sqlstate: Option<String>,
    /// The place in the SQL file.
    pub place: Option<SqlPlace>,
    /// What the step left in the database.
    pub effect: Effect,
}

/// What kind of error; decides whether it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The database or the network is away; another attempt may get through.
    Transient,
    /// The SQL or the data is wrong.
    Sql,
    /// A lock was not to be had in the time given.
    Lock,
    /// A verification or a monitor did not hold.
    Check,
    /// The same migration with other content was applied before, or the database isn't the one that was inspected.
    Drift,
    /// The agent's or the database's set-up doesn't allow the step.
    Setup,
    /// Somebody asked for it to be stopped.
    Cancelled,
    /// A newer attempt owns the database.
    Fenced,
    /// A fault of the product.
    Internal,
}

/// What a step that did not succeed left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// All was rolled back, or nothing began.
    None,
    /// Some statements took effect.
    Partial,
    /// It may have taken effect.
    Possible,
}

/// A place in an SQL file, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlPlace {
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The line of SQL.
    pub text: String,
}

/// The state of a database before anything happens: what the guide's "check current state" looks at, and more.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// As PostgreSQL says it: "15.18 (Debian 15.18-0+deb12u1)".
    pub server_version: String,
    /// 150018 for 15.18.
    pub server_version_num: u32,
    /// A standby can't be migrated.
    pub in_recovery: bool,
    /// Of the cluster; pinned for the rest of the stage.
    pub system_identifier: String,
    /// What PostgreSQL calls the database.
    pub database: String,
    pub database_bytes: u64,
    /// The tables that the migrations name, one each, in their order.
    pub tables: Vec<TableInspection>,
    /// Transactions of others older than five seconds.
    pub long_running: Vec<Session>,
    /// Locks on those tables held or awaited by others, stronger than a reader's or a writer's.
    pub locks: Vec<TableLock>,
    /// What the migrations would create and is there already although the ledger doesn't know them: "column users.a".
    pub existing: Vec<ExistingObject>,
    /// What the ledger in the database says about the deployment's migrations.
    pub ledger: Vec<LedgerEntry>,
    /// What differs from the schema as Stopover left it. None: nothing, or nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Box<Drift>>,
    /// What is worth a person's attention: a plpgsql that doesn't load, say.
    pub warnings: Vec<String>,
    /// What the scripts that are still to be applied would do there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub impacts: Vec<ScriptImpact>,
    /// Some of it could not be told; a warning says why.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unpredicted: bool,
    /// What rollbacks of these migrations have dropped there and Stopover has kept: it can be put back once they are applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<Saved>,
    /// What the migrations that are still to begin ask for beforehand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<PreCheck>,
    /// What a soak is compared with. None: nothing is to be applied, or it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Box<Metrics>>,
    /// How much is free where its server writes. None: nothing is to be applied, or nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disks: Option<Box<Disks>>,
    /// Why a backup would fail, as far as that is known beforehand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hindrances: Vec<BackupHindrance>,
}

/// Something without which a backup fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHindrance {
    pub what: String,
    pub way_out: String,
    /// Only one that is restored to be proven.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_copies: bool,
}

/// A migration's question to the database before anything is applied, and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreCheck {
    pub migration: MigrationId,
    pub result: CheckResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInspection {
    /// As the migration names it.
    pub table: String,
    pub exists: bool,
    pub rows: u64,
    /// Counted, or the statistics' estimate because counting took too long.
    pub rows_counted: bool,
    /// With indexes and TOAST.
    pub total_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLock {
    pub table: String,
    /// `AccessExclusiveLock`, …
    pub mode: String,
    pub granted: bool,
    pub holder: Session,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingObject {
    pub migration: MigrationId,
    /// `column users.onboarding_completed (boolean)`.
    pub object: String,
}

/// A migration's row in the database's own ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    pub migration: MigrationId,
    pub digest: Digest,
    pub state: LedgerState,
    pub variant: Variant,
    /// Or the act that recorded it.
    pub deployment: DeploymentId,
    /// When it was applied, or begun.
    pub at: Timestamp,
    /// Why it counts as applied, where no deployment ran it: "baseline by anna".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerState {
    /// Began statement by statement and did not end.
    Running,
    Applied,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrateReport {
    pub variant: Variant,
    /// An earlier attempt did it; this one found it in the ledger.
    pub already_applied: bool,
    pub statements: u32,
    /// Rows that the statements said they touched.
    pub rows: u64,
    #[serde(with = "crate::duration")]
    pub took: Duration,
    pub lock_retries: u32,
    /// Of the schema, before and after; None when an earlier attempt did the work.
    pub fingerprint_before: Option<Digest>,
    pub fingerprint_after: Option<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    pub checks: Vec<CheckResult>,
}

impl Inspection {
    /// The ledger's rows by their migrations.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<&MigrationId, &LedgerEntry> {
        self.ledger.iter().map(|entry| (&entry.migration, entry)).collect()
    }
}

impl VerifyReport {
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|c| c.passed)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    pub name: String,
    pub passed: bool,
    /// Nobody could be asked: it neither holds nor fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unanswered: bool,
    pub expected: String,
    pub observed: String,
    /// What a person should know: the table is so small that the planner reads it whole.
    pub note: Option<String>,
    #[serde(with = "crate::duration")]
    pub took: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackReport {
    /// The ledger had no such migration: there was nothing to take back.
    pub nothing_to_do: bool,
    pub statements: u32,
    #[serde(with = "crate::duration")]
    pub took: Duration,
    /// Whether the schema's fingerprint is what it was before the migration; None when that was not recorded.
    pub schema_restored: Option<bool>,
    /// The objects that differ, when it isn't: "index users.i is missing".
    pub differences: Vec<String>,
    /// What it took, as that was just before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub takes: Vec<Taken>,
    /// Of one that did not end: the statements that took effect, as the ledger has them; from 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<u32>,
}

/// A durable line of a running step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum LogLine {
    /// The agent's own word.
    Message { text: String },
    /// PostgreSQL's NOTICE, WARNING or INFO.
    Notice {
        severity: String,
        /// SQLSTATE.
        code: String,
        text: String,
    },
    StatementStarted {
        /// From 0, in the variant's summary.
        index: u32,
    },
    StatementFinished {
        index: u32,
        rows: u64,
        #[serde(with = "crate::duration")]
        took: Duration,
    },
    /// A lock was not to be had; the transaction let go and tries again.
    LockWait {
        index: u32,
        /// From 1.
        retry: u32,
        #[serde(with = "crate::duration")]
        again_in: Duration,
        blockers: Vec<Session>,
    },
}

/// The weather of a running step: dropped when nobody looks, never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// "copying public.users".
    pub doing: String,
    pub done: u64,
    /// 0 when not known.
    pub total: u64,
    pub unit: ProgressUnit,
    /// What a backfill has to say besides.
    pub backfill: Option<BackfillProgress>,
}

/// A backfill that is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackfillProgress {
    /// Rows that were touched, by earlier attempts too.
    pub touched: u64,
    /// Rows that were walked over in a second, lately.
    pub rows_per_second: Option<u64>,
    /// Of the batch that runs.
    pub batch_rows: u32,
    /// That the whole server has written meanwhile.
    pub wal_bytes: u64,
    /// Of the table, as the statistics know it.
    pub dead_rows: u64,
    /// Why no batch begins; empty when one may.
    pub holds: Vec<String>,
    pub held_for: Option<Duration>,
    /// How long the rest should take.
    pub left: Option<Duration>,
    /// What that is based on.
    pub left_basis: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressUnit {
    Rows,
    Bytes,
    Blocks,
    Percent,
    Checks,
}

impl StepError {
    #[must_use]
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), hint: None, sqlstate: None, place: None, effect: Effect::None }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }
}

impl Outcome {
    /// The error of a step that did not succeed.
    #[must_use]
    pub fn error(&self) -> Option<&StepError> {
        match self {
            Self::Succeeded { .. } | Self::NotBegun { .. } => None,
            Self::Failed { error, .. } | Self::Unknown { error } => Some(error),
        }
    }
}
