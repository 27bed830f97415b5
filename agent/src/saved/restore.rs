//! Putting back what was dropped: values into a column that is there again, rows into their table, or a whole table under
//! its name.
//!
//! Nothing that was written since is overwritten unasked. It goes in batches; a call ends after a while and says that there
//! is more.

use std::time::{Duration, Instant};

use stopover_model::report::{ErrorClass, StepError};
use stopover_model::saved::{RestoredValues, SavedWhat};

use super::back::Return;
use super::batch::{Replace, RestoreWork};
use super::{act, anew, shown_table};
use crate::postgres::Session;
use crate::step::StepContext;

/// A call goes on for so long; another goes on behind it.
const TURN: Duration = Duration::from_secs(20);

/// Puts back as much as a turn allows.
pub async fn restore(context: &StepContext, work: &RestoreWork) -> Result<RestoredValues, StepError> {
    let session = act::open(context).await?;
    let restored = on_session(&session, work).await;
    act::close(session).await;
    restored
}

async fn on_session(session: &Session, work: &RestoreWork) -> Result<RestoredValues, StepError> {
    let until = Instant::now() + TURN;
    let entry = act::find(session, &work.id).await?;
    let replace = if work.overwrite { Replace::Everything } else { Replace::Nothing };
    if let Some(mut found) = Return::of(session, entry.clone(), work, &replace).await? {
        return found.turn(session, until).await;
    }
    let wanted = work.into.clone().unwrap_or_else(|| entry.table.clone());
    if work.into.is_some() || entry.saved.what == SavedWhat::Table {
        return anew::make(session, &entry, &wanted, work).await;
    }
    let message = format!("there is no table {}", shown_table(&wanted));
    Err(StepError::new(ErrorClass::Setup, message).with_hint(
        "`--into TABLE` puts the values into a table of that name, which is made when it is not there",
    ))
}
