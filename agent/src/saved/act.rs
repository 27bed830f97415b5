//! What a person asks for with something that is kept, under the lock of the database's one writer.

use std::time::Duration;

use stopover_model::id::SavedId;
use stopover_model::report::{ErrorClass, StepError};

use super::keep::WRITING;
use super::manifest::{Entry, entries};
use crate::ledger::exclusion::{release_lock, take_free_lock};
use crate::postgres::{Purpose, QueryError, Session, SessionName};
use crate::record::in_transaction;
use crate::step::StepContext;

/// A session that waits for its deployment's next migration is gone by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a session that may write, alone.
pub(super) async fn open(context: &StepContext) -> Result<Session, StepError> {
    let name = SessionName { step: "saved".to_owned(), ..SessionName::of(context) };
    let session = context.database.connect(&Purpose::writing(&name)).await?;
    // A deployment may rest in the environment meanwhile; no step of it runs beside this.
    match take_free_lock(&session, PATIENCE).await {
        Ok(true) => Ok(session),
        Ok(false) => {
            session.close().await;
            let message = format!("a step still runs on {}; nothing was written", context.database.name());
            Err(StepError::new(ErrorClass::Lock, message).with_hint("wait for it to end: `stopover list`"))
        }
        Err(error) => {
            session.close().await;
            Err(error.into_step_error("take Stopover's lock"))
        }
    }
}

pub(super) async fn close(session: Session) {
    release_lock(&session).await;
    session.close().await;
}

/// What is kept under the id, as long as it is.
pub(super) async fn find(session: &Session, id: &SavedId) -> Result<Entry, StepError> {
    let found =
        entries(session, Some(id), true).await.map_err(|e| e.into_step_error("read what is saved"))?;
    let Some(entry) = found.into_iter().next() else {
        let message = format!("nothing is saved as {id} in this database");
        return Err(StepError::new(ErrorClass::Setup, message)
            .with_hint("`stopover saved list ENVIRONMENT` shows what is"));
    };
    if let Some(purged) = &entry.saved.purged {
        let message =
            format!("{id} was purged by {}, {}", purged.by, purged.at.strftime("%Y-%m-%d %H:%M UTC"));
        return Err(StepError::new(ErrorClass::Setup, message).with_hint("a backup from before may have it"));
    }
    Ok(entry)
}

/// Runs the work in a transaction with the product's own settings; `doing` says what it is for.
pub(super) async fn transaction<T>(
    session: &Session,
    doing: &str,
    work: impl AsyncFnOnce() -> Result<T, QueryError>,
) -> Result<T, StepError> {
    let set = format!("SET LOCAL role TO DEFAULT; {WRITING}");
    let done = async {
        session.client().batch_execute(&set).await.map_err(|e| session.error(e))?;
        work().await
    };
    in_transaction(session, async { done.await.map_err(|e| e.into_step_error(doing)) }).await
}
