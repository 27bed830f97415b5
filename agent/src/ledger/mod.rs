//! What the product knows of a database, kept in that database: which migrations took effect, how far an unfinished one
//! got, and who may write now.
//!
//! The ledger is the authority. A row is written in the transaction of the effect that it stands for, so that a lost
//! connection, a killed agent or a failover can't part them. Nothing here decides what runs next.
//!
//! ```text
//! exclusion: session lock, orphans proven gone ──> fence: newest epoch wins ──> rows: migration, statement, history
//! ```

mod at_once;
mod backfill;
pub mod exclusion;
mod fence;
mod read;
mod record;
mod remembered;
mod schema;
mod write;

use stopover_model::id::{AgentName, Attempt, DeploymentId, Epoch, RunId};

pub use at_once::{AppliedAtOnce, Opened, apply_at_once, flush, look_behind, open_at_once};
pub use backfill::{
    BackfillRange, Batch, add_backfill, advance_backfill, backfill_ranges, next_backfill_pass,
};
pub use fence::{hold_fence, take_fence};
pub use read::{
    MigrationRow, MigrationState, RolledBack, StatementRow, entries, migration, rolled_back_by, statements,
};
pub use record::{existing, record};
pub use remembered::{
    Changed, KnownBy, KnownObject, Remembered, add_acceptance, change_begins, change_ended_unseen,
    change_forgotten, differing, known_objects, remember, remember_changed, remembered, remembers,
    settle_schema,
};
pub use schema::{SCHEMA, ensure};
pub use write::*;

use crate::step::StepContext;

/// In whose name a row is written.
#[derive(Debug, Clone)]
pub struct Author {
    pub agent: AgentName,
    pub deployment: DeploymentId,
    pub attempt: Attempt,
    pub epoch: Epoch,
    pub run: RunId,
}

impl Author {
    #[must_use]
    pub fn of(context: &StepContext) -> Self {
        Self {
            agent: context.agent.clone(),
            deployment: context.deployment.clone(),
            attempt: context.attempt,
            epoch: context.epoch,
            run: context.run.clone(),
        }
    }

    pub(crate) fn epoch(&self) -> i64 {
        i64::try_from(self.epoch.0).unwrap_or(i64::MAX)
    }

    pub(crate) fn attempt(&self) -> i64 {
        i64::from(self.attempt.0)
    }
}

/// Which way a script goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
}

impl Direction {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}
