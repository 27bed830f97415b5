//! The history tables that other tools keep in a database, found by what their columns are, and read as they are.
//!
//! Nothing is written, and nothing is concluded: which rows count, and for which migrations, is the model's affair.

mod find;
mod read;
#[cfg(test)]
mod tests;

use stopover_model::history::Histories;
use stopover_model::id::MigrationId;
use stopover_model::report::StepError;

use crate::ledger;
use crate::postgres::{Purpose, Session, SessionName, step_error};
use crate::step::StepContext;

/// Reads all histories, and what the ledger says of these migrations.
pub async fn look(context: &StepContext, migrations: &[MigrationId]) -> Result<Histories, StepError> {
    let name = SessionName { step: "history".to_owned(), ..SessionName::of(context) };
    let session = context.database.connect(&Purpose::reading(&name)).await?;
    let found = look_through(&session, migrations).await;
    session.close().await;
    found
}

async fn look_through(session: &Session, migrations: &[MigrationId]) -> Result<Histories, StepError> {
    // The tool itself may be at work, and hold its table.
    let hurry =
        session.client().batch_execute("SET lock_timeout = '5s'; SET search_path = pg_catalog, pg_temp");
    hurry.await.map_err(|error| step_error("could not begin to look for histories", error))?;
    let mut tables = Vec::new();
    for found in find::tables(session).await? {
        tables.push(read::table(session, found).await?);
    }
    let ledger = ledger::entries(session.client(), migrations).await?;
    Ok(Histories { tables, ledger })
}
