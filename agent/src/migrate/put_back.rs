//! What earlier rollbacks of a migration have dropped is put back once it is applied, where that was asked for: small
//! values in its own transaction, so that nobody ever sees its columns without them; more in batches behind its COMMIT,
//! each with its checkpoint, so that an attempt behind a crash goes on where the last one has ended.
//!
//! Whether all of it can be put back is known before the COMMIT, where there is one for all. What the migration itself has
//! put into its columns makes way; what others have written since it did is never overwritten.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use stopover_model::id::OperatorName;
use stopover_model::report::{Effect, ErrorClass, StepError};
use stopover_model::saved::{RestoredValues, Saved, SavedWhat};

use super::Engine;
use super::keep;
use super::stop::Stop;
use super::transaction::{Trouble, own_settings};
use crate::ledger::Direction;
use crate::postgres::{QueryError, Session};
use crate::saved::{self, Entry, Made, Return, WRITING, elsewhere};

/// Kept tables up to so many bytes get their values back in the migration's transaction, which holds its locks meanwhile.
const AT_ONCE: u64 = 4 * 1024 * 1024;
/// How often it is asked whether it is to stop.
const TURN: Duration = Duration::from_millis(500);
/// And said how far it has come.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Behind the script's last statement, in its transaction.
pub(super) async fn within(engine: &mut Engine<'_>, session: &Session) -> Result<(), Trouble> {
    let Some(by) = wanted(engine) else { return Ok(()) };
    let reading = |e| Stop::query(e, "read what is saved");
    let scripts = keep::settings(session).await.map_err(reading)?;
    own_settings(session).await?;
    session.client().batch_execute(WRITING).await.map_err(|e| reading(session.error(e)))?;
    for entry in waiting(engine, session).await? {
        let made = if is_new(engine, session, &entry).await? { Made::Now } else { Made::Before };
        let found = found(session, entry, by, made, Effect::None).await?;
        if found.saved().bytes <= AT_ONCE {
            let restored = found.at_once(session).await.map_err(|e| trouble(engine, found.saved(), e))?;
            engine.kept.push(words(found.saved(), &restored));
        } else if made == Made::Now {
            found.note_made(session).await.map_err(|e| trouble(engine, found.saved(), e))?;
        }
    }
    Ok(keep::restore(session, &scripts).await.map_err(reading)?)
}

/// In the last transaction of a script that has several: what it has made is known from now on.
pub(super) async fn note(engine: &Engine<'_>, session: &Session) -> Result<(), Stop> {
    let Some(by) = wanted(engine) else { return Ok(()) };
    own_settings(session).await?;
    for entry in waiting(engine, session).await? {
        if is_new(engine, session, &entry).await? {
            let found = found(session, entry, by, Made::Now, Effect::Partial).await?;
            found.note_made(session).await.map_err(|e| Stop::query(e, "note what is put back"))?;
        }
    }
    Ok(())
}

/// Behind its COMMIT: what is left.
pub(super) async fn behind(engine: &Engine<'_>, session: &Session) -> Result<(), Stop> {
    let Some(by) = wanted(engine) else { return Ok(()) };
    for entry in waiting(engine, session).await? {
        let found = found(session, entry, by, Made::AsNoted, Effect::Partial).await?;
        in_batches(engine, session, found).await?;
    }
    Ok(())
}

async fn in_batches(engine: &Engine<'_>, session: &Session, mut found: Return) -> Result<(), Stop> {
    let mut total = RestoredValues::default();
    let mut said = Instant::now();
    loop {
        if engine.context.cancel.is_cancelled() {
            return Err(Stop::cancelled(Effect::Partial));
        }
        let turn = found.turn(session, Instant::now() + TURN).await;
        let turn = turn.map_err(|error| failed(found.saved(), error).with_effect(Effect::Partial));
        let turn = turn.map_err(Stop::failed)?;
        total.restored += turn.restored;
        total.kept += turn.kept;
        total.missing += turn.missing;
        let (name, all) = (found.saved().name(), found.saved().rows);
        if !turn.more {
            break;
        }
        if said.elapsed() >= BETWEEN_LINES {
            said = Instant::now();
            engine.context.reporter.message(format!("{} of {all} of {name} are back so far", total.restored));
        }
    }
    engine.context.reporter.message(words(found.saved(), &total));
    Ok(())
}

fn wanted<'a>(engine: &Engine<'a>) -> Option<&'a OperatorName> {
    engine.job.restore_saved.filter(|_| engine.job.direction == Direction::Up)
}

/// What waits to be put back.
async fn waiting(engine: &Engine<'_>, session: &Session) -> Result<Vec<Entry>, Stop> {
    let id = engine.job.migration.id.as_str();
    let waiting = saved::dropped_by_rollbacks(session, &[id]).await;
    waiting.map_err(|e| Stop::query(e, "read what is saved"))
}

async fn found(
    session: &Session,
    entry: Entry,
    by: &OperatorName,
    made: Made,
    effect: Effect,
) -> Result<Return, Stop> {
    let found = Return::behind_migration(session, entry, by, made).await;
    found.map_err(|error| Stop::failed(error.with_effect(effect)))
}

/// Whether the columns were not there before the script, so that whatever is in them comes from it.
async fn is_new(engine: &Engine<'_>, session: &Session, entry: &Entry) -> Result<bool, Stop> {
    let known = engine.row.as_ref().and_then(|row| row.objects_before.as_ref());
    let Some(before) = known.or(engine.before.as_ref().map(|before| &before.objects)) else {
        return Ok(false);
    };
    let names = entry.objects(session).await.map_err(|e| Stop::query(e, "look at what is put back"))?;
    Ok(names.iter().all(|name| !before.contains_key(name)))
}

fn trouble(engine: &Engine<'_>, what: &Saved, error: QueryError) -> Trouble {
    match error {
        error if error.is_lock() => Trouble::Locked { index: engine.job.last(), error },
        QueryError::Lost(why) => Stop::LookAgain { why, in_doubt: false }.into(),
        error => {
            let error = error.into_step_error("put values back behind the last statement");
            Stop::failed(failed(what, error).with_effect(Effect::None)).into()
        }
    }
}

/// A constraint that the values do not meet, say.
fn failed(what: &Saved, error: StepError) -> StepError {
    let message = format!("{}, saved as {}, could not be put back: {}", what.name(), what.id, error.message);
    let hint = match error.class {
        ErrorClass::Transient | ErrorClass::Lock => None,
        _ => Some(elsewhere(&what.id)),
    };
    StepError { message, hint: hint.or(error.hint), ..error }
}

fn words(what: &Saved, done: &RestoredValues) -> String {
    let noun = if what.what == SavedWhat::Columns { "values" } else { "rows" };
    let mut text = format!("{} {noun} of {} are back, saved as {}", done.restored, what.name(), what.id);
    if done.kept > 0 {
        let _ = write!(text, "; {} were left, since something else is there by now", done.kept);
    }
    if done.missing > 0 {
        let _ = write!(text, "; {} belong to rows that are gone", done.missing);
    }
    text
}
