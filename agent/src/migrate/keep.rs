//! Before a statement that drops tables or columns, or empties tables, what they hold is kept, in the same transaction.
//!
//! What a statement takes along is not guessed: it is run in a savepoint and taken back, and the database says what was
//! gone. That is cheap, since a drop only changes the catalog until its COMMIT. Behind the statement it is looked again: had
//! it taken more, the transaction would begin anew.

use std::time::Duration;

use stopover_model::duration::human;
use stopover_model::report::{Effect, ErrorClass, StepError};
use stopover_model::sql::{Drop, DropTarget, Emptying, Name, StatementKind, quoted};
use tokio::time::Instant;
use tokio_postgres::types::Type;

use super::Engine;
use super::execute::{Sent, send_own};
use super::job::ScriptStep;
use super::place::statement_error;
use super::stop::Stop;
use super::transaction::{Trouble, ask, own_settings, waited_too_long};
use super::waits::Waits;
use crate::postgres::{DatabaseError, QueryError, Session};
use crate::saved::ahead::{self, Ahead, CaughtUp};
use crate::saved::{self, CHANGED_SETTINGS, Gone, Keeper, Looked, Target, WRITING};

/// What a statement is about to take, all of it kept.
pub(super) struct Covered {
    before: Looked,
    gone: Gone,
}

impl ScriptStep<'_> {
    /// Whether it drops or empties something whose rows can be kept.
    fn loses(&self) -> bool {
        self.drops.iter().any(|drop| drop.may_lose_data() && !is_beyond(&drop.target))
    }
}

/// What only the database could know, by running it.
fn is_beyond(target: &DropTarget) -> bool {
    matches!(
        target,
        DropTarget::Hidden { .. }
            | DropTarget::Converted { .. }
            | DropTarget::Attribute { .. }
            | DropTarget::Emptied { by: Emptying::Delete, .. }
    )
}

/// Whether something is looked for and kept before the statement.
pub(super) fn keeps(step: &ScriptStep<'_>) -> bool {
    step.kept && step.loses()
}

/// Keeps what the statement will drop. None: nothing of that has rows, or nothing is to be kept.
pub(super) async fn before(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    waits: &mut Waits,
) -> Result<Option<Covered>, Trouble> {
    if !keeps(step) {
        return Ok(None);
    }
    let level = ask(session, "SHOW transaction_isolation").await?;
    if level != "read committed" {
        return Err(Stop::failed(one_snapshot(engine, step, &level)).into());
    }
    lock_named(engine, session, step, waits).await?;
    let Some(covered) = probe(engine, session, step, waits).await? else { return Ok(None) };
    let others = names_of(session, &covered.gone).await?;
    lock(engine, session, step, waits, &others).await?;
    keep(engine, session, step, waits, &covered.gone).await?;
    Ok(Some(covered))
}

/// Behind the statement: nothing has gone that was not kept.
pub(super) async fn behind(
    session: &Session,
    step: &ScriptStep<'_>,
    covered: Covered,
) -> Result<(), Trouble> {
    let after = saved::look(session).await.map_err(|e| Stop::query(e, "look at what was dropped"))?;
    if covered.gone.covers(&covered.before.gone(&after)) {
        return Ok(());
    }
    // Somebody has made a column of a dropped type in between, say. It is kept with the next try.
    let error = QueryError::Database(Box::new(DatabaseError {
        sqlstate: "40001".to_owned(),
        message: "it drops more than a moment before".to_owned(),
        hint: None,
        position: None,
        block_line: None,
    }));
    Err(Trouble::Locked { index: step.index, error })
}

/// The tables that the statement names, as far as they are there: in the order in which it names them.
async fn lock_named(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    waits: &mut Waits,
) -> Result<(), Trouble> {
    let mut named: Vec<&Name> = Vec::new();
    for drop in step.drops.iter().filter(|drop| !is_beyond(&drop.target)) {
        match &drop.target {
            DropTarget::Table { table }
            | DropTarget::Column { table, .. }
            | DropTarget::Emptied { table, .. }
                if !named.contains(&table) =>
            {
                named.push(table);
            }
            _ => {}
        }
    }
    let named: Vec<String> = named.into_iter().map(Name::quoted).collect();
    let sql = "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) \
               FROM pg_catalog.unnest($1) WITH ORDINALITY t (name, at) \
               JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(t.name) \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p') ORDER BY t.at";
    let rows = session.query(sql, &[(&named, Type::TEXT_ARRAY)]).await;
    let rows = rows.map_err(|e| Stop::query(e, "look for what is dropped"))?;
    let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    lock(engine, session, step, waits, &there).await
}

