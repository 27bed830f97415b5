//! A script in one transaction, with its ledger row inside: all of it took effect, or nothing did.

use stopover_model::report::Effect;
use stopover_model::sql::TransactionModes;

use super::guarded::guarded;
use super::job::ScriptStep;
use super::locks::LockBudget;
use super::stop::Stop;
use super::transaction::{
    ScriptRole, Trouble, Watch, begin_as, claim, finish, hold_late_fence, let_go, own_settings, still_inside,
};
use super::waits::Waits;
use super::{Engine, ahead, at_once, keep, put_back};
use crate::fingerprint::{Counts, Reach};
use crate::postgres::Session;

/// Runs the script to its COMMIT, again and again while locks are not to be had.
pub(super) async fn run(engine: &mut Engine<'_>, session: &Session) -> Result<(), Stop> {
    if !engine.job.modes.one_snapshot() && engine.job.steps.iter().any(keep::keeps) {
        let steps = std::mem::take(&mut engine.job.steps);
        let copied = ahead::copy(engine, session, &steps).await;
        engine.job.steps = steps;
        copied?;
    }
    let mut budget = LockBudget::new(engine.job.locks.lock_retry_for);
    loop {
        let rows_before = engine.tally.rows;
        match attempt(engine, session).await {
            Ok(()) => {
                engine.say_what_was_kept();
                return Ok(());
            }
            Err(trouble) => {
                engine.kept.clear();
                engine.tally.rows = rows_before;
                let_go(session, &trouble).await;
                match trouble {
                    Trouble::Locked { index, error } => {
                        budget.wait(engine, session, index, error, Effect::None).await?;
                    }
                    Trouble::Stop(stop) => return Err(stop),
                }
            }
        }
    }
}

async fn attempt(engine: &mut Engine<'_>, session: &Session) -> Result<(), Trouble> {
    if engine.goes_at_once() {
        return at_once::attempt(engine, session).await;
    }
    let modes = engine.job.modes;
    let Opened { role, counts, watch } = open(engine, session, modes).await?;
    role.take_on(session).await?;
    if engine.reach == Reach::Anything {
        session.forget_prepared();
    }
    let steps = std::mem::take(&mut engine.job.steps);
    let run = run_all(engine, session, &steps, watch).await;
    engine.job.steps = steps;
    run?;
    put_back::within(engine, session).await?;
    if modes.one_snapshot() {
        still_inside(engine, session, watch).await?;
        own_settings(session).await?;
        hold_late_fence(engine, session, modes, engine.job.last()).await?;
        claim(engine, session).await?;
    } else {
        engine.seen = None;
        let (inside, seen) = tokio::join!(still_inside(engine, session, watch), engine.see(session, counts));
        inside?;
        engine.seen = seen?;
    }
    finish(engine, session).await
}

/// A transaction before the script's first statement.
struct Opened {
    role: ScriptRole,
    counts: Option<Counts>,
    watch: Watch,
}

/// Opens the script's transaction with the ledger's row inside; in one round trip where nothing of it can be done without
/// the transaction: the row alone is added only where the fence is held.
async fn open(engine: &Engine<'_>, session: &Session, modes: TransactionModes) -> Result<Opened, Trouble> {
    if modes.one_snapshot() {
        let role = begin_as(engine, session, modes).await?;
        return Ok(Opened { role, counts: None, watch: Watch::over(session, modes).await? });
    }
    let rest =
        async { tokio::join!(claim(engine, session), engine.count(session), Watch::over(session, modes)) };
    let only_the_row = engine.reach != Reach::Anything && engine.replaces.is_none();
    let (role, (claimed, counts, watch)) = if only_the_row {
        let (role, rest) = tokio::join!(begin_as(engine, session, modes), rest);
        (role?, rest)
    } else {
        (begin_as(engine, session, modes).await?, rest.await)
    };
    claimed?;
    Ok(Opened { role, counts: counts?, watch: watch? })
}

async fn run_all(
    engine: &mut Engine<'_>,
    session: &Session,
    steps: &[ScriptStep<'_>],
    watch: Watch,
) -> Result<(), Trouble> {
    let mut waits = Waits::together(engine.job.locks.lock_timeout);
    for step in steps {
        if engine.context.cancel.is_cancelled() {
            return Err(Stop::cancelled(Effect::None).into());
        }
        let rows = guarded(engine, session, step, &mut waits, watch).await?;
        engine.tally.rows += rows;
    }
    Ok(())
}
