//! What the schema looked like when Stopover last left it, object by object, so that what others have changed since is
//! seen. Each function runs in the transaction that the caller has opened, unless it says otherwise.
//!
//! A migration that can say what it changed writes just that, together with its own row. Any other says beforehand that
//! the schema is about to change, and what was strange by then; whoever looks at it afterwards, be it after a crash,
//! takes on all but that.

use std::collections::BTreeMap;

use jiff::Timestamp;
use stopover_model::digest::Digest;
use stopover_model::id::MigrationId;
use tokio_postgres::types::{Json, ToSql, Type};

use super::Author;
use super::read::{json, timestamp};
use crate::fingerprint::{Change, Changes, Fingerprint, Looked, changes_since};
use crate::postgres::{QueryError, Session};

/// Since when, and through whom, the schema is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Of the server that was looked at.
    pub major: i32,
    pub at: Timestamp,
    pub deployment: String,
    pub migration: Option<String>,
    pub origin: Option<String>,
    /// The migration that changed the schema, or is about to, and was not looked at since.
    pub under_way: Option<String>,
    /// That one is begun and has not ended.
    pub under_way_is_open: bool,
    /// A migration that is begun and has not ended.
    pub open: Option<String>,
    strange: Strange,
}

/// Objects that were not as remembered before the migration that is under way, with their hash by then.
type Strange = BTreeMap<String, Option<String>>;

/// An object as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownObject {
    pub hash: String,
    pub definition: Option<String>,
}

/// Why a schema counts as known.
#[derive(Debug, Clone, Copy)]
pub enum KnownBy<'a> {
    Migration(&'a str),
    /// A person's word: "accepted by anna".
    Word(&'a str),
    /// It was like this when Stopover came.
    Found,
}

/// None: nothing is remembered. The ledger must be there, and of this version.
pub async fn remembered(session: &Session) -> Result<Option<Remembered>, QueryError> {
    let sql = "SELECT major, (extract(epoch FROM at) * 1000000)::bigint AS at, deployment, migration, origin, under_way, \
                   strange, EXISTS (SELECT FROM stopover.migration WHERE id = under_way AND state <> 'applied') AS is_open, \
                   (SELECT id FROM stopover.migration WHERE state <> 'applied' ORDER BY started_at LIMIT 1) AS open \
               FROM stopover.schema";
    let row = session.client().query_typed_opt(sql, &[]).await.map_err(|e| session.error(e))?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Remembered {
        major: row.get("major"),
        at: timestamp(row.get("at"))?,
        deployment: row.get("deployment"),
        migration: row.get("migration"),
        origin: row.get("origin"),
        under_way: row.get("under_way"),
        under_way_is_open: row.get("is_open"),
        open: row.get("open"),
        strange: json(&row, "strange")?.unwrap_or_default(),
    }))
}

/// Whether the ledger has a place for it: one that an earlier agent made has none.
pub async fn remembers(session: &Session) -> Result<bool, QueryError> {
    let sql = "SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = 'stopover' AND c.relname = 'schema' AND c.relkind = 'r'";
    let row = session.client().query_typed_opt(sql, &[]).await.map_err(|e| session.error(e))?;
    Ok(row.is_some())
}

pub async fn known_objects(session: &Session) -> Result<BTreeMap<String, KnownObject>, QueryError> {
    let sql = "SELECT object, hash, definition FROM stopover.object";
    let rows = session.client().query_typed(sql, &[]).await.map_err(|e| session.error(e))?;
    let known =
        |row: &tokio_postgres::Row| (row.get(0), KnownObject { hash: row.get(1), definition: row.get(2) });
    Ok(rows.iter().map(known).collect())
}

/// The objects that are not as remembered.
#[must_use]
pub fn differing(known: &BTreeMap<String, KnownObject>, look: &Fingerprint) -> Changes {
    changes_since(known, |known| &known.hash, &look.objects)
}

/// From now on the schema is known as it was looked at.
pub async fn remember(
    session: &Session,
    author: &Author,
    by: KnownBy<'_>,
    look: &Fingerprint,
) -> Result<(), QueryError> {
    remember_but(session, author, by, look, &Strange::new()).await
}

