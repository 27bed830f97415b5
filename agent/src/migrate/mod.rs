//! Runs a migration's script against a database so that each statement takes effect exactly once, whatever is killed.
//!
//! A script whose statements may share a transaction runs in one, with its ledger row inside. Any other runs statement
//! by statement: each in a transaction with its own row, or, where PostgreSQL allows none, between an intent and a done
//! row. What stands between a BEGIN and a COMMIT of the script's own runs in one transaction with all of its rows. After a crash the intent is resolved by looking at the database, never by trying blind. Rollbacks run on the same
//! engine with another script and another last word in the ledger.
//!
//! ```text
//! connect ─> session lock, orphans gone ─> ledger ─> fence ─> transaction | stepwise ─> observe ─> report
//!    └───────────────── connection lost: look again ─────────────────┘
//! ```
//!
//! Nothing here decides whether a migration should run, picks a variant, or takes a backup.

mod ahead;
mod at_once;
mod backfill;
mod catalog;
mod company;
mod engine;
mod engine_run;
mod execute;
mod guarded;
mod job;
mod keep;
mod locks;
mod look;
mod observer;
mod own;
mod parked;
mod place;
mod put_back;
mod remember;
mod seen;
mod stepwise;
mod stop;
mod tally;
mod together;
mod transaction;
mod waits;
mod whole;
mod witness;
mod writes;

use stopover_model::event::Resolution;
use stopover_model::id::{MigrationId, OperatorName};
use stopover_model::migration::Migration;
use stopover_model::pipeline::{BackfillSettings, LockSettings, SaveSettings};
use stopover_model::plan::Variant;
use stopover_model::report::{Effect, ErrorClass, MigrateReport, Outcome, StepError, StepReport};
use tokio::time::Instant;

pub(crate) use engine::{Done, Engine};
pub(crate) use job::Job;
pub use job::Limits;
pub use parked::Parking;
pub(crate) use witness::Witness;

use crate::step::StepContext;

/// What to apply, and how.
#[derive(Debug, Clone)]
pub struct MigrateWork {
    /// Its digest has been checked.
    pub migration: Migration,
    pub variant: Variant,
    pub locks: LockSettings,
    /// How fast the stage lets backfills go, and what holds them.
    pub backfill: BackfillSettings,
    /// Whether what it drops is saved, and for how long that is kept.
    pub saving: SaveSettings,
    /// Who wants the values back that earlier rollbacks of it have dropped. None: nobody.
    pub restore_saved: Option<OperatorName>,
    /// Of the cluster that was inspected; another one is refused. None: any.
    pub system_identifier: Option<String>,
    /// A person's word on the UNKNOWN outcome of an earlier attempt.
    pub resolution: Option<Resolution>,
    pub limits: Limits,
    /// Where the session waits for the deployment's next migration.
    pub parking: Parking,
    /// Whether it took effect before is all that is asked: it does not begin.
    pub only_look: bool,
    /// What has not begun by then does not begin. None: whenever it can.
    pub begin_by: Option<Instant>,
}

/// Applies the migration, or finds that it is applied.
pub async fn run(context: StepContext, work: MigrateWork) -> Outcome {
    let job = match Job::up(&work) {
        Ok(job) => job,
        Err(error) => return Outcome::Failed { error, report: None },
    };
    let statements = job.count();
    match Box::pin(Engine::new(&context, job).run()).await {
        Ok(mut done) => {
            let fingerprint_after = done.after.take().map(|after| after.digest);
            if let Some(flush) = done.flush.take() {
                // The next migration goes on from this one's look, which it changes rather than copies when nobody else holds it.
                done.before = None;
                context.pass.give();
                if !flush.wait().await {
                    return lost_before_the_disk(&work.migration.id);
                }
            }
            let report = MigrateReport {
                variant: done.row.as_ref().map_or(work.variant, |row| row.variant),
                already_applied: done.already,
                statements,
                rows: done.tally.rows,
                took: done.tally.took(),
                lock_retries: done.tally.lock_retries,
                fingerprint_before: done.row.filter(|_| !done.already).and_then(|row| row.fingerprint_before),
                fingerprint_after,
            };
            Outcome::Succeeded { report: StepReport::Migrated(report) }
        }
        Err(outcome) => outcome,
    }
}

/// Applied, and told to nobody: a server that falls before it has written that takes it back, with all that came behind it.
fn lost_before_the_disk(migration: &MigrationId) -> Outcome {
    let message =
        format!("the connection was lost before it was known whether {migration} is on the server's disk");
    let error = StepError::new(ErrorClass::Transient, message).with_effect(Effect::Possible);
    Outcome::Unknown {
        error: error.with_hint("nothing is to be done: the next try looks at the ledger first"),
    }
}
