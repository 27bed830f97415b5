//! Statements with their ledger rows in one transaction: a block of the file's own, or a statement that stands alone.

use stopover_model::sql::TransactionModes;

use super::Engine;
use super::guarded::guarded;
use super::job::ScriptStep;
use super::locks::LockBudget;
use super::stop::Stop;
use super::transaction::{
    Trouble, Watch, begin_as, commit_at, hold_late_fence, let_go, own_settings, still_inside,
};
use super::waits::Waits;
use crate::ledger;
use crate::postgres::Session;

/// Runs them to their COMMIT, all of them again while locks are not to be had. Gives the rows that they touched.
pub(super) async fn run(
    engine: &mut Engine<'_>,
    session: &Session,
    steps: &[ScriptStep<'_>],
    modes: TransactionModes,
) -> Result<u64, Stop> {
    let mut budget = LockBudget::new(engine.job.locks.lock_retry_for);
    loop {
        match attempt(engine, session, steps, modes).await {
            Ok(rows) => {
                engine.say_what_was_kept();
                return Ok(rows);
            }
            Err(trouble) => {
                engine.kept.clear();
                let_go(session, &trouble).await;
                match trouble {
                    Trouble::Locked { index, error } => {
                        budget.wait(engine, session, index, error, engine.effect).await?;
                    }
                    Trouble::Stop(stop) => return Err(stop),
                }
            }
        }
    }
}

async fn attempt(
    engine: &mut Engine<'_>,
    session: &Session,
    steps: &[ScriptStep<'_>],
    modes: TransactionModes,
) -> Result<u64, Trouble> {
    begin_as(engine, session, modes).await?.take_on(session).await?;
    let watch = if steps.len() > 1 { Watch::over(session, modes).await? } else { Watch::Nothing };
    let mut waits = Waits::together(engine.job.locks.lock_timeout);
    let mut done = Vec::with_capacity(steps.len());
    for step in steps {
        if engine.context.cancel.is_cancelled() {
            return Err(Stop::cancelled(engine.effect).into());
        }
        done.push((step.index, guarded(engine, session, step, &mut waits, watch).await?));
    }
    still_inside(engine, session, watch).await?;
    own_settings(session).await?;
    let last = done.last().map_or(0, |(index, _)| *index);
    hold_late_fence(engine, session, modes, last).await?;
    write_rows(engine, session, &done).await?;
    commit_at(engine, session, last).await?;
    Ok(done.iter().map(|(_, rows)| rows).sum())
}

pub(super) async fn write_rows(
    engine: &Engine<'_>,
    session: &Session,
    done: &[(u32, u64)],
) -> Result<(), Trouble> {
    let job = &engine.job;
    let written =
        ledger::statements_done(session, &engine.author, &job.migration.id, job.direction, done).await;
    written.map_err(|error| match error.sqlstate() {
        Some("23505") => {
            let why = "somebody else has run the statement".to_owned();
            Stop::LookAgain { why, in_doubt: false }.into()
        }
        _ => Trouble::ledger(
            error,
            done.last().map_or(0, |(index, _)| *index),
            "write the statement into the ledger",
        ),
    })
}
