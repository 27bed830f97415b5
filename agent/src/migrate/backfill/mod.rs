//! A statement in batches: each a transaction over a range of the key with the range's new place in the ledger inside, so
//! that whatever is killed, each row is touched once.
//!
//! The end is fixed when it begins; rows that come later are none of its business. Where the statement makes its own
//! condition false, a last look finds what came behind the batches all the same. Between two batches nothing is held.
//!
//! ```text
//! walk (table, key) ─> ranges in the ledger ─> workers: cut ─> batch of each lane ─> rest ─> … ─> last look ─> the
//! statement's own row
//! ```

mod batch;
mod campaign;
mod cut;
mod key;
mod lanes;
mod meter;
mod plan;
mod signals;
mod vacuum;
mod weather;
mod worker;

pub(super) use campaign::Campaign;
pub(super) use signals::Probe;

use stopover_model::backfill::{Directive, analyse};
use stopover_model::report::{Effect, ErrorClass, StepError};

use super::Engine;
use super::job::ScriptStep;
use super::stop::Stop;
use super::together;
use super::transaction::{begin, commit, own_settings};
use super::writes::{ended, write};
use crate::ledger::StatementKey;
use crate::postgres::{Purpose, Session, SessionName};

/// How often it is looked for rows that came behind the batches.
const MOST_PASSES: i32 = 5;

/// Runs the statement, or the rest of it. Gives the rows that it touched in all.
pub(super) async fn run(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    directive: &Directive,
) -> Result<u64, Stop> {
    let batchable = analyse(step.statement.text).map_err(|refusal| {
        let error = StepError::new(ErrorClass::Setup, format!("the backfill can't run: {}", refusal.reason));
        Stop::failed(error.with_hint(refusal.hint))
    })?;
    let walk = key::walk(session, &batchable, directive).await.map_err(|none| match none {
        key::NoWalk::Query(error) => Stop::query(error, "look for the backfill's key"),
        key::NoWalk::Refused(error) => Stop::failed(*error),
    })?;
    engine.tally.started(&engine.context.reporter, step.index);
    if let Some(witness) = engine.job.witness {
        witness.begins(step.index).await;
    }
    let began = tokio::time::Instant::now();
    let scouts = scouts(engine, directive.workers.unwrap_or(1)).await?;
    let ranges = plan::ranges(engine, session, &scouts[0], step, directive, (&walk, &batchable)).await?;
    for note in &batchable.notes {
        engine.context.reporter.message(note.clone());
    }
    if ranges.iter().any(|range| range.lane.is_some()) {
        engine.context.reporter.message(lanes::note(&batchable));
    }
    if ranges.iter().any(|range| range.batches > 0) {
        engine.effect = Effect::Partial;
        let rows: i64 = ranges.iter().map(|range| range.rows).sum();
        let text = format!("the backfill of {} goes on behind {rows} rows that are done", batchable.target);
        engine.context.reporter.message(text);
    }
    let campaign = Campaign::new(engine, step, directive, batchable, walk, &ranges);
    let outcome = campaign.run(session, &scouts, ranges).await;
    let (rows, retries) = (campaign.meter.rows(), campaign.meter.lock_retries());
    drop(campaign);
    engine.tally.lock_retries += retries;
    for scout in scouts {
        scout.close().await;
    }
    if rows > 0 {
        engine.effect = Effect::Partial;
    }
    outcome.map_err(|stop| stop.with_effect(engine.effect))?;
    finish(engine, session, step, rows).await?;
    let took = began.elapsed();
    engine.tally.finished(&engine.context.reporter, step.index, rows, took);
    if let Some(witness) = engine.job.witness {
        witness.ended(step.index, rows, took).await;
    }
    Ok(rows)
}

/// A session that looks ahead for each worker.
async fn scouts(engine: &Engine<'_>, workers: u8) -> Result<Vec<Session>, Stop> {
    let purpose =
        Purpose::reading(&SessionName::of(engine.context)).expecting_system(engine.job.system_identifier);
    let mut scouts = Vec::new();
    for _ in 0..workers.max(1) {
        let scout = engine.context.database.connect(&purpose).await;
        scouts.push(scout.map_err(|e| Stop::failed(e.into()))?);
    }
    Ok(scouts)
}

/// The statement's own row says that all of it is done.
async fn finish(
    engine: &Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    rows: u64,
) -> Result<(), Stop> {
    let finished = async {
        begin(engine, session).await?;
        own_settings(session).await?;
        together::write_rows(engine, session, &[(step.index, rows)]).await?;
        commit(engine, session).await
    };
    ended(session, finished.await).await
}

fn statement_key<'a>(engine: &'a Engine<'_>, step: &ScriptStep<'_>) -> StatementKey<'a> {
    StatementKey { id: &engine.job.migration.id, direction: engine.job.direction, index: step.index }
}
