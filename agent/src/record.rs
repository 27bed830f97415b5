//! Writes migrations into the ledger that were applied before there was one: by another tool, or on a person's word.
//!
//! All of them or none, in one transaction, under the same lock and fence as a migration. Their SQL is never run.

use std::time::Duration;

use stopover_model::history::{AppliedMigration, Origin, Recorded};
use stopover_model::report::{Effect, ErrorClass, StepError};

use crate::fingerprint::{self, Fingerprint};
use crate::ledger::exclusion::{Excluded, Patience, release_lock, take_lock};
use crate::ledger::{self, Author, KnownBy, MigrationRow, MigrationState};
use crate::postgres::{Purpose, QueryError, Session, SessionName};
use crate::step::StepContext;

/// No deployment is in the environment: whoever holds the lock is about to let it go, or was left behind.
const PATIENCE: Patience = Patience { orphan: Duration::from_secs(2), stranger: Duration::from_secs(20) };
/// For the COMMIT, which may wait for ever for a synchronous standby.
const COMMIT_DEADLINE: Duration = Duration::from_secs(20);
/// A message names so many migrations at most.
const MOST_NAMED: usize = 5;

/// What to write.
#[derive(Debug, Clone)]
pub struct RecordWork {
    /// In the order in which they were applied.
    pub migrations: Vec<AppliedMigration>,
    pub origin: Origin,
}

/// Writes what is not there yet.
pub async fn run(context: &StepContext, work: &RecordWork) -> Result<Recorded, StepError> {
    let name = SessionName { step: work.origin.act().to_owned(), ..SessionName::of(context) };
    let session = context.database.connect(&Purpose::writing(&name)).await?;
    let recorded = on_session(&session, context, work).await;
    release_lock(&session).await;
    session.close().await;
    recorded
}

async fn on_session(
    session: &Session,
    context: &StepContext,
    work: &RecordWork,
) -> Result<Recorded, StepError> {
    take_lock(session, context, PATIENCE).await.map_err(Excluded::into_step_error)?;
    ledger::ensure(session).await?;
    // What they did to the schema is in it by now: as it is, it is known.
    let look = fingerprint::take(session).await.map_err(|e| e.into_step_error("look at the schema"))?;
    in_transaction(session, write(session, &Author::of(context), work, &look)).await
}

async fn write(
    session: &Session,
    author: &Author,
    work: &RecordWork,
    look: &Fingerprint,
) -> Result<Recorded, StepError> {
    if !ledger::take_fence(session, author).await.map_err(failed)? {
        let message = "a newer attempt has taken the database over; this one stops";
        return Err(StepError::new(ErrorClass::Fenced, message));
    }
    let existing = ledger::existing(session, &work.migrations).await.map_err(failed)?;
    let row_of = |migration: &AppliedMigration| {
        existing.iter().find(|(id, _)| id == migration.migration.as_str()).map(|(_, row)| row)
    };
    refuse_contradictions(&work.migrations, row_of)?;
    let (already, new): (Vec<_>, Vec<_>) =
        work.migrations.iter().cloned().partition(|migration| row_of(migration).is_some());
    ledger::record(session, author, &new, &work.origin).await.map_err(failed)?;
    let origin = work.origin.to_string();
    ledger::remember(session, author, KnownBy::Word(&origin), look).await.map_err(failed)?;
    let ids = |migrations: Vec<AppliedMigration>| migrations.into_iter().map(|m| m.migration).collect();
    Ok(Recorded { written: ids(new), already: ids(already) })
}

/// What the ledger knows otherwise is not overwritten.
fn refuse_contradictions<'a>(
    migrations: &'a [AppliedMigration],
    row_of: impl Fn(&AppliedMigration) -> Option<&'a MigrationRow>,
) -> Result<(), StepError> {
    let known = || migrations.iter().filter_map(|migration| Some((migration, row_of(migration)?)));
    let other = |(migration, row): (&AppliedMigration, &MigrationRow)| {
        let (there, here) = (row.digest.short(), migration.digest.short());
        let differs = row.digest != migration.digest;
        differs.then(|| format!("{} ({there} there, {here} here)", migration.migration))
    };
    let others: Vec<String> = known().filter_map(other).collect();
    if !others.is_empty() {
        let message = format!("in the ledger with other content: {}; nothing was written", some_of(&others));
        return Err(StepError::new(ErrorClass::Drift, message)
            .with_hint("restore the files as they were applied, and put the change into a new migration"));
    }
    let open = known().filter(|(_, row)| row.state != MigrationState::Applied);
    let open: Vec<String> =
        open.map(|(migration, row)| format!("{} (by {})", migration.migration, row.deployment)).collect();
    if !open.is_empty() {
        let message = format!("begun and not ended: {}; nothing was written", some_of(&open));
        return Err(StepError::new(ErrorClass::Setup, message)
            .with_hint("let their deployment end first: `stopover status` shows what it waits for"));
    }
    Ok(())
}

fn some_of(texts: &[String]) -> String {
    let more = texts.len().saturating_sub(MOST_NAMED);
    let named = texts.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named}, and {more} more") }
}

/// Does an act's work on the ledger, all of it or nothing.
pub(crate) async fn in_transaction<T>(
    session: &Session,
    work: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL search_path = pg_catalog, pg_temp; \
                 SET LOCAL lock_timeout = '5s'";
    let done = async {
        session.client().batch_execute(begin).await.map_err(|e| failed(session.error(e)))?;
        work.await
    };
    match done.await {
        Ok(done) => commit(session).await.map(|()| done),
        Err(error) => {
            // A session that is gone has rolled back.
            let _ = session.client().batch_execute("ROLLBACK").await;
            Err(error)
        }
    }
}

async fn commit(session: &Session) -> Result<(), StepError> {
    let in_doubt = |why: String| {
        let message = format!("whether the ledger was written is not known: {why}");
        StepError::new(ErrorClass::Transient, message)
            .with_effect(Effect::Possible)
            .with_hint("run the same command again: what is there already is left as it is")
    };
    match tokio::time::timeout(COMMIT_DEADLINE, session.client().batch_execute("COMMIT")).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(match session.error(error) {
            QueryError::Lost(why) => in_doubt(why),
            error => failed(error),
        }),
        Err(_) => Err(in_doubt("the COMMIT got no answer; is a synchronous standby gone?".to_owned())),
    }
}

pub(crate) fn failed(error: QueryError) -> StepError {
    error.into_step_error("write the ledger")
}
