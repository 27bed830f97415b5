//! A script statement by statement, and block by block of its own, where it can't all share one transaction. The ledger
//! says how far it got.

use std::collections::BTreeMap;

use stopover_model::migration::Block;
use stopover_model::report::Effect;

use super::Engine;
use super::job::ScriptStep;
use super::stop::Stop;
use super::transaction::{begin, commit, last_words};
use super::writes::{ended, write};
use super::{ahead, backfill, own, put_back, together};
use crate::ledger::{self, Direction, MigrationState, NewMigration, StatementRow};
use crate::postgres::Session;

/// Runs what is not done yet, to the ledger's last word.
pub(super) async fn run(engine: &mut Engine<'_>, session: &Session) -> Result<(), Stop> {
    let steps = std::mem::take(&mut engine.job.steps);
    let run = run_steps(engine, session, &steps).await;
    engine.job.steps = steps;
    let stop = match run {
        Ok(()) => return Ok(()),
        Err(stop) => stop.with_effect(engine.effect),
    };
    if stop.left_nothing() {
        forget(engine, session).await;
    }
    Err(stop)
}

/// A script of which nothing took effect has not begun: whoever mends it must not be told that it is half applied.
async fn forget(engine: &Engine<'_>, session: &Session) {
    if engine.job.direction == Direction::Down {
        return;
    }
    let id = engine.job.migration.id.clone();
    let forgotten = async {
        ledger::forget_migration(session, &id).await?;
        ledger::change_forgotten(session, &id).await
    };
    // Where it can't be, the row says what is true: it was begun.
    let _ = write(engine, session, "take the migration out of the ledger", forgotten).await;
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
    engine.settings.clear();
    let blocks = std::mem::take(&mut engine.job.blocks);
    let run = run_groups(engine, session, steps, &blocks, &known).await;
    engine.job.blocks = blocks;
    run?;
    close(engine, session).await
}

/// A block of the file's own is a group, and so is each statement outside of one.
async fn run_groups(
    engine: &mut Engine<'_>,
    session: &Session,
    steps: &[ScriptStep<'_>],
    blocks: &[Block],
    known: &BTreeMap<u32, StatementRow>,
) -> Result<(), Stop> {
    let mut blocks = blocks.iter().peekable();
    let mut rest = steps;
    while let Some(first) = rest.first() {
        let at = steps.len() - rest.len();
        let block = blocks.next_if(|block| block.statements.start == at);
        let (group, behind) = rest.split_at(block.map_or(1, |block| block.statements.len()));
        rest = behind;
        if engine.context.cancel.is_cancelled() {
            return Err(Stop::cancelled(engine.effect));
        }
        let done: Vec<_> =
            group.iter().filter_map(|step| known.get(&step.index).filter(|row| row.done)).collect();
        if done.len() == group.len() {
            engine.tally.rows += done.iter().map(|row| row.rows).sum::<u64>();
            for step in group.iter().filter(|step| step.is_setting()) {
                again(session, step).await?;
                engine.settings.push(step.statement.text.to_owned());
            }
            continue;
        }
        engine.tally.rows += match block {
            _ if let Some(directive) = &first.backfill => {
                Box::pin(backfill::run(engine, session, first, directive)).await?
            }
            None if first.own => own::run(engine, session, first, known.get(&first.index)).await?,
            _ => {
                ahead::copy(engine, session, group).await?;
                together::run(engine, session, group, block.map(|b| b.modes).unwrap_or_default()).await?
            }
        };
        let settings = group.iter().filter(|step| step.is_setting());
        engine.settings.extend(settings.map(|step| step.statement.text.to_owned()));
        engine.effect = Effect::Partial;
    }
    Ok(())
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
                    replaces: engine.replaces,
                    before: engine.before.as_deref(),
                    with_objects: true,
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
        let noted = engine.change_begins(session).await;
        noted.map_err(|e| Stop::query(e, "write into the ledger that the schema changes"))?;
        commit(engine, session).await
    };
    ended(session, opened.await).await
}

/// Writes that the script has ended.
async fn close(engine: &mut Engine<'_>, session: &Session) -> Result<(), Stop> {
    let closed = async {
        begin(engine, session).await?;
        put_back::note(engine, session).await?;
        last_words(engine, session).await?;
        commit(engine, session).await
    };
    ended(session, closed.await).await
}

/// A setting lives as long as its session, so a new session needs it again.
async fn again(session: &Session, step: &ScriptStep<'_>) -> Result<(), Stop> {
    let set = session.client().batch_execute(step.statement.text).await;
    set.map_err(|e| Stop::query(session.error(e), &format!("make the setting of {} again", step.name())))
}
