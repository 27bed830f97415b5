//! A script statement by statement, for the statements that can't share a transaction. The ledger says how far it got.

use stopover_model::report::Effect;

use super::Engine;
use super::job::ScriptStep;
use super::locks::LockBudget;
use super::own;
use super::stop::Stop;
use super::transaction::{Trouble, begin, commit, finish, guarded, let_go, own_settings};
use super::waits::Waits;
use super::writes::ended;
use crate::ledger::{self, Direction, MigrationState, NewMigration, StatementKey};
use crate::postgres::Session;

/// Runs what is not done yet, to the ledger's last word.
pub(super) async fn run(engine: &mut Engine<'_>, session: &Session) -> Result<(), Stop> {
    let steps = std::mem::take(&mut engine.job.steps);
    let run = run_steps(engine, session, &steps).await;
    engine.job.steps = steps;
    run.map_err(|stop| stop.with_effect(engine.effect))
}

async fn run_steps(engine: &mut Engine<'_>, session: &Session, steps: &[ScriptStep<'_>]) -> Result<(), Stop> {
    let id = engine.job.migration.id.clone();
    open(engine, session).await?;
    let known = ledger::statements(session, &id, engine.job.direction).await;
    let known = known.map_err(|e| Stop::query(e, "read the ledger"))?;
    if known.values().any(|row| row.done) {
        engine.effect = Effect::Partial;
        let next = steps.iter().find(|step| known.get(&step.index).is_none_or(|row| !row.done));
        let next = next.map_or_else(|| "the ledger's last word".to_owned(), ScriptStep::name);
        engine.context.reporter.message(format!("{} was begun before; goes on with {next}", engine.job.file));
    }
    engine.tally.rows = 0;
    for step in steps {
        if engine.context.cancel.is_cancelled() {
            return Err(Stop::cancelled(engine.effect));
        }
        match known.get(&step.index) {
            Some(row) if row.done => {
                engine.tally.rows += row.rows;
                if step.is_setting() {
                    again(session, step).await?;
                }
                continue;
            }
            intent if step.own => engine.tally.rows += own::run(engine, session, step, intent).await?,
            _ => engine.tally.rows += with_its_row(engine, session, step).await?,
        }
        engine.effect = Effect::Partial;
    }
    close(engine, session).await
}

/// Writes that the script has begun, unless that is known.
async fn open(engine: &mut Engine<'_>, session: &Session) -> Result<(), Stop> {
    let state = engine.row.as_ref().map(|row| row.state);
    let job = &engine.job;
    if matches!(
        (job.direction, state),
        (Direction::Up, Some(_)) | (Direction::Down, Some(MigrationState::Reverting))
    ) {
        return Ok(());
    }
    let opened = async {
        begin(engine, session).await?;
        let written = match job.direction {
            Direction::Up => {
                let new = NewMigration {
                    id: &job.migration.id,
                    digest: job.migration.digest,
                    variant: job.variant,
                    state: MigrationState::Running,
                    statements: job.count(),
                    before: engine.before.as_ref(),
                };
                ledger::insert_migration(session, &engine.author, new).await
            }
            Direction::Down => ledger::mark_reverting(session, &job.migration.id).await.map(|_| ()),
        };
        written.map_err(|e| match e.sqlstate() {
            Some("23505") => {
                Stop::LookAgain { why: "somebody else has changed the ledger".to_owned(), in_doubt: false }
            }
            _ => Stop::query(e, "write the migration into the ledger"),
        })?;
        commit(engine, session).await
    };
    ended(session, opened.await).await
}

/// Writes that the script has ended.
async fn close(engine: &mut Engine<'_>, session: &Session) -> Result<(), Stop> {
    let closed = async {
        begin(engine, session).await?;
        finish(engine, session).await?;
        commit(engine, session).await
    };
    ended(session, closed.await).await
}

/// A statement and its row in one transaction, again and again while locks are not to be had.
async fn with_its_row(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
) -> Result<u64, Stop> {
    let mut budget = LockBudget::new(engine.job.locks.lock_retry_for);
    loop {
        match try_with_its_row(engine, session, step).await {
            Ok(rows) => return Ok(rows),
            Err(trouble) => {
                let_go(session, &trouble).await;
                match trouble {
                    Trouble::Locked { index, error } => {
                        budget.wait(engine, session, index, error, engine.effect).await?;
                    }
                    Trouble::Stop(end) => return Err(end),
                }
            }
        }
    }
}

async fn try_with_its_row(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
) -> Result<u64, Trouble> {
    begin(engine, session).await?.take_on(session).await?;
    let mut waits = Waits::together(engine.job.locks.lock_timeout);
    let rows = guarded(engine, session, step, &mut waits, None).await?;
    own_settings(session).await?;
    let id = engine.job.migration.id.clone();
    let key = StatementKey { id: &id, direction: engine.job.direction, index: step.index };
    ledger::statement_done_with_effect(session, &engine.author, key, rows).await.map_err(|e| {
        match e.sqlstate() {
            Some("23505") => {
                Stop::LookAgain { why: "somebody else has run the statement".to_owned(), in_doubt: false }
            }
            _ => Stop::query(e, "write the statement into the ledger"),
        }
    })?;
    commit(engine, session).await?;
    Ok(rows)
}

/// A setting lives as long as its session, so a new session needs it again.
async fn again(session: &Session, step: &ScriptStep<'_>) -> Result<(), Stop> {
    let set = session.client().batch_execute(step.statement.text).await;
    set.map_err(|e| Stop::query(session.error(e), &format!("make the setting of {} again", step.name())))
}