/// The lock that the drop takes anyway: nobody writes between the copy and the drop.
async fn lock(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    waits: &mut Waits,
    tables: &[String],
) -> Result<(), Trouble> {
    if tables.is_empty() {
        return Ok(());
    }
    let sql = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", tables.join(", "));
    set_lock_timeout(session, waits).await?;
    run(engine, session, step, waits, &sql).await.map(|_| ())
}

async fn set_lock_timeout(session: &Session, waits: &Waits) -> Result<(), Stop> {
    let set = format!("SET LOCAL lock_timeout = {}", waits.lock_timeout().as_millis());
    session.client().batch_execute(&set).await.map_err(|e| Stop::query(session.error(e), "set lock_timeout"))
}

/// What the statement would take with it. None where it fails, which it then does by itself, or takes nothing.
async fn probe(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    waits: &mut Waits,
) -> Result<Option<Covered>, Trouble> {
    let looking = |e| Stop::query(e, "look at what would be dropped");
    let savepoint = |sql: &'static str| async move {
        session.client().batch_execute(sql).await.map_err(|e| looking(session.error(e)))
    };
    let before = saved::look(session).await.map_err(looking)?;
    savepoint("SAVEPOINT stopover_probe").await?;
    set_lock_timeout(session, waits).await?;
    let tried = try_out(engine, session, waits, &probed(step)).await;
    let after = match tried {
        Sent::Done { .. } => Some(saved::look(session).await.map_err(looking)?),
        Sent::Cancelled => return Err(Stop::cancelled(Effect::None).into()),
        Sent::Waited(_) => {
            let error = waited_too_long(engine.job.locks.lock_timeout);
            return Err(Trouble::Locked { index: step.index, error });
        }
        Sent::Error(error) if error.is_lock() => return Err(Trouble::Locked { index: step.index, error }),
        Sent::Error(QueryError::Lost(why)) => return Err(Stop::LookAgain { why, in_doubt: false }.into()),
        Sent::Error(_) => None,
    };
    savepoint("ROLLBACK TO SAVEPOINT stopover_probe; RELEASE SAVEPOINT stopover_probe").await?;
    let covered = after.map(|after| {
        let gone = before.gone(&after);
        Covered { before, gone }
    });
    Ok(covered.filter(|covered| !covered.gone.is_nothing()))
}

async fn try_out(engine: &mut Engine<'_>, session: &Session, waits: &mut Waits, sql: &str) -> Sent {
    // As a kind that nothing is said of but what blocks it.
    let kind = StatementKind::Lock { tables: Vec::new() };
    send_own(engine, session, sql, &kind, waits).await
}

/// The statement itself; of an ALTER TABLE only what it drops, since the rest may write the table anew.
fn probed(step: &ScriptStep<'_>) -> String {
    let StatementKind::AlterTable { table, .. } = &step.kind else { return step.statement.text.to_owned() };
    let only = |drop: &Drop| matches!(&drop.target, DropTarget::Column { only: true, .. });
    let dropped: Vec<String> = step
        .drops
        .iter()
        .filter_map(|drop| match &drop.target {
            DropTarget::Column { column, .. } => {
                let cascade = if drop.cascade { " CASCADE" } else { "" };
                Some(format!("DROP COLUMN IF EXISTS {}{cascade}", quoted(column)))
            }
            // A column may stand in the constraint that goes with it.
            DropTarget::Constraint { name, .. } => {
                let cascade = if drop.cascade { " CASCADE" } else { "" };
                Some(format!("DROP CONSTRAINT IF EXISTS {}{cascade}", quoted(name)))
            }
            _ => None,
        })
        .collect();
    let only = if step.drops.iter().any(only) { "ONLY " } else { "" };
    format!("ALTER TABLE IF EXISTS {only}{} {}", table.quoted(), dropped.join(", "))
}

