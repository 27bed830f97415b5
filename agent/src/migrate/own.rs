//! A statement that no transaction can hold: an intent before it, a done row behind it.

use std::time::Duration;

use stopover_model::event::Resolution;
use stopover_model::report::{Effect, ErrorClass, StepError};
use stopover_model::sql::StatementKind;

use super::execute::{Sent, send};
use super::job::ScriptStep;
use super::locks::LockBudget;
use super::look::{self, Handling, Seen};
use super::place::statement_error;
use super::stop::Stop;
use super::waits::Waits;
use super::writes::write;
use super::{Engine, company};
use crate::ledger::{self, Direction, HistoryEntry, StatementKey, StatementRow};
use crate::postgres::{QueryError, Session};

const CLEANING_AFTER_CANCEL: Duration = Duration::from_secs(5);

/// Runs the statement, or finds that it has taken effect. Gives the rows that it touched.
pub(super) async fn run(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    intent: Option<&StatementRow>,
) -> Result<u64, Stop> {
    let handling = Handling::of(&step.kind);
    if let Some(intent) = intent
        && has_taken_effect(engine, session, step, &handling, intent).await?
    {
        engine.effect = Effect::Partial;
        done(engine, session, step, 0).await?;
        return Ok(0);
    }
    let mut budget = LockBudget::new(engine.job.locks.lock_retry_for);
    loop {
        if handling.is_concurrent() {
            alone(engine, session, step).await?;
        }
        let noted = look::prepare(engine, session, &handling).await?;
        intend(engine, session, step, &noted).await?;
        set_lock_timeout(engine, session, &handling).await?;
        let sent = send(engine, session, step, &mut Waits::each(handling.lock_timeout(&engine.job))).await;
        let error = match sent {
            Sent::Done { rows } => {
                // Whatever keeps the ledger from saying so.
                engine.effect = Effect::Partial;
                look::confirm(engine, session, &handling, &noted).await?;
                done(engine, session, step, rows).await?;
                if step.kind == StatementKind::DiscardAll {
                    engine.begin_session_anew(session).await?;
                }
                return Ok(rows);
            }
            Sent::Error(QueryError::Lost(why)) => return Err(Stop::LookAgain { why, in_doubt: true }),
            Sent::Cancelled => None,
            Sent::Error(error) | Sent::Waited(error) => Some(error),
        };
        let effect = failed(engine, session, step, &handling, &noted, error.as_ref()).await?;
        match error {
            None => return Err(Stop::cancelled(effect)),
            Some(error) if error.is_lock() && (handling.may_repeat() || engine.job.rerun_is_safe()) => {
                budget.wait(engine, session, step.index, error, effect).await?;
                // It may be past its first commit, and not begin anew: DETACH PARTITION CONCURRENTLY.
                if !handling.leaves_nothing()
                    && matches!(look::at(engine, session, &handling, &noted).await?, Seen::Done)
                {
                    engine.effect = Effect::Partial;
                    done(engine, session, step, 0).await?;
                    return Ok(0);
                }
            }
            Some(error) => {
                let mut error = statement_error(&engine.job, step, error, effect);
                if effect != Effect::None && !handling.may_repeat() && error.hint.is_none() {
                    error.hint = Some(
                        "what it committed before the error stays; look at what is there before another try"
                            .to_owned(),
                    );
                }
                return Err(Stop::failed(error));
            }
        }
    }
}

/// Waits for those for whom the statement would wait: without an index half built, and with a word on whom.
async fn alone(engine: &mut Engine<'_>, session: &Session, step: &ScriptStep<'_>) -> Result<(), Stop> {
    let (context, locks, effect) = (engine.context, engine.job.locks, engine.effect);
    // The script may have taken on a role that sees less.
    let looking = engine.observer.session(context).await.unwrap_or(session);
    company::wait(context, &locks, looking, &step.name(), effect, None).await
}

/// Resolves an intent that has no end, or an end in failure, by looking; where nothing can be seen, a person must.
async fn has_taken_effect(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    handling: &Handling,
    intent: &StatementRow,
) -> Result<bool, Stop> {
    let reporter = engine.context.reporter.clone();
    let what = format!("{} was begun by an earlier run, pid {}", step.name(), intent.pid);
    match look::at(engine, session, handling, &intent.noted).await? {
        Seen::Done => {
            reporter.message(format!("{what}; its effect is there"));
            Ok(true)
        }
        Seen::NotDone => {
            reporter.message(format!("{what}; its effect is not there: it runs again"));
            Ok(false)
        }
        Seen::Repeatable => {
            reporter.message(format!("{what}; it may be run again, so it is"));
            Ok(false)
        }
        Seen::Nothing if engine.job.rerun_is_safe() => {
            reporter.message(format!("{what}; migration.toml says rerun = \"safe\": it runs again"));
            Ok(false)
        }
        // The word is on what went before this attempt. An agent that was killed in it, and begins it anew, is given it
        // again; by then the attempt may have sent the statement itself, of which nobody has said anything.
        Seen::Nothing => match engine.job.resolution.filter(|_| intent.epoch < engine.author.epoch) {
            Some(resolution) => resolved(engine, session, step, resolution).await,
            None => Err(Stop::unknown(nobody_knows(engine, step, intent))),
        },
    }
}

