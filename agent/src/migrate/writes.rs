//! Transactions that hold nothing but rows of the ledger.

use super::Engine;
use super::stop::Stop;
use super::transaction::{Trouble, begin, commit, let_go, own_settings};
use crate::postgres::{QueryError, Session};

/// The end of a transaction that holds nothing but ledger rows.
pub(super) async fn ended<T>(session: &Session, result: Result<T, Trouble>) -> Result<T, Stop> {
    match result {
        Ok(value) => Ok(value),
        Err(trouble) => {
            let_go(session, &trouble).await;
            Err(match trouble {
                Trouble::Stop(stop) => stop,
                Trouble::Locked { error, .. } => Stop::query(error, "write the ledger"),
            })
        }
    }
}

/// A ledger write of one statement in a transaction of its own.
pub(super) async fn write(
    engine: &Engine<'_>,
    session: &Session,
    doing: &str,
    written: impl Future<Output = Result<(), QueryError>>,
) -> Result<(), Stop> {
    let wrote = async {
        begin(engine, session).await?;
        own_settings(session).await?;
        written.await.map_err(|e| Stop::query(e, doing))?;
        commit(engine, session).await
    };
    ended(session, wrote.await).await
}