/// What a migration has seen itself to have changed.
pub async fn remember_changed(
    session: &Session,
    author: &Author,
    id: &MigrationId,
    before: &Fingerprint,
    looked: &Looked,
    after: Digest,
) -> Result<(), QueryError> {
    let (mut objects, mut hashes, mut definitions) = (Vec::new(), Vec::new(), Vec::new());
    for (object, seen) in before.new_in(looked) {
        objects.push(object.as_str());
        hashes.push(seen.short());
        definitions.push(seen.definition.as_deref());
    }
    let sql = format!(
        "WITH head AS (UPDATE stopover.schema SET digest = CASE WHEN digest = $4 THEN $5 END, \
             at = clock_timestamp(), deployment = $6, migration = $7, origin = NULL) {WRITE_OBJECTS}"
    );
    let parameters: &[(&(dyn ToSql + Sync), Type)] = &[
        (&objects, Type::TEXT_ARRAY),
        (&hashes, Type::TEXT_ARRAY),
        (&definitions, Type::TEXT_ARRAY),
        (&before.digest.to_string(), Type::TEXT),
        (&after.to_string(), Type::TEXT),
        (&author.deployment.as_str(), Type::TEXT),
        (&id.as_str(), Type::TEXT),
    ];
    session.execute(&sql, parameters).await.map(|_| ())
}

/// The schema is about to change, and nobody will see from within what of it. Until somebody has looked, nobody knows
/// whether the schema is as it should be.
pub async fn change_begins(
    session: &Session,
    id: &MigrationId,
    before: Option<&Fingerprint>,
) -> Result<(), QueryError> {
    let sql = "UPDATE stopover.schema SET under_way = $1, strange = '{}' \
               WHERE (digest = $2 OR $2 IS NULL) AND under_way IS DISTINCT FROM $1";
    let digest = before.map(|before| before.digest.to_string());
    let marked = session.execute(sql, &[(&id.as_str(), Type::TEXT), (&digest, Type::TEXT)]).await?;
    let (0, Some(before)) = (marked, before) else { return Ok(()) };
    let Some(remembered) = remembered(session).await? else { return Ok(()) };
    if remembered.under_way.as_deref() == Some(id.as_str()) {
        return Ok(());
    }
    let differing = differing(&known_objects(session).await?, before);
    let strange: Strange = differing.into_iter().map(|(object, (_, now))| (object, now)).collect();
    let sql = "UPDATE stopover.schema SET under_way = $1, strange = $2";
    session.execute(sql, &[(&id.as_str(), Type::TEXT), (&Json(&strange), Type::JSONB)]).await.map(|_| ())
}

/// It did not: the migration is not in the ledger.
pub async fn change_forgotten(session: &Session, id: &MigrationId) -> Result<(), QueryError> {
    let sql = "UPDATE stopover.schema SET under_way = NULL, strange = '{}' \
               WHERE under_way = $1 AND NOT EXISTS (SELECT FROM stopover.migration WHERE id = $1)";
    session.execute(sql, &[(&id.as_str(), Type::TEXT)]).await.map(|_| ())
}

/// What a migration, or its rollback, has made of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    pub id: &'a MigrationId,
    /// Before its first statement.
    pub before: Option<Digest>,
    pub after: &'a Fingerprint,
    /// Between the two, where that is known.
    pub changes: Option<&'a Changes>,
}

/// The schema has been looked at after the change.
pub(super) async fn change_ended(
    session: &Session,
    author: &Author,
    changed: Changed<'_>,
) -> Result<(), QueryError> {
    let Changed { id, before, after, changes } = changed;
    if let (Some(before), Some(changes)) = (before, changes) {
        // Nothing was strange: only what changed is written.
        let sql = "UPDATE stopover.schema SET digest = $3, at = clock_timestamp(), deployment = $4, migration = $1, \
                   origin = NULL, under_way = NULL WHERE under_way = $1 AND digest = $2 AND strange = '{}'";
        let parameters: &[(&(dyn ToSql + Sync), Type)] = &[
            (&id.as_str(), Type::TEXT),
            (&before.to_string(), Type::TEXT),
            (&after.digest.to_string(), Type::TEXT),
            (&author.deployment.as_str(), Type::TEXT),
        ];
        if session.execute(sql, parameters).await? == 1 {
            return write_objects(session, after, changes.iter()).await;
        }
    }
    let remembered = remembered(session).await?;
    let ours = remembered.filter(|remembered| remembered.under_way.as_deref() == Some(id.as_str()));
    let strange = ours.map(|remembered| remembered.strange).unwrap_or_default();
    remember_but(session, author, KnownBy::Migration(id.as_str()), after, &strange).await
}

/// The same for a change that ended long ago, and was never looked at.
pub async fn change_ended_unseen(
    session: &Session,
    author: &Author,
    remembered: &Remembered,
    look: &Fingerprint,
) -> Result<(), QueryError> {
    let by = remembered.under_way.as_deref().map_or(KnownBy::Found, KnownBy::Migration);
    remember_but(session, author, by, look, &remembered.strange).await
}

