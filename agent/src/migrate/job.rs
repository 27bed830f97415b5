//! One script to run, taken apart, with what is allowed to it.

use std::time::Duration;

use stopover_model::backfill::Directive;
use stopover_model::event::Resolution;
use stopover_model::id::OperatorName;
use stopover_model::migration::{Block, Migration, Rerun, Script};
use stopover_model::pipeline::{BackfillSettings, LockSettings, SaveSettings};
use stopover_model::plan::Variant;
use stopover_model::report::{ErrorClass, StepError};
use stopover_model::sql::{Drop, Statement, StatementKind, TransactionModes, is_session_setting};
use tokio::time::Instant;

use super::{MigrateWork, Parking, Witness};
use crate::ledger::Direction;

/// How long things may take. The defaults are meant for real databases.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a COMMIT may take before it counts as lost: it waits for ever for a synchronous standby that is gone.
    pub commit_deadline: Duration,
    /// How long an orphan of an earlier run may take to end by itself.
    pub orphan_grace: Duration,
    /// For how long a lost database is tried again within one attempt.
    pub reconnect: Duration,
    /// Tables of so many bytes are copied ahead of what drops them. None: of what is worth it.
    pub copy_ahead_from: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            commit_deadline: Duration::from_mins(1),
            orphan_grace: Duration::from_secs(2),
            reconnect: Duration::from_secs(30),
            copy_ahead_from: None,
        }
    }
}

/// A script and which way it goes.
pub(crate) struct Job<'a> {
    pub(super) direction: Direction,
    pub(crate) migration: &'a Migration,
    /// Of what is applied; for a rollback the ledger says which it was.
    pub(super) variant: Variant,
    pub(super) script: &'a Script,
    /// Of the migration, for messages: `001_x/up.sql`, or the file that another tool reads.
    pub(super) file: String,
    pub(super) steps: Vec<ScriptStep<'a>>,
    pub(super) one_transaction: bool,
    /// Of the one transaction.
    pub(super) modes: TransactionModes,
    /// Where there is more than one: those that the script itself begins and ends.
    pub(super) blocks: Vec<Block>,
    pub(super) locks: LockSettings,
    /// How fast the stage lets backfills go, and what holds them.
    pub(crate) backfill: BackfillSettings,
    pub(super) saving: SaveSettings,
    /// Who wants the values back that earlier rollbacks of it have dropped.
    pub(super) restore_saved: Option<&'a OperatorName>,
    pub(super) system_identifier: Option<&'a str>,
    pub(crate) resolution: Option<Resolution>,
    pub(super) limits: Limits,
    /// None: the session is closed at the end.
    pub(super) parking: Option<&'a Parking>,
    /// The script is not to run.
    pub(super) only_look: bool,
    /// What has not begun by then does not begin.
    pub(super) begin_by: Option<Instant>,
    /// Who looks at it from beside.
    pub(crate) witness: Option<&'a Witness>,
}

/// A statement of the script.
#[derive(Debug)]
pub(super) struct ScriptStep<'a> {
    pub(super) index: u32,
    pub(super) statement: Statement<'a>,
    pub(super) kind: StatementKind,
    /// It can't share a transaction, not even with its own ledger row.
    pub(super) own: bool,
    /// It is run in batches.
    pub(super) backfill: Option<Directive>,
    /// What it names to drop or to empty.
    pub(super) drops: Vec<Drop>,
    /// What goes with that is saved before.
    pub(super) kept: bool,
}

impl<'a> Job<'a> {
    pub(crate) fn up(work: &'a MigrateWork) -> Result<Self, StepError> {
        let migration = &work.migration;
        let script = match work.variant {
            Variant::Standard => &migration.up,
            Variant::Batched => migration.batch.as_ref().ok_or_else(|| {
                let message = format!("{} has no up.batch.sql, and the plan asks for it", migration.id);
                StepError::new(ErrorClass::Setup, message).with_hint("plan and deploy anew")
            })?,
        };
        let mut job = Self::new(
            Direction::Up,
            migration,
            script,
            work.variant.file(),
            work.locks,
            work.saving,
            work.limits,
        );
        job.variant = work.variant;
        job.backfill = work.backfill.clone();
        job.system_identifier = work.system_identifier.as_deref();
        job.resolution = work.resolution;
        job.parking = Some(&work.parking);
        job.only_look = work.only_look;
        job.begin_by = work.begin_by;
        job.restore_saved = work.restore_saved.as_ref();
        Ok(job)
    }

    pub(crate) fn down(
        migration: &'a Migration,
        script: &'a Script,
        locks: LockSettings,
        saving: SaveSettings,
        system_identifier: Option<&'a str>,
        limits: Limits,
    ) -> Self {
        let mut job = Self::new(Direction::Down, migration, script, "down.sql", locks, saving, limits);
        job.system_identifier = system_identifier;
        job
    }

    /// Only the ledger is written: what the script was to do is done.
    pub(crate) fn run_nothing(&mut self) {
        (self.steps, self.blocks) = (Vec::new(), Vec::new());
        (self.one_transaction, self.modes) = (true, TransactionModes::default());
    }

    /// How many statements the script has.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// The index of the last statement.
    pub(super) fn last(&self) -> u32 {
        self.count().saturating_sub(1)
    }

    pub(super) fn rerun_is_safe(&self) -> bool {
        self.migration.manifest.rerun == Rerun::Safe
    }

    fn new(
        direction: Direction,
        migration: &'a Migration,
        script: &'a Script,
        file: &str,
        locks: LockSettings,
        saving: SaveSettings,
        limits: Limits,
    ) -> Self {
        let saves = saving.save && !migration.manifest.no_save;
        let statements = script.statements();
        let transactions = script.transactions();
        let steps: Vec<_> = (0..)
            .zip(statements)
            .map(|(index, statement)| ScriptStep {
                index,
                statement,
                kind: statement.kind(),
                own: statement.transactionality().is_own(),
                backfill: script.backfill(&statement),
                drops: statement.drops(),
                kept: saves && !script.saves_nothing(&statement),
            })
            .collect();
        Self {
            direction,
            migration,
            variant: Variant::Standard,
            script,
            file: migration.file_name(file),
            one_transaction: transactions.whole.is_some(),
            modes: transactions.whole.unwrap_or_default(),
            blocks: transactions.blocks,
            steps,
            locks,
            backfill: BackfillSettings::default(),
            saving,
            restore_saved: None,
            system_identifier: None,
            resolution: None,
            limits,
            parking: None,
            only_look: false,
            begin_by: None,
            witness: None,
        }
    }
}

impl ScriptStep<'_> {
    /// It changes nothing but the session, so a new session needs it again.
    pub(super) fn is_setting(&self) -> bool {
        is_session_setting(&self.statement)
    }

    /// "statement 2 (line 12)"
    pub(super) fn name(&self) -> String {
        format!("statement {} (line {})", self.index + 1, self.statement.line)
    }
}
