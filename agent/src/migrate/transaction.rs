//! A script in one transaction, with its ledger row inside: all of it took effect, or nothing did.

use std::time::Duration;

use stopover_model::duration::human;
use stopover_model::report::{Effect, ErrorClass, StepError};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::Type;

use super::Engine;
use super::execute::{Sent, send};
use super::job::ScriptStep;
use super::locks::LockBudget;
use super::place::statement_error;
use super::stop::Stop;
use super::waits::Waits;
use crate::ledger::{self, Direction, HistoryEntry, MigrationState, NewMigration};
use crate::postgres::{DatabaseError, QueryError, Session};

/// For the ledger's own statements: nobody else should ever hold their rows.
const LEDGER_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// How one try of a transaction ended, when it did not succeed.
pub(super) enum Trouble {
    /// A lock was not to be had at this statement; another try may get it.
    Locked {
        index: u32,
        error: QueryError,
    },
    Stop(Stop),
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Runs the script to its COMMIT, again and again while locks are not to be had.
pub(super) async fn run(engine: &mut Engine<'_>, session: &Session) -> Result<(), Stop> {
    let mut budget = LockBudget::new(engine.job.locks.lock_retry_for);
    loop {
        let rows_before = engine.tally.rows;
        match attempt(engine, session).await {
            Ok(()) => return Ok(()),
            Err(trouble) => {
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
    let role = begin(engine, session).await?;
    claim(engine, session).await?;
    role.take_on(session).await?;
    let transaction = transaction_id(session).await?;
    let steps = std::mem::take(&mut engine.job.steps);
    let run = run_all(engine, session, &steps, transaction).await;
    engine.job.steps = steps;
    run?;
    finish(engine, session).await?;
    commit(engine, session).await
}

async fn run_all(
    engine: &mut Engine<'_>,
    session: &Session,
    steps: &[ScriptStep<'_>],
    transaction: i64,
) -> Result<(), Trouble> {
    let mut waits = Waits::together(engine.job.locks.lock_timeout);
    for step in steps {
        if engine.context.cancel.is_cancelled() {
            return Err(Stop::cancelled(Effect::None).into());
        }
        let rows = guarded(engine, session, step, &mut waits, Some(transaction)).await?;
        engine.tally.rows += rows;
    }
    match transaction_id(session).await? {
        same if same == transaction => Ok(()),
        _ => Err(ended_by_script(engine).into()),
    }
}

/// Runs a statement inside a transaction. The settings are made anew before it, in the same round trip, since the
/// statement before it may have changed them.
pub(super) async fn guarded(
    engine: &mut Engine<'_>,
    session: &Session,
    step: &ScriptStep<'_>,
    waits: &mut Waits,
    transaction: Option<i64>,
) -> Result<u64, Trouble> {
    let guard = format!(
        "SELECT pg_catalog.set_config('lock_timeout', '{}ms', true), \
         pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true), \
         pg_catalog.txid_current_if_assigned()",
        waits.lock_timeout().as_millis()
    );
    let (settings, sent) =
        tokio::join!(session.client().simple_query(&guard), send(engine, session, step, waits));
    match sent {
        Sent::Done { rows } => {
            let settings =
                settings.map_err(|e| Stop::query(session.error(e), "make the session's settings anew"))?;
            match transaction {
                Some(id) if read_id(&settings) != Some(id) => Err(ended_by_script(engine).into()),
                _ => Ok(rows),
            }
        }
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

/// As PostgreSQL says it of one wait.
fn waited_too_long(limit: Duration) -> QueryError {
    let message = format!("the transaction has waited for locks longer than {}", human(limit));
    QueryError::Database(Box::new(DatabaseError {
        sqlstate: "55P03".to_owned(),
        message,
        hint: None,
        position: None,
        block_line: None,
    }))
}

/// The role that a script has taken on: its statements run under it, the ledger's don't.
pub(super) struct ScriptRole(Option<String>);

/// Opens a work transaction, in which nobody with a newer epoch can begin to write. It runs in the agent's own role.
pub(super) async fn begin(engine: &Engine<'_>, session: &Session) -> Result<ScriptRole, Stop> {
    let role = "SELECT pg_catalog.current_setting('role')";
    let opening = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {}; {role}; SET LOCAL role TO DEFAULT; {role}",
        LEDGER_LOCK_TIMEOUT.as_millis()
    );
    let (begun, held) =
        tokio::join!(session.client().simple_query(&opening), ledger::hold_fence(session, &engine.author));
    let begun = begun.map_err(|e| Stop::query(session.error(e), "begin a transaction"))?;
    if held.map_err(|e| Stop::query(e, "read the fence in the ledger"))? {
        let mut roles = begun.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let (scripts, ours) = (roles.next(), roles.next());
        return Ok(ScriptRole(scripts.filter(|role| Some(*role) != ours).map(str::to_owned)));
    }
    rollback(session).await;
    Err(Stop::fenced("a newer attempt", Effect::None))
}

impl ScriptRole {
    /// Goes back to the script's role for its next statement.
    pub(super) async fn take_on(self, session: &Session) -> Result<(), Stop> {
        let Some(role) = self.0 else { return Ok(()) };
        let sql = "SELECT pg_catalog.set_config('role', $1, true)";
        let set = session.client().query_typed(sql, &[(&role, Type::TEXT)]).await;
        set.map(|_| ()).map_err(|e| Stop::query(session.error(e), "go back to the script's role"))
    }
}

/// The ledger's row comes first: whoever has written it has done the work, or is doing it.
async fn claim(engine: &Engine<'_>, session: &Session) -> Result<(), Stop> {
    let job = &engine.job;
    let claimed = match job.direction {
        Direction::Up => {
            let new = NewMigration {
                id: &job.migration.id,
                digest: job.migration.digest,
                variant: job.variant,
                state: MigrationState::Applied,
                statements: job.count(),
                before: engine.before.as_ref(),
            };
            ledger::insert_migration(session, &engine.author, new).await.map(|()| true)
        }
        Direction::Down => ledger::delete_migration(session, &job.migration.id).await,
    };
    let changed =
        || Stop::LookAgain { why: "somebody else has changed the ledger".to_owned(), in_doubt: false };
    match claimed {
        Ok(true) => Ok(()),
        Ok(false) => Err(changed()),
        Err(error) if error.sqlstate() == Some("23505") => Err(changed()),
        Err(error) => Err(Stop::query(error, "write the migration into the ledger")),
    }
}

/// The last words in the ledger before the COMMIT.
pub(super) async fn finish(engine: &Engine<'_>, session: &Session) -> Result<(), Stop> {
    let job = &engine.job;
    own_settings(session).await?;
    let written = match job.direction {
        Direction::Up => ledger::mark_applied(session, &engine.author, &job.migration.id).await,
        // Of a script that ran in one transaction the row went at its beginning.
        Direction::Down if job.one_transaction => Ok(true),
        Direction::Down => ledger::delete_migration(session, &job.migration.id).await,
    };
    if !written.map_err(|e| Stop::query(e, "write the migration into the ledger"))? {
        let why = "the migration's row in the ledger is gone".to_owned();
        return Err(Stop::LookAgain { why, in_doubt: false });
    }
    let row = engine.row.as_ref();
    let entry = HistoryEntry {
        what: match job.direction {
            Direction::Up => "applied",
            Direction::Down => "rolled back",
        },
        id: &job.migration.id,
        digest: job.migration.digest,
        variant: row.map_or(job.variant, |row| row.variant),
        fingerprint_before: match row {
            Some(row) => row.fingerprint_before,
            None => engine.before.as_ref().map(|before| before.digest),
        },
        changes: engine.changes.as_ref(),
    };
    ledger::add_history(session, &engine.author, entry)
        .await
        .map_err(|e| Stop::query(e, "write the ledger's history"))
}

/// For the ledger's statements in a transaction of the script, which may have left any setting; gone at its end.
pub(super) async fn own_settings(session: &Session) -> Result<(), Stop> {
    let set = format!(
        "SET LOCAL role TO DEFAULT; SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL statement_timeout = 0; \
         SET LOCAL lock_timeout = {}",
        LEDGER_LOCK_TIMEOUT.as_millis()
    );
    session.client().batch_execute(&set).await.map_err(|e| Stop::query(session.error(e), "write the ledger"))
}

/// COMMIT, with a deadline on this side: a server that waits for a synchronous standby knows none.
pub(super) async fn commit(engine: &Engine<'_>, session: &Session) -> Result<(), Trouble> {
    let deadline = engine.job.limits.commit_deadline;
    let in_doubt = |why: String| Trouble::Stop(Stop::LookAgain { why, in_doubt: true });
    match tokio::time::timeout(deadline, session.client().batch_execute("COMMIT")).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => match session.error(error) {
            QueryError::Lost(why) => Err(in_doubt(why)),
            error if error.is_lock() => {
                Err(Trouble::Locked { index: engine.job.count().saturating_sub(1), error })
            }
            error => {
                // A constraint that was deferred, say. The server has rolled back.
                let doing = format!("the COMMIT of {} failed", engine.job.file);
                Err(Stop::failed(error.into_step_error(&doing)).into())
            }
        },
        Err(_) => {
            let time = stopover_model::duration::human(deadline);
            Err(in_doubt(format!("the COMMIT got no answer within {time}; is a synchronous standby gone?")))
        }
    }
}

/// Ends the transaction after trouble. A session to look again from is given up whole: it may never answer.
pub(super) async fn let_go(session: &Session, trouble: &Trouble) {
    if !matches!(trouble, Trouble::Stop(Stop::LookAgain { .. })) {
        rollback(session).await;
    }
}

/// Lets everything go. A session that is gone has.
async fn rollback(session: &Session) {
    let _ = session.client().batch_execute("ROLLBACK").await;
}

/// The number of the transaction that the session is in.
async fn transaction_id(session: &Session) -> Result<i64, Stop> {
    let answer = session.client().simple_query("SELECT pg_catalog.txid_current_if_assigned()").await;
    let answer = answer.map_err(|e| Stop::query(session.error(e), "read the transaction's number"))?;
    Ok(read_id(&answer).unwrap_or_default())
}

fn read_id(answer: &[SimpleQueryMessage]) -> Option<i64> {
    answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(row.len() - 1)?.parse().ok(),
        _ => None,
    })
}

fn ended_by_script(engine: &Engine<'_>) -> Stop {
    let message =
        format!("{} ended the transaction that it ran in, so some of it has taken effect", engine.job.file);
    let error = StepError::new(ErrorClass::Sql, message)
        .with_hint(
            "remove what commits or rolls back from the script; look at what is there before another try",
        )
        .with_effect(Effect::Partial);
    Stop::failed(error)
}
