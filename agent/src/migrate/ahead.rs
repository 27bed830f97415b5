//! What large tables are about to lose is copied before the transaction that drops it: in batches, each committed with its
//! place, with the stage's brakes between two of them as in a backfill. The transaction holds its lock for the rest alone.
//!
//! Nothing is decided here: what was copied for nothing, since the script came to something else, is dropped again.

use std::collections::BTreeSet;
use std::time::Duration;

use stopover_model::id::SavedId;
use stopover_model::sql::{DropTarget, Name};
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;

use super::Engine;
use super::backfill::Probe;
use super::job::ScriptStep;
use super::keep;
use super::stop::Stop;
use super::transaction::{Trouble, begin, commit, own_settings};
use super::writes::{ended, write};
use crate::postgres::{Purpose, QueryError, Session, SessionName};
use crate::saved::ahead::{self, Ahead};
use crate::saved::{self, Gone, Target, WRITING};

/// What a batch should take: it holds nobody up, and nothing is done twice that takes long.
const BATCH: Duration = Duration::from_millis(500);
const FIRST_BLOCKS: i64 = 1_024;
const MOST_BLOCKS: i64 = 64 * 1_024;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// Between two tries of a batch that did not get its locks.
const PAUSE: Duration = Duration::from_millis(200);

/// Copies what the statements name, of tables that are large. What can't be copied so is copied under the lock.
pub(super) async fn copy(
    engine: &Engine<'_>,
    session: &Session,
    steps: &[ScriptStep<'_>],
) -> Result<(), Stop> {
    // What a rehearsal saves nobody waits for.
    if engine.job.witness.is_some() || !steps.iter().any(keep::keeps) {
        return Ok(());
    }
    let looking = |e| Stop::query(e, "look at what is dropped");
    let mut large: Vec<(Target, Option<Ahead>)> = Vec::new();
    for step in steps.iter().filter(|step| keep::keeps(step)) {
        let gone = named(session, step).await.map_err(looking)?;
        if gone.is_nothing() {
            continue;
        }
        let targets = saved::targets(session, &gone).await.map_err(looking)?;
        for mut target in targets.kept {
            if target.is_large(engine.job.limits.copy_ahead_from) {
                let copied = ahead::find(session, &mut target).await.map_err(looking)?;
                large.push((target, copied));
            }
        }
    }
    let used: Vec<SavedId> =
        large.iter().filter_map(|(_, copied)| Some(copied.as_ref()?.id().clone())).collect();
    write(engine, session, "drop a copy that nobody needs", ahead::drop_others(session, &used)).await?;
    for (target, copied) in large {
        all_of(engine, session, &target, copied).await?;
    }
    Ok(())
}

/// The tables and columns that the statement names to drop, as they are there now.
async fn named(session: &Session, step: &ScriptStep<'_>) -> Result<Gone, QueryError> {
    let mut gone = Gone::default();
    for drop in &step.drops {
        match &drop.target {
            DropTarget::Table { table } => gone.tables.extend(oid_of(session, table).await?),
            DropTarget::Column { table, column, .. } => {
                let Some(oid) = oid_of(session, table).await? else { continue };
                let sql = "SELECT attnum FROM pg_catalog.pg_attribute \
                           WHERE attrelid = $1 AND attname = $2 AND NOT attisdropped AND attnum > 0";
                let rows = session.query(sql, &[(&oid, Type::OID), (column, Type::TEXT)]).await?;
                let numbers: BTreeSet<i16> = rows.iter().map(|row| row.get(0)).collect();
                if !numbers.is_empty() {
                    gone.columns.entry(oid).or_default().extend(numbers);
                }
            }
            _ => {}
        }
    }
    Ok(gone)
}

async fn oid_of(session: &Session, table: &Name) -> Result<Option<u32>, QueryError> {
    let sql = "SELECT oid FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1) AND relkind = 'r'";
    let rows = session.query(sql, &[(&table.quoted(), Type::TEXT)]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// What is done in one transaction.
#[derive(Clone, Copy)]
enum Next<'a> {
    Begin,
    /// So many blocks.
    Batch(&'a Ahead, i64),
    /// What was written behind the batches.
    Follow(&'a Ahead),
}

async fn all_of(
    engine: &Engine<'_>,
    session: &Session,
    target: &Target,
    copied: Option<Ahead>,
) -> Result<(), Stop> {
    let shown = target.shown();
    let mut copied = if let Some(copied) = copied {
        let at = copied.progress();
        engine.context.reporter.message(format!("{shown}: {at} % were copied before; goes on from there"));
        copied
    } else {
        let megabytes = target.table_bytes() / 1_000_000;
        engine
            .context
            .reporter
            .message(format!("copies {shown} ahead of the drop, in batches (the table has {megabytes} MB)"));
        once(engine, session, target, Next::Begin).await?
    };
    let mut brakes = Brakes::new(engine, session, target);
    let (mut blocks, mut said) = (FIRST_BLOCKS, Instant::now());
    while !copied.is_whole() {
        brakes.wait(engine).await?;
        let began = Instant::now();
        copied = once(engine, session, target, Next::Batch(&copied, blocks)).await?;
        blocks = if began.elapsed() < BATCH / 2 { blocks * 2 } else { blocks };
        blocks = if began.elapsed() > BATCH * 2 { blocks / 2 } else { blocks };
        blocks = blocks.clamp(16, MOST_BLOCKS);
        if said.elapsed() >= BETWEEN_LINES {
            said = Instant::now();
            engine.context.reporter.message(format!("{shown}: {} % are copied", copied.progress()));
        }
    }
    brakes.close().await;
    once(engine, session, target, Next::Follow(&copied)).await.map(|_| ())
}

/// A piece of the work in a transaction of its own, tried again while a lock is not to be had.
async fn once(
    engine: &Engine<'_>,
    session: &Session,
    target: &Target,
    next: Next<'_>,
) -> Result<Ahead, Stop> {
    let began = Instant::now();
    loop {
        if engine.context.cancel.is_cancelled() {
            return Err(Stop::cancelled(engine.effect));
        }
        match attempt(engine, session, target, next).await {
            Err(trouble @ Trouble::Locked { .. }) if began.elapsed() < engine.job.locks.lock_retry_for => {
                super::transaction::let_go(session, &trouble).await;
                sleep(PAUSE).await;
            }
            tried => return ended(session, tried).await,
        }
    }
}

async fn attempt(
    engine: &Engine<'_>,
    session: &Session,
    target: &Target,
    next: Next<'_>,
) -> Result<Ahead, Trouble> {
    begin(engine, session).await?;
    own_settings(session).await?;
    let set = session.client().batch_execute(WRITING).await;
    set.map_err(|e| Stop::query(session.error(e), "copy what is dropped"))?;
    let done = match next {
        Next::Begin => ahead::begin(session, target).await,
        Next::Batch(copied, blocks) => copied.batch(session, target, blocks).await,
        Next::Follow(copied) => copied.follow(session, target).await,
    };
    let done = done.map_err(|error| match error {
        error if error.is_lock() => Trouble::Locked { index: engine.job.last(), error },
        error => Stop::query(error, "copy what is dropped").into(),
    })?;
    commit(engine, session).await?;
    Ok(done)
}

/// The stage's, looked at between two batches from a session beside.
struct Brakes {
    probe: Probe,
    table: u32,
    working: i32,
    session: Option<Session>,
    looked: Option<Instant>,
}

impl Brakes {
    fn new(engine: &Engine<'_>, working: &Session, target: &Target) -> Self {
        let table = target.oid();
        let probe = Probe::new(engine.job.backfill.brakes.clone(), table);
        Self { probe, table, working: working.identity().pid, session: None, looked: None }
    }

    /// Until nothing holds. What can't be read holds as well.
    async fn wait(&mut self, engine: &Engine<'_>) -> Result<(), Stop> {
        let mut said: Option<Instant> = None;
        if self.looked.is_some_and(|at| at.elapsed() < BETWEEN_LOOKS) {
            return Ok(());
        }
        loop {
            let holds = self.look(engine).await;
            self.looked = Some(Instant::now());
            if holds.is_empty() {
                return Ok(());
            }
            if said.is_none_or(|at| at.elapsed() >= BETWEEN_LINES) {
                said = Some(Instant::now());
                engine.context.reporter.message(format!("the copying is held: {holds}"));
            }
            tokio::select! {
                () = sleep(BETWEEN_LOOKS) => {}
                () = engine.context.cancel.cancelled() => return Err(Stop::cancelled(engine.effect)),
            }
        }
    }

    async fn look(&mut self, engine: &Engine<'_>) -> String {
        if self.session.is_none() {
            let purpose = Purpose::reading(&SessionName::of(engine.context));
            match engine.context.database.connect(&purpose).await {
                Ok(session) => self.session = Some(session),
                Err(error) => return error.to_string(),
            }
        }
        let Some(session) = &self.session else { return String::new() };
        match self.probe.look(session, &[self.working]).await {
            Ok(look) => {
                let holds = engine.job.backfill.brakes.holds(&look.signals);
                holds.iter().map(|hold| hold.text.as_str()).collect::<Vec<_>>().join("; ")
            }
            Err(error) => {
                (self.session, self.probe) =
                    (None, Probe::new(engine.job.backfill.brakes.clone(), self.table));
                error.to_string()
            }
        }
    }

    async fn close(self) {
        if let Some(session) = self.session {
            session.close().await;
        }
    }
}
