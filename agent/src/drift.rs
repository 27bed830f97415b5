//! Compares the schema with what Stopover remembers of it, and lets a person say that it is right as it is.
//!
//! Only what people make counts: extensions' members, temporary objects and the ledger are in no look at all; what an
//! interrupted or running REINDEX CONCURRENTLY leaves is passed over, and partitions that came or went are only counted.
//! Whose drift it is, and whether it matters, is never decided here.

mod accept;
mod difference;
mod object;
mod parts;

use std::collections::BTreeMap;
use std::time::Duration;

use stopover_model::drift::{Comparison, Drift, SchemaLook};
use stopover_model::report::StepError;

use crate::fingerprint::{self, Fingerprint};
use crate::ledger::{self, KnownObject, Remembered};
use crate::postgres::{Purpose, QueryError, Session, SessionName, shown};
use crate::step::StepContext;

pub use accept::accept;
use difference::difference;

/// What a person who asks is ready to wait.
const LONGEST: Duration = Duration::from_secs(30);
/// Besides these, objects are only counted.
const MOST_NAMED: usize = 200;
const NOTHING: &str = "nothing of the schema is recorded yet: the next migration does that";

/// Compares the schema, for a person who asks.
pub async fn look(context: &StepContext) -> Result<SchemaLook, StepError> {
    let name = SessionName { step: "drift".to_owned(), ..SessionName::of(context) };
    let session = context.database.connect(&Purpose::reading(&name)).await?;
    let found = compare(&session, LONGEST).await;
    session.close().await;
    found.map_err(not_compared)
}

/// Compares the schema in a read-only transaction of its own. Memory and catalogs are of one snapshot, so that a migration
/// which commits meanwhile is in both or in neither.
pub async fn compare(session: &Session, longest: Duration) -> Result<SchemaLook, QueryError> {
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = ''; SET LOCAL lock_timeout = '2s'; \
         SET LOCAL jit = off; SET LOCAL statement_timeout = {}",
        longest.as_millis()
    );
    session.client().batch_execute(&begin).await.map_err(|e| session.error(e))?;
    let compared = compare_inside(session).await;
    let ended = session.client().batch_execute("ROLLBACK").await.map_err(|e| session.error(e));
    let compared = compared?;
    ended.map(|()| compared)
}

async fn compare_inside(session: &Session) -> Result<SchemaLook, QueryError> {
    let unknown = |why: &str| Comparison::Unknown { why: why.to_owned() };
    if !ledger::remembers(session).await? {
        let now = fingerprint::take_inside(session).await?;
        return Ok(SchemaLook { schema: now.digest, comparison: unknown(NOTHING) });
    }
    let (remembered, known, now) = tokio::join!(
        ledger::remembered(session),
        ledger::known_objects(session),
        fingerprint::take_inside(session),
    );
    let (remembered, known, now) = (remembered?, known?, now?);
    let comparison = match remembered {
        None => unknown(NOTHING),
        Some(remembered) => match why_not_known(&remembered, &now) {
            Some(why) => Comparison::Unknown { why },
            None => Comparison::Known(drift(&remembered, &known, &now)?),
        },
    };
    Ok(SchemaLook { schema: now.digest, comparison })
}

/// Why the memory tells nothing of what others did.
fn why_not_known(remembered: &Remembered, now: &Fingerprint) -> Option<String> {
    if remembered.major != now.major() {
        return Some(format!(
            "the schema was recorded on PostgreSQL {}, and this is {}, which may write the same in other words: the next \
             migration records it anew",
            remembered.major,
            now.major()
        ));
    }
    if let Some(id) = &remembered.open {
        return Some(format!(
            "{} has begun and not ended: what else has changed can't be told",
            shown(id, 200)
        ));
    }
    let id = remembered.under_way.as_ref()?;
    Some(format!(
        "the schema was not looked at since {} changed it: the next migration does that",
        shown(id, 200)
    ))
}

/// What differs between two looks at one schema, each in a line: "index `public.users_i` is new (...)".
pub(crate) fn between(before: &Fingerprint, after: &Fingerprint) -> Vec<String> {
    if before.digest == after.digest {
        return Vec::new();
    }
    let known = |(object, hash): (&String, &String)| {
        let definition = before.definition(object).map(str::to_owned);
        (object.clone(), KnownObject { hash: hash.clone(), definition })
    };
    let found = difference(&before.objects.iter().map(known).collect(), after);
    let mut lines: Vec<String> = found.objects.iter().map(ToString::to_string).collect();
    if found.partitions > 0 {
        lines.push(format!("{} partitions came, went or changed their table", found.partitions));
    }
    lines
}

fn drift(
    remembered: &Remembered,
    known: &BTreeMap<String, KnownObject>,
    now: &Fingerprint,
) -> Result<Drift, QueryError> {
    let unreadable =
        |what: &str| QueryError::Answer(format!("{what} in the ledger is none; was it edited by hand?"));
    let mut found = difference(known, now);
    let more = found.objects.len().saturating_sub(MOST_NAMED) as u64;
    found.objects.truncate(MOST_NAMED);
    let migration = remembered.migration.as_ref().map(|id| id.parse());
    Ok(Drift {
        since: remembered.at,
        deployment: remembered.deployment.parse().map_err(|_| unreadable("a deployment's id"))?,
        migration: migration.transpose().map_err(|_| unreadable("the id of a migration"))?,
        origin: remembered.origin.as_ref().map(|origin| shown(origin, 200)),
        objects: found.objects,
        more,
        partitions: found.partitions,
    })
}

fn not_compared(error: QueryError) -> StepError {
    let denied = error.sqlstate() == Some("42501");
    let error = error.into_step_error("compare the schema with what is recorded of it");
    if !denied {
        return error;
    }
    error.with_hint(
        "GRANT USAGE ON SCHEMA stopover and ALL ON ALL TABLES IN SCHEMA stopover to the agent's user",
    )
}
