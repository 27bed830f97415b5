//! A person says that the schema is right as it is: from then on that is what is remembered.

use std::time::Duration;

use stopover_model::digest::Digest;
use stopover_model::drift::SchemaLook;
use stopover_model::id::OperatorName;
use stopover_model::report::{ErrorClass, StepError};

use super::{LONGEST, compare, not_compared};
use crate::fingerprint::{self, Changes, Fingerprint};
use crate::ledger::exclusion::{release_lock, take_free_lock};
use crate::ledger::{self, Author, KnownBy};
use crate::postgres::{Purpose, Session, SessionName};
use crate::record::{failed, in_transaction};
use crate::step::StepContext;

/// A session that waits for its deployment's next migration is gone by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// Remembers the schema, when it is the one that the person has seen. Gives what differs then, which is nothing.
pub async fn accept(
    context: &StepContext,
    by: &OperatorName,
    schema: Digest,
) -> Result<SchemaLook, StepError> {
    let name = SessionName { step: "drift".to_owned(), ..SessionName::of(context) };
    let session = context.database.connect(&Purpose::writing(&name)).await?;
    let accepted = on_session(&session, context, by, schema).await;
    release_lock(&session).await;
    session.close().await;
    accepted
}

async fn on_session(
    session: &Session,
    context: &StepContext,
    by: &OperatorName,
    schema: Digest,
) -> Result<SchemaLook, StepError> {
    // A deployment may be waiting for this, so none is shut out; and none that works is ended for it.
    let locked = take_free_lock(session, PATIENCE).await;
    if !locked.map_err(|error| error.into_step_error("take Stopover's lock"))? {
        let message = format!("a step still runs on {}; nothing was written", context.database.name());
        return Err(
            StepError::new(ErrorClass::Lock, message).with_hint("wait for it to end: `stopover list`")
        );
    }
    ledger::ensure(session).await?;
    let look = fingerprint::take(session).await.map_err(|e| e.into_step_error("look at the schema"))?;
    if look.digest != schema {
        let message = "the schema has changed since it was shown; nothing was written";
        return Err(
            StepError::new(ErrorClass::Drift, message).with_hint("look at it again, and then accept it")
        );
    }
    in_transaction(session, write(session, &Author::of(context), by, &look)).await?;
    compare(session, LONGEST).await.map_err(not_compared)
}

async fn write(
    session: &Session,
    author: &Author,
    by: &OperatorName,
    look: &Fingerprint,
) -> Result<(), StepError> {
    let remembered = ledger::remembered(session).await.map_err(failed)?;
    if let Some(open) = remembered.as_ref().and_then(|remembered| remembered.open.as_ref()) {
        let message =
            format!("{open} has begun and not ended: the schema is neither before it nor behind it");
        return Err(StepError::new(ErrorClass::Setup, message)
            .with_hint("let its deployment end first: `stopover status` shows what it waits for"));
    }
    let known = ledger::known_objects(session).await.map_err(failed)?;
    let origin = format!("accepted by {by}");
    let changed = if remembered.is_some() { ledger::differing(&known, look) } else { Changes::new() };
    ledger::remember(session, author, KnownBy::Word(&origin), look).await.map_err(failed)?;
    ledger::add_acceptance(session, author, &origin, look, &changed).await.map_err(failed)
}