/// All that goes, as SQL calls it. Partitions come with their tables, in the order in which PostgreSQL locks them.
async fn names_of(session: &Session, gone: &Gone) -> Result<Vec<String>, Stop> {
    let oids: Vec<u32> = gone.all().into_iter().collect();
    let sql = "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) \
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.oid = ANY ($1) ORDER BY c.oid";
    let rows = session.query(sql, &[(&oids, Type::OID_ARRAY)]).await;
    let rows = rows.map_err(|e| Stop::query(e, "look for what is dropped"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Copies everything, with the product's own role and settings, and goes back to the script's.
async fn keep(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    waits: &mut Waits,
    gone: &Gone,
) -> Result<(), Trouble> {
    let keeping = |e| Stop::query(e, "keep what is dropped");
    let settings = settings(session).await.map_err(keeping)?;
    own_settings(session).await?;
    session.client().batch_execute(WRITING).await.map_err(|e| keeping(session.error(e)))?;
    saved::ensure(session).await.map_err(keeping)?;
    let mut targets = saved::targets(session, gone).await.map_err(keeping)?;
    let began = Instant::now();
    for target in &mut targets.kept {
        let copied = ahead::find(session, target).await.map_err(keeping)?;
        let caught_up = match copied.filter(Ahead::is_whole) {
            Some(copied) => catch_up(engine, session, step, target, &copied, began).await?,
            None => None,
        };
        let rows = match target.copy() {
            _ if let Some(caught_up) = caught_up => caught_up.rows,
            Some(sql) => copy(engine, session, step, waits, target, &sql, began).await?,
            None => 0,
        };
        let keeper = Keeper {
            author: &engine.author,
            migration: &engine.job.migration.id,
            digest: engine.job.migration.digest,
            direction: engine.job.direction,
            statement: step.index,
        };
        let kept = target.record(session, keeper, rows).await.map_err(keeping)?;
        // What a rehearsal saves goes with its copy.
        let shown = match engine.job.witness {
            None => format!(": `stopover saved show {}`", kept.id),
            Some(_) => String::new(),
        };
        let ahead = caught_up.map(|caught_up| {
            format!(
                " (copied ahead, {} rows of them again under the lock, in {})",
                caught_up.again,
                human(began.elapsed())
            )
        });
        let ahead = ahead.unwrap_or_default();
        engine.kept.push(format!("{} saved before {} drops it{ahead}{shown}", kept.shown, step.name()));
    }
    engine.kept.extend(targets.left);
    restore(session, &settings).await.map_err(|e| keeping(e).into())
}

/// What was copied ahead gets the rows that were written since. None: the copy is not usable, and is gone.
async fn catch_up(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    target: &mut Target,
    copied: &Ahead,
    began: Instant,
) -> Result<Option<CaughtUp>, Trouble> {
    allow(engine, session, began).await?;
    let caught_up = match copied.catch_up(session, target).await {
        Ok(caught_up) => caught_up,
        Err(error) => return Err(not_saved(engine, step, target, error)),
    };
    if caught_up.is_none() {
        target.renew();
    }
    Ok(caught_up)
}

/// So long the next copying may take.
async fn allow(engine: &Engine<'_>, session: &Session, began: Instant) -> Result<(), Stop> {
    let within = engine.job.saving.within;
    let left = within.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
    let set = format!("SET LOCAL statement_timeout = {}", left.as_millis());
    let set = session.client().batch_execute(&set).await;
    set.map_err(|e| Stop::query(session.error(e), "keep what is dropped"))
}

/// Copies one of them, within the time that the stage allows for all of a statement's.
async fn copy(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    waits: &mut Waits,
    target: &Target,
    sql: &str,
    began: Instant,
) -> Result<u64, Trouble> {
    let keeping = |e| Stop::query(session.error(e), "keep what is dropped");
    allow(engine, session, began).await?;
    let copied = try_out(engine, session, waits, sql).await;
    let error = match copied {
        Sent::Done { rows } => {
            session.client().batch_execute("SET LOCAL statement_timeout = 0").await.map_err(keeping)?;
            return Ok(rows);
        }
        Sent::Cancelled => return Err(Stop::cancelled(engine.effect).into()),
        Sent::Waited(error) | Sent::Error(error) => error,
    };
    Err(not_saved(engine, step, target, error))
}

fn not_saved(engine: &Engine<'_>, step: &ScriptStep<'_>, target: &Target, error: QueryError) -> Trouble {
    let within = engine.job.saving.within;
    let error = match error {
        QueryError::Lost(why) => return Stop::LookAgain { why, in_doubt: false }.into(),
        error if error.is_lock() => return Trouble::Locked { index: step.index, error },
        error => error,
    };
    let slow = error.sqlstate() == Some("57014");
    let bytes = target.table_bytes();
    let mut error = at_statement(engine, step, error);
    error.class = ErrorClass::Setup;
    let what = target.shown();
    if slow {
        error.message = format!(
            "{} drops {what}, whose values could not be saved within {} (the table has {} MB); nothing was dropped",
            step.name(),
            human(within),
            bytes / 1_000_000
        );
    } else {
        error.message =
            format!("{what} could not be saved before {} drops it: {}", step.name(), error.message);
    }
    error.hint = Some(
        "raise the stage's save_within where its users can wait so long; or, when the values are not worth it, write \
         `-- stopover: save=off` above the statement, or save = false into migration.toml or the stage"
            .to_owned(),
    );
    Stop::failed(error).into()
}

async fn run(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    waits: &mut Waits,
    sql: &str,
) -> Result<u64, Trouble> {
    match try_out(engine, session, waits, sql).await {
        Sent::Done { rows } => Ok(rows),
        Sent::Cancelled => Err(Stop::cancelled(Effect::None).into()),
        Sent::Waited(_) => {
            let error = waited_too_long(engine.job.locks.lock_timeout);
            Err(Trouble::Locked { index: step.index, error })
        }
        Sent::Error(error) if error.is_lock() => Err(Trouble::Locked { index: step.index, error }),
        Sent::Error(QueryError::Lost(why)) => Err(Stop::LookAgain { why, in_doubt: false }.into()),
        Sent::Error(error) => Err(Stop::failed(at_statement(engine, step, error)).into()),
    }
}

/// The error of a query that was made for the statement: it points to the statement, whatever place PostgreSQL means in its
/// own text.
fn at_statement(engine: &Engine<'_>, step: &ScriptStep<'_>, error: QueryError) -> StepError {
    let error = match error {
        QueryError::Database(error) => {
            QueryError::Database(Box::new(DatabaseError { position: None, block_line: None, ..*error }))
        }
        error => error,
    };
    statement_error(&engine.job, step, error, engine.effect)
}

/// The script's own, to be set again.
pub(super) async fn settings(session: &Session) -> Result<Vec<(String, String)>, QueryError> {
    let names = CHANGED_SETTINGS.map(str::to_owned).to_vec();
    let sql = "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.unnest($1) AS name";
    let rows = session.query(sql, &[(&names, Type::TEXT_ARRAY)]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

pub(super) async fn restore(session: &Session, settings: &[(String, String)]) -> Result<(), QueryError> {
    let names: Vec<&str> = settings.iter().map(|(name, _)| name.as_str()).collect();
    let values: Vec<&str> = settings.iter().map(|(_, value)| value.as_str()).collect();
    let sql = "SELECT pg_catalog.set_config(name, value, true) FROM unnest($1, $2) AS t (name, value)";
    session.query(sql, &[(&names, Type::TEXT_ARRAY), (&values, Type::TEXT_ARRAY)]).await.map(|_| ())
}

fn one_snapshot(engine: &Engine<'_>, step: &ScriptStep<'_>, level: &str) -> StepError {
    let message = format!(
        "{} of {} drops something in a transaction that is {level}: what others have written since its snapshot could not be saved",
        step.name(),
        engine.job.file
    );
    StepError::new(ErrorClass::Setup, message).with_effect(engine.effect).with_hint(
        "take the level out of the script's BEGIN; or write `-- stopover: save=off` above the statement when its values are \
         not worth keeping",
    )
}