/// [`change_ended`] in a transaction of its own, which waits for no standby: what is lost is looked at again.
pub async fn settle_schema(
    session: &Session,
    author: &Author,
    changed: Changed<'_>,
) -> Result<(), QueryError> {
    alone(session, change_ended(session, author, changed)).await
}

/// Runs the work in a transaction of its own, whose end waits for no standby: one that is gone would hold it for ever.
pub(super) async fn alone(
    session: &Session,
    work: impl Future<Output = Result<(), QueryError>>,
) -> Result<(), QueryError> {
    let begin = "BEGIN; SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL synchronous_commit = local";
    let client = session.client();
    client.batch_execute(begin).await.map_err(|e| session.error(e))?;
    let done = work.await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await.map_err(|e| session.error(e))?;
    done
}

/// Takes the look on, all but what is still as strange as it was.
async fn remember_but(
    session: &Session,
    author: &Author,
    by: KnownBy<'_>,
    look: &Fingerprint,
    strange: &Strange,
) -> Result<(), QueryError> {
    let known = known_objects(session).await?;
    let differing = differing(&known, look);
    let (left, taken): (Vec<_>, Vec<_>) =
        differing.iter().partition(|(object, (_, now))| strange.get(*object) == Some(now));
    let digest = Some(look.digest.to_string()).filter(|_| left.is_empty());
    let (migration, origin) = match by {
        KnownBy::Migration(id) => (Some(id), None),
        KnownBy::Word(word) => (None, Some(word)),
        KnownBy::Found => (None, None),
    };
    let sql = "INSERT INTO stopover.schema (digest, major, deployment, migration, origin) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (only_row) DO UPDATE SET digest = $1, major = $2, at = clock_timestamp(), deployment = $3, \
               migration = $4, origin = $5, under_way = NULL, strange = '{}'";
    let parameters: &[(&(dyn ToSql + Sync), Type)] = &[
        (&digest, Type::TEXT),
        (&look.major(), Type::INT4),
        (&author.deployment.as_str(), Type::TEXT),
        (&migration, Type::TEXT),
        (&origin, Type::TEXT),
    ];
    session.execute(sql, parameters).await?;
    write_objects(session, look, taken.into_iter()).await
}

/// Of objects, hashes and definitions.
const WRITE_OBJECTS: &str = "
    INSERT INTO stopover.object AS o (object, hash, definition)
    SELECT * FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) AS s
    ON CONFLICT (object) DO UPDATE SET hash = excluded.hash, definition = excluded.definition";

/// What changed up to the look is remembered as it is there.
async fn write_objects(
    session: &Session,
    look: &Fingerprint,
    changes: impl Iterator<Item = (&String, &Change)>,
) -> Result<(), QueryError> {
    let (gone, new): (Vec<_>, Vec<_>) = changes.partition(|(_, (_, now))| now.is_none());
    let gone: Vec<&str> = gone.into_iter().map(|(object, _)| object.as_str()).collect();
    let new: Vec<&str> = new.into_iter().map(|(object, _)| object.as_str()).collect();
    if !gone.is_empty() {
        let sql = "DELETE FROM stopover.object WHERE object = ANY ($1)";
        session.execute(sql, &[(&gone, Type::TEXT_ARRAY)]).await?;
    }
    if new.is_empty() {
        return Ok(());
    }
    let hashes: Vec<Option<&String>> = new.iter().map(|object| look.objects.get(*object)).collect();
    let definitions: Vec<Option<&str>> = new.iter().map(|object| look.definition(object)).collect();
    let parameters: &[(&(dyn ToSql + Sync), Type)] =
        &[(&new, Type::TEXT_ARRAY), (&hashes, Type::TEXT_ARRAY), (&definitions, Type::TEXT_ARRAY)];
    session.execute(WRITE_OBJECTS, parameters).await.map(|_| ())
}

/// A word in the history: a person took the schema as it is.
pub async fn add_acceptance(
    session: &Session,
    author: &Author,
    origin: &str,
    look: &Fingerprint,
    changes: &Changes,
) -> Result<(), QueryError> {
    let sql = "INSERT INTO stopover.history (what, deployment, attempt, epoch, run, agent, digest, changes, origin) \
               VALUES ('drift accepted', $1, $2, $3, $4, $5, $6, $7, $8)";
    let parameters: &[(&(dyn ToSql + Sync), Type)] = &[
        (&author.deployment.as_str(), Type::TEXT),
        (&author.attempt(), Type::INT8),
        (&author.epoch(), Type::INT8),
        (&author.run.as_str(), Type::TEXT),
        (&author.agent.as_str(), Type::TEXT),
        (&look.digest.to_string(), Type::TEXT),
        (&Json(changes), Type::JSONB),
        (&origin, Type::TEXT),
    ];
    session.execute(sql, parameters).await.map(|_| ())
}
