//! What every work transaction is made of: its opening under the fence, the watch over it, the ledger's words, its COMMIT.

use std::time::Duration;

use stopover_model::duration::human;
use stopover_model::report::{Effect, ErrorClass, StepError};
use stopover_model::sql::quoted;
use stopover_model::sql::{Isolation, TransactionModes};
use tokio_postgres::SimpleQueryMessage;

use super::Engine;
use super::engine::Observed;
use super::stop::Stop;
use crate::fingerprint::{Reach, stop_looking};
use crate::ledger::{self, Direction, HistoryEntry, MigrationState, NewMigration};
use crate::postgres::{DatabaseError, QueryError, Session};

/// For the ledger's own statements: nobody else should ever hold their rows.
pub(super) const LEDGER_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// How one try of a transaction ended, when it did not succeed.
pub(super) enum Trouble {
    /// A lock was not to be had at this statement; another try may get it.
    Locked {
        index: u32,
        error: QueryError,
    },
    Stop(Stop),
}

impl Trouble {
    /// A query on the ledger failed. A transaction with one snapshot may find a row changed behind it, and runs again.
    pub(super) fn ledger(error: QueryError, index: u32, doing: &str) -> Self {
        match error.sqlstate() {
            Some("40001") => Self::Locked { index, error },
            _ => Self::Stop(Stop::query(error, doing)),
        }
    }
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// How it is seen that the script has not ended the transaction that it runs in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Watch {
    /// By the transaction's number, before each statement and at the end.
    Number(i64),
    /// By its level at the end: a query before the script's first one would take the snapshot that all of them see, before
    /// a LOCK TABLE, say.
    Level(Isolation),
    /// A single statement has nothing behind it.
    Nothing,
}

impl Watch {
    pub(super) async fn over(session: &Session, modes: TransactionModes) -> Result<Self, Stop> {
        match modes.isolation {
            Some(level) if modes.one_snapshot() => Ok(Self::Level(level)),
            _ => ask(session, "SELECT pg_catalog.txid_current()").await.map(|id| Self::Number(number(&id))),
        }
    }
}

/// At the end of the script's statements.
pub(super) async fn still_inside(engine: &Engine<'_>, session: &Session, watch: Watch) -> Result<(), Stop> {
    let inside = match watch {
        Watch::Number(id) => number(&ask(session, CURRENT_ID).await?) == id,
        Watch::Level(level) => {
            ask(session, "SHOW transaction_isolation").await?.eq_ignore_ascii_case(level.sql())
        }
        Watch::Nothing => true,
    };
    if inside { Ok(()) } else { Err(ended_by_script(engine)) }
}

/// In a transaction with one snapshot the fence is held only now, before the ledger's rows: had anybody taken it since the
/// snapshot, this would fail.
pub(super) async fn hold_late_fence(
    engine: &Engine<'_>,
    session: &Session,
    modes: TransactionModes,
    index: u32,
) -> Result<(), Trouble> {
    if !modes.one_snapshot() {
        return Ok(());
    }
    let held = ledger::hold_fence(session, &engine.author).await;
    if held.map_err(|e| Trouble::ledger(e, index, "read the fence in the ledger"))? {
        return Ok(());
    }
    Err(Stop::fenced("a newer attempt", Effect::None).into())
}

/// As PostgreSQL says it of one wait.
pub(super) fn waited_too_long(limit: Duration) -> QueryError {
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
    begin_as(engine, session, TransactionModes::default()).await
}

/// The same with the modes that the script asks for. With one snapshot for all of it nothing here may be a query: the
/// fence is held at the end then, by [`hold_late_fence`].
pub(super) async fn begin_as(
    engine: &Engine<'_>,
    session: &Session,
    modes: TransactionModes,
) -> Result<ScriptRole, Stop> {
    let opening = format!(
        "BEGIN {}; SET LOCAL lock_timeout = {}; SHOW role; SET LOCAL role TO DEFAULT; SHOW role",
        modes.sql(),
        LEDGER_LOCK_TIMEOUT.as_millis()
    );
    let fence = async { if modes.one_snapshot() { Ok(true) } else { engine.hold_fence(session).await } };
    let (begun, held) = tokio::join!(session.client().simple_query(&opening), fence);
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
        let sql = format!("SET LOCAL role TO {}", quoted(&role));
        let set = session.client().batch_execute(&sql).await;
        set.map_err(|e| Stop::query(session.error(e), "go back to the script's role"))
    }
}

/// The ledger's row comes first: whoever has written it has done the work, or is doing it. (In a transaction with one
/// snapshot it comes last; whoever was quicker makes it fail then.)
pub(super) async fn claim(engine: &Engine<'_>, session: &Session) -> Result<(), Trouble> {
    // An error of the first is the one that counts.
    let (claimed, noted) = tokio::join!(write_row(engine, session), engine.change_begins(session));
    let changed =
        || Stop::LookAgain { why: "somebody else has changed the ledger".to_owned(), in_doubt: false };
    let index = engine.job.last();
    match claimed {
        Ok(true) => {
            noted.map_err(|e| Trouble::ledger(e, index, "write into the ledger that the schema changes"))
        }
        Ok(false) => Err(changed().into()),
        Err(error) if error.sqlstate() == Some("23505") => Err(changed().into()),
        Err(error) => Err(Trouble::ledger(error, index, "write the migration into the ledger")),
    }
}

