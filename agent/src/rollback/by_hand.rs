//! Whether a migration was taken back by other means, as somebody says: what it had made must be gone before that is
//! booked.

use stopover_model::migration::Migration;
use stopover_model::report::{ErrorClass, StepError};

use super::compare;
use crate::fingerprint;
use crate::ledger;
use crate::postgres::{Purpose, Session, SessionName};
use crate::step::StepContext;

/// An error where something that the migration has made is still there. Where nobody knows what it made, their word is
/// taken.
pub(super) async fn confirm(
    context: &StepContext,
    migration: &Migration,
    who: &str,
) -> Result<(), StepError> {
    let session = context.database.connect(&Purpose::reading(&SessionName::of(context))).await?;
    let left = left_behind(&session, migration).await;
    session.close().await;
    let left = left?;
    if left.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{who} says that {} was taken back by hand, and this is still there: {}; nothing was booked",
        migration.id,
        left.join(", ")
    );
    Err(StepError::new(ErrorClass::Check, message).with_hint(format!(
        "drop what is left, then say so again: stopover resolve {} --applied",
        context.deployment
    )))
}

async fn left_behind(session: &Session, migration: &Migration) -> Result<Vec<String>, StepError> {
    let row = ledger::migration(session, &migration.id).await;
    let row = row.map_err(|e| e.into_step_error("look at the migration's row in the ledger"))?;
    let Some(made) = row.and_then(|row| row.changes) else { return Ok(Vec::new()) };
    let now = fingerprint::take(session).await.map_err(|e| e.into_step_error("look at the schema"))?;
    Ok(compare(&made, None, &now).still_there)
}
