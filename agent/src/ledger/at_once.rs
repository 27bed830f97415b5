//! What a migration writes on a session that the one before it has left: all of it in a statement at the transaction's
//! beginning, in one at its end, and in a look behind the COMMIT.
//!
//! Sent together with what they guard, the two fail where anything is not as it should be: then the transaction is over,
//! and nothing that comes behind them takes effect.

use std::sync::LazyLock;

use stopover_model::digest::Digest;
use stopover_model::id::MigrationId;
use stopover_model::plan::Variant;
use tokio_postgres::types::{Json, Type};

use super::Author;
use super::exclusion::LOCK_KEYS;
use super::read::MigrationRow;
use super::write::variant_name;
use crate::fingerprint::{COUNTS, Counts, Fingerprint, Looked, NO_MORE_LOOKING};
use crate::postgres::{Parameters, QueryError, Session};

/// A transaction that has the fence.
#[derive(Debug)]
pub struct Opened {
    pub transaction: i64,
    /// What the session had written before.
    pub counts: Counts,
}

/// Takes the fence inside a transaction that has just begun, where the migration is not in the ledger; the session takes
/// on the name, and the patience for what comes next. 22012: a newer epoch is there, or the migration is.
pub async fn open_at_once(
    session: &Session,
    author: &Author,
    id: &MigrationId,
    name: &str,
    lock_timeout: &str,
) -> Result<Opened, QueryError> {
    let parameters: Parameters<'_> = &[
        (&author.epoch(), Type::INT8),
        (&author.run.as_str(), Type::TEXT),
        (&id.as_str(), Type::TEXT),
        (&name, Type::TEXT),
        (&lock_timeout, Type::TEXT),
    ];
    let rows = session.query(&OPEN, parameters).await?;
    let row = rows.first().ok_or_else(|| QueryError::Answer("the fence".to_owned()))?;
    Ok(Opened { transaction: row.get(0), counts: Counts::read(row, 1) })
}

static OPEN: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH fence AS (UPDATE stopover.fence SET epoch = $1, run = $2, taken_at = pg_catalog.clock_timestamp() \
             WHERE epoch <= $1 RETURNING 1) \
         SELECT pg_catalog.txid_current(), counts.*, \
             1 / (SELECT pg_catalog.count(*) FROM fence), \
             1 / CASE WHEN EXISTS (SELECT FROM stopover.migration WHERE id = $3) THEN 0 ELSE 1 END, \
             pg_catalog.set_config('application_name', $4, false), pg_catalog.set_config('lock_timeout', $5, true), \
             pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true) \
         FROM ({COUNTS}) AS counts"
    )
});

/// A migration that has taken effect in the transaction that is open.
#[derive(Debug, Clone, Copy)]
pub struct AppliedAtOnce<'a> {
    pub id: &'a MigrationId,
    pub digest: Digest,
    pub variant: Variant,
    pub statements: u32,
    pub transaction: i64,
    pub before: &'a Fingerprint,
    pub looked: &'a Looked,
    /// Of the schema, with what was looked at.
    pub after: Digest,
    /// Whether the COMMIT waits for the server's disk. Where it does not, [`flush`] or a later one has to.
    pub waits: bool,
}

/// Adds the migration's row, its word in the history, and what it has changed of the schema. 23505: somebody else has
/// applied it; 22012: this is not the transaction that was opened.
pub async fn apply_at_once(
    session: &Session,
    author: &Author,
    applied: AppliedAtOnce<'_>,
) -> Result<(), QueryError> {
    let AppliedAtOnce { before, looked, .. } = applied;
    let (mut objects, mut hashes, mut definitions) = (Vec::new(), Vec::new(), Vec::new());
    for (object, seen) in before.new_in(looked) {
        objects.push(object.as_str());
        hashes.push(seen.short());
        definitions.push(seen.definition.as_deref());
    }
    let parameters: Parameters<'_> = &[
        (&applied.id.as_str(), Type::TEXT),
        (&applied.digest.to_string(), Type::TEXT),
        (&variant_name(applied.variant), Type::TEXT),
        (&author.deployment.as_str(), Type::TEXT),
        (&author.attempt(), Type::INT8),
        (&author.epoch(), Type::INT8),
        (&author.run.as_str(), Type::TEXT),
        (&author.agent.as_str(), Type::TEXT),
        (&i32::try_from(applied.statements).unwrap_or(i32::MAX), Type::INT4),
        (&before.digest.to_string(), Type::TEXT),
        (&applied.after.to_string(), Type::TEXT),
        (&Json(before.changes_with(looked)), Type::JSONB),
        (&objects, Type::TEXT_ARRAY),
        (&hashes, Type::TEXT_ARRAY),
        (&definitions, Type::TEXT_ARRAY),
        (&applied.transaction, Type::INT8),
        (&applied.waits, Type::BOOL),
    ];
    session.query(&APPLY, parameters).await.map(|_| ())
}