async fn write_row(engine: &Engine<'_>, session: &Session) -> Result<bool, QueryError> {
    let job = &engine.job;
    match job.direction {
        Direction::Up => {
            let new = NewMigration {
                id: &job.migration.id,
                digest: job.migration.digest,
                variant: job.variant,
                state: MigrationState::Applied,
                statements: job.count(),
                replaces: engine.replaces,
                before: engine.before.as_deref(),
                with_objects: engine.reach == Reach::Anything,
            };
            ledger::insert_migration(session, &engine.author, new).await.map(|()| true)
        }
        Direction::Down => ledger::delete_migration(session, &job.migration.id).await,
    }
}

/// The ledger's last words, the COMMIT and a look at what it has left. Where each word is one statement, all of it is one
/// round trip: when a word fails, the COMMIT takes everything back.
pub(super) async fn finish(engine: &mut Engine<'_>, session: &Session) -> Result<(), Trouble> {
    if engine.reach != Reach::Anything && engine.seen.is_none() {
        last_words(engine, session).await?;
        return commit(engine, session).await;
    }
    let deadline = engine.job.limits.commit_deadline;
    let all = async {
        tokio::join!(
            last_words(engine, session),
            commit_at(engine, session, engine.job.last()),
            engine.look_behind(session)
        )
    };
    let Ok((words, committed, row)) = tokio::time::timeout(deadline, all).await else {
        return Err(no_answer_to_commit(deadline));
    };
    // Whatever else went wrong, nobody knows what became of a COMMIT without an answer.
    if let Err(Trouble::Stop(Stop::LookAgain { in_doubt: true, .. })) = &committed {
        return committed;
    }
    words?;
    committed?;
    engine.observed = Some(Observed(row?));
    Ok(())
}

/// The last words in the ledger before the COMMIT.
pub(super) async fn last_words(engine: &Engine<'_>, session: &Session) -> Result<(), Trouble> {
    let (own, forgotten, marked, added) = tokio::join!(
        own_settings(session),
        stop_looking(session),
        mark(engine, session),
        add_history(engine, session)
    );
    own?;
    forgotten.map_err(|e| Stop::query(e, "write the ledger"))?;
    marked?;
    added
}

async fn mark(engine: &Engine<'_>, session: &Session) -> Result<(), Trouble> {
    let job = &engine.job;
    let written = match job.direction {
        Direction::Up => {
            ledger::mark_applied(session, &engine.author, &job.migration.id, engine.words()).await
        }
        // Of a script that ran in one transaction the row went at its beginning.
        Direction::Down if job.one_transaction => Ok(true),
        Direction::Down => ledger::delete_migration(session, &job.migration.id).await,
    };
    if !written.map_err(|e| Trouble::ledger(e, job.last(), "write the migration into the ledger"))? {
        let why = "the migration's row in the ledger is gone".to_owned();
        return Err(Stop::LookAgain { why, in_doubt: false }.into());
    }
    Ok(())
}

async fn add_history(engine: &Engine<'_>, session: &Session) -> Result<(), Trouble> {
    let job = &engine.job;
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
    let (added, remembered) =
        tokio::join!(ledger::add_history(session, &engine.author, entry), engine.remember_seen(session));
    added.map_err(|e| Trouble::ledger(e, job.last(), "write the ledger's history"))?;
    remembered.map_err(|e| Trouble::ledger(e, job.last(), "remember the schema"))
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

/// COMMIT behind the script's last statement.
pub(super) async fn commit(engine: &Engine<'_>, session: &Session) -> Result<(), Trouble> {
    commit_at(engine, session, engine.job.last()).await
}

/// COMMIT behind this statement, with a deadline on this side: a server that waits for a synchronous standby knows none.
pub(super) async fn commit_at(engine: &Engine<'_>, session: &Session, index: u32) -> Result<(), Trouble> {
    let deadline = engine.job.limits.commit_deadline;
    let in_doubt = |why: String| Trouble::Stop(Stop::LookAgain { why, in_doubt: true });
    let committed = tokio::time::timeout(deadline, session.client().batch_execute("COMMIT")).await;
    if let Some(witness) = engine.job.witness {
        witness.released();
    }
    match committed {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => match session.error(error) {
            QueryError::Lost(why) => Err(in_doubt(why)),
            error if error.is_lock() => Err(Trouble::Locked { index, error }),
            error => {
                // A constraint that was deferred, say. The server has rolled back.
                let doing = format!("the COMMIT of {} failed", engine.job.file);
                Err(Stop::failed(error.into_step_error(&doing)).into())
            }
        },
        Err(_) => Err(no_answer_to_commit(deadline)),
    }
}

pub(super) fn no_answer_to_commit(deadline: Duration) -> Trouble {
    let why = format!("the COMMIT got no answer within {}; is a synchronous standby gone?", human(deadline));
    Stop::LookAgain { why, in_doubt: true }.into()
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

/// Of the transaction that the session is in.
pub(super) const CURRENT_ID: &str = "SELECT pg_catalog.txid_current_if_assigned()";

pub(super) async fn ask(session: &Session, sql: &str) -> Result<String, Stop> {
    let answer = session.client().simple_query(sql).await;
    let answer = answer.map_err(|e| Stop::query(session.error(e), "look at the transaction"))?;
    Ok(first_value(&answer))
}

pub(super) fn first_value(answer: &[SimpleQueryMessage]) -> String {
    let rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    rows.map(str::to_owned).next().unwrap_or_default()
}

/// 0 where there is none.
pub(super) fn number(text: &str) -> i64 {
    text.parse().unwrap_or_default()
}

pub(super) fn ended_by_script(engine: &Engine<'_>) -> Stop {
    let message =
        format!("{} ended the transaction that it ran in, so some of it has taken effect", engine.job.file);
    let error = StepError::new(ErrorClass::Sql, message)
        .with_hint(
            "remove what commits or rolls back from the script; look at what is there before another try",
        )
        .with_effect(Effect::Partial);
    Stop::failed(error)
}