/// A person has looked. Their word and what it changes are written together.
async fn resolved(
    engine: &Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    resolution: Resolution,
) -> Result<bool, Stop> {
    let (what, applied) = match resolution {
        Resolution::Applied => ("resolved as applied", true),
        Resolution::NotApplied => ("resolved as not applied", false),
    };
    engine.context.reporter.message(format!("{} was {what} by a person", step.name()));
    let job = &engine.job;
    let entry = HistoryEntry {
        what,
        id: &job.migration.id,
        digest: job.migration.digest,
        variant: engine.row.as_ref().map_or(job.variant, |row| row.variant),
        fingerprint_before: None,
        changes: None,
    };
    let key = key(engine, step);
    let written = async move {
        ledger::add_history(session, &engine.author, entry).await?;
        if applied {
            ledger::intent_done(session, key, 0).await.map(|_| ())
        } else {
            ledger::intent_gone(session, key).await
        }
    };
    write(engine, session, "write a person's word into the ledger", written).await?;
    Ok(applied)
}

fn nobody_knows(engine: &Engine<'_>, step: &ScriptStep<'_>, intent: &StatementRow) -> StepError {
    let job = &engine.job;
    let began = intent.started_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let end = match &intent.failed {
        Some(sqlstate) => format!("failed with {sqlstate}, and what it had committed by then stays"),
        None => "is gone without a word of its end".to_owned(),
    };
    let message = format!(
        "whether {} of {} took effect is not known: it began at {began} in pid {}, which {end}. It commits by itself and \
         leaves no trace that could be looked for",
        step.name(),
        job.file,
        intent.pid
    );
    // A place is worth showing although no error points there.
    let shown = statement_error(job, step, QueryError::Answer(String::new()), Effect::Possible);
    let action = match job.direction {
        Direction::Up => "migration",
        Direction::Down => "rollback",
    };
    let mut error = StepError::new(ErrorClass::Setup, message).with_effect(Effect::Possible).with_hint(format!(
        "look at the database, then say what is true: `stopover resolve {} --applied` or `--not-applied`; when running it \
         again does no harm, write rerun = \"safe\" into the migration.toml of the next {action}",
        engine.context.deployment
    ));
    error.place = shown.place;
    error
}

/// Writes the intent in a transaction that checks the fence: the statement itself can't.
async fn intend(
    engine: &Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    noted: &[String],
) -> Result<(), Stop> {
    let written = ledger::intend(session, &engine.author, key(engine, step), noted);
    write(engine, session, "write the statement into the ledger", written).await
}

async fn done(engine: &Engine<'_>, session: &Session, step: &ScriptStep<'_>, rows: u64) -> Result<(), Stop> {
    let key = key(engine, step);
    let written = async move { ledger::intent_done(session, key, rows).await.map(|_| ()) };
    write(engine, session, "write the statement into the ledger", written).await
}

/// After an error the statement is over: what it left is cleaned up or written down.
async fn failed(
    engine: &Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    handling: &Handling,
    noted: &[String],
    error: Option<&QueryError>,
) -> Result<Effect, Stop> {
    let key = key(engine, step);
    let doing = "write the statement into the ledger";
    if handling.leaves_nothing() {
        // Whoever cancels does not want to wait for writers; the intent stays then, and another attempt cleans up.
        let whole = engine.job.locks.concurrent_lock_timeout;
        let patience = if error.is_some() { whole } else { whole.min(CLEANING_AFTER_CANCEL) };
        match look::clean(engine, session, handling, noted, patience).await {
            Err(Stop::Ended(_)) if error.is_none() => return Ok(Effect::Partial),
            cleaned => cleaned?,
        }
        let written = ledger::intent_gone(session, key);
        write(engine, session, doing, written).await?;
        return Ok(engine.effect);
    }
    let sqlstate = error.and_then(QueryError::sqlstate).unwrap_or("57014").to_owned();
    let written = async move { ledger::intent_failed(session, key, &sqlstate).await };
    write(engine, session, doing, written).await?;
    Ok(Effect::Partial)
}

async fn set_lock_timeout(engine: &Engine<'_>, session: &Session, handling: &Handling) -> Result<(), Stop> {
    let set = format!("SET lock_timeout = {}", handling.lock_timeout(&engine.job).as_millis().max(1));
    session.client().batch_execute(&set).await.map_err(|e| Stop::query(session.error(e), "set lock_timeout"))
}

fn key<'a>(engine: &'a Engine<'_>, step: &ScriptStep<'_>) -> StatementKey<'a> {
    StatementKey { id: &engine.job.migration.id, direction: engine.job.direction, index: step.index }
}
