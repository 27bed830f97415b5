//! A statement inside a transaction, guarded: under settings made anew, with what it drops kept.

use stopover_model::report::Effect;

use super::Engine;
use super::execute::{Sent, send};
use super::job::ScriptStep;
use super::keep;
use super::place::statement_error;
use super::stop::Stop;
use super::transaction::{CURRENT_ID, Trouble, Watch, ended_by_script, first_value, number, waited_too_long};
use super::waits::Waits;
use crate::postgres::{QueryError, Session};

/// Runs a statement inside a transaction. The settings are made anew before it, in the same round trip, since the
/// statement before it may have changed them.
pub(super) async fn guarded(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    waits: &mut Waits,
    watch: Watch,
) -> Result<u64, Trouble> {
    let covered = keep::before(engine, session, step, waits).await?;
    let guard = format!(
        "SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = 0; {}",
        waits.lock_timeout().as_millis(),
        if matches!(watch, Watch::Number(_)) { CURRENT_ID } else { "" }
    );
    let (settings, sent) =
        tokio::join!(session.client().simple_query(&guard), send(engine, session, step, waits));
    let rows = ran(engine, step, sent)?;
    let settings = settings.map_err(|e| Stop::query(session.error(e), "make the session's settings anew"))?;
    if matches!(watch, Watch::Number(id) if number(&first_value(&settings)) != id) {
        return Err(ended_by_script(engine).into());
    }
    if let Some(covered) = covered {
        keep::behind(session, step, covered).await?;
    }
    Ok(rows)
}

/// What became of a statement inside a transaction: the rows that it touched, or why the transaction is over.
pub(super) fn ran(engine: &Engine<'_>, step: &ScriptStep<'_>, sent: Sent) -> Result<u64, Trouble> {
    match sent {
        Sent::Done { rows } => Ok(rows),
        Sent::Cancelled => Err(Stop::cancelled(Effect::None).into()),
        Sent::Error(error) if error.is_lock() => Err(Trouble::Locked { index: step.index, error }),
        Sent::Waited(_) => {
            Err(Trouble::Locked { index: step.index, error: waited_too_long(engine.job.locks.lock_timeout) })
        }
        Sent::Error(QueryError::Lost(why)) => Err(Stop::LookAgain { why, in_doubt: false }.into()),
        Sent::Error(error) => {
            Err(Stop::failed(statement_error(&engine.job, step, error, Effect::None)).into())
        }
    }
}