static APPLY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH added AS (INSERT INTO stopover.migration \
             (id, digest, state, variant, deployment, attempt, epoch, run, agent, statements, started_at, applied_at, \
              fingerprint_before, fingerprint_after, changes) \
             SELECT $1, $2, 'applied', $3, $4, $5, $6, $7, $8, $9, pg_catalog.transaction_timestamp(), \
                 pg_catalog.clock_timestamp(), $10, $11, $12 \
             WHERE pg_catalog.txid_current_if_assigned() = $16 RETURNING 1), \
         noted AS (INSERT INTO stopover.history \
             (what, migration, digest, variant, deployment, attempt, epoch, run, agent, fingerprint_before) \
             SELECT 'applied', $1, $2, $3, $4, $5, $6, $7, $8, $10), \
         head AS (UPDATE stopover.schema SET digest = CASE WHEN digest = $10 THEN $11 END, \
             at = pg_catalog.clock_timestamp(), deployment = $4, migration = $1, origin = NULL), \
         known AS (INSERT INTO stopover.object AS o (object, hash, definition) \
             SELECT * FROM ROWS FROM (pg_catalog.unnest($13), pg_catalog.unnest($14), pg_catalog.unnest($15)) AS s \
             ON CONFLICT (object) DO UPDATE SET hash = excluded.hash, definition = excluded.definition) \
         SELECT 1 / (SELECT pg_catalog.count(*) FROM added), {NO_MORE_LOOKING}, \
             pg_catalog.set_config('synchronous_commit', CASE WHEN NOT $17 THEN 'off' \
                 WHEN pg_catalog.current_setting('synchronous_commit') IN {WEAK} THEN 'on' \
                 ELSE pg_catalog.current_setting('synchronous_commit') END, true)"
    )
});

/// Values of `synchronous_commit` under which a COMMIT is answered before it is on every disk that it is to be on.
const WEAK: &str = "('off', 'local', 'remote_write')";

/// Brings all that the session has committed to the server's disk, with a COMMIT that waits. It writes the fence as it is:
/// a transaction that has written nothing would not wait.
pub async fn flush(session: &Session) -> Result<(), QueryError> {
    let sql = format!(
        "BEGIN; SELECT pg_catalog.set_config('synchronous_commit', 'on', true) \
         WHERE pg_catalog.current_setting('synchronous_commit') IN {WEAK}; \
         UPDATE stopover.fence SET taken_at = taken_at; COMMIT"
    );
    session.client().batch_execute(&sql).await.map_err(|e| session.error(e))?;
    session.unflushed().are_flushed();
    Ok(())
}

/// Behind the COMMIT, on a session that was made as good as new: the migration's row, and whether Stopover's lock is held
/// again.
pub async fn look_behind(
    session: &Session,
    id: &MigrationId,
) -> Result<(Option<MigrationRow>, bool), QueryError> {
    let parameters: Parameters<'_> =
        &[(&id.as_str(), Type::TEXT), (&LOCK_KEYS.0, Type::INT4), (&LOCK_KEYS.1, Type::INT4)];
    let rows = session.query(BEHIND, parameters).await?;
    let row = rows.first().ok_or_else(|| QueryError::Answer("the lock".to_owned()))?;
    let found = if row.get::<_, bool>("found") { Some(MigrationRow::read(row)?) } else { None };
    Ok((found, row.get("locked")))
}

/// What was just written is not read again: the lists of objects.
const BEHIND: &str = "SELECT locked, m.id IS NOT NULL AS found, digest, state, variant, deployment, run, \
        (extract(epoch FROM coalesce(applied_at, started_at)) * 1000000)::bigint AS at, \
        fingerprint_before, fingerprint_after, NULL::jsonb AS objects_before, NULL::jsonb AS changes, origin \
    FROM (SELECT pg_catalog.pg_try_advisory_lock($2, $3) AS locked) AS lock \
    LEFT JOIN stopover.migration m ON m.id = $1";
