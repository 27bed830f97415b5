//! Writes the ledger. Each function runs in the transaction that the caller has opened, unless it says otherwise.

use std::collections::BTreeMap;

use stopover_model::digest::Digest;
use stopover_model::id::MigrationId;
use stopover_model::plan::Variant;
use tokio_postgres::types::{Json, Type};

use super::remembered::{Changed, alone, change_ended};
use super::{Author, Direction, MigrationState};
use crate::fingerprint::{Changes, Fingerprint};
use crate::postgres::{Parameters, QueryError, Session};

/// What a migration's row says besides who wrote it.
#[derive(Debug, Clone, Copy)]
pub struct NewMigration<'a> {
    pub id: &'a MigrationId,
    pub digest: Digest,
    pub variant: Variant,
    pub state: MigrationState,
    pub statements: u32,
    /// The content whose row makes way for this one, of a script that runs again.
    pub replaces: Option<Digest>,
    pub before: Option<&'a Fingerprint>,
    /// Whether the row lists all objects: not where the migration will see itself what it changes.
    pub with_objects: bool,
}

/// What a migration says of the schema when it has taken effect; None: what the row says already.
#[derive(Debug, Clone, Default)]
pub struct Words<'a> {
    pub fingerprint_after: Option<Digest>,
    pub changes: Option<Changes>,
    pub objects_before: Option<&'a BTreeMap<String, String>>,
}

/// Adds a migration's row, in a transaction that has the fence and nowhere else: it may be sent together with what opens
/// that. 23505: it is there already; 55P03: an orphan's transaction has not ended.
pub async fn insert_migration(
    session: &Session,
    author: &Author,
    new: NewMigration<'_>,
) -> Result<(), QueryError> {
    if let Some(former) = new.replaces {
        let sql = "DELETE FROM stopover.migration WHERE id = $1 AND digest = $2 AND state = 'applied'";
        let parameters: Parameters<'_> = &[(&new.id.as_str(), Type::TEXT), (&former.to_string(), Type::TEXT)];
        session.execute(sql, parameters).await?;
    }
    let sql = "INSERT INTO stopover.migration \
               (id, digest, state, variant, deployment, attempt, epoch, run, agent, statements, fingerprint_before, \
                objects_before) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 \
               WHERE pg_catalog.txid_current_if_assigned() IS NOT NULL";
    let statements = i32::try_from(new.statements).unwrap_or(i32::MAX);
    let fingerprint = new.before.map(|b| b.digest.to_string());
    let objects = new.before.filter(|_| new.with_objects).map(|b| Json(&b.objects));
    let added = session
        .execute(
            sql,
            &[
                (&new.id.as_str(), Type::TEXT),
                (&new.digest.to_string(), Type::TEXT),
                (&new.state.as_str(), Type::TEXT),
                (&variant_name(new.variant), Type::TEXT),
                (&author.deployment.as_str(), Type::TEXT),
                (&author.attempt(), Type::INT8),
                (&author.epoch(), Type::INT8),
                (&author.run.as_str(), Type::TEXT),
                (&author.agent.as_str(), Type::TEXT),
                (&statements, Type::INT4),
                (&fingerprint, Type::TEXT),
                (&objects, Type::JSONB),
            ],
        )
        .await?;
    if added == 1 {
        Ok(())
    } else {
        Err(QueryError::Answer("the transaction of the migration's row".to_owned()))
    }
}

/// Says that the migration has taken effect; false when its row is not there as this run knows it. Then the transaction is
/// over: a COMMIT that was sent together with this rolls it back.
pub async fn mark_applied(
    session: &Session,
    author: &Author,
    id: &MigrationId,
    words: Words<'_>,
) -> Result<bool, QueryError> {
    let sql = "WITH marked AS (UPDATE stopover.migration SET state = 'applied', applied_at = clock_timestamp(), deployment = $2, \
               attempt = $3, epoch = $4, run = $5, agent = $6, fingerprint_after = coalesce($7, fingerprint_after), \
               changes = coalesce($8, changes), objects_before = coalesce($9, objects_before) \
               WHERE id = $1 AND state IN ('running', 'applied') RETURNING 1) SELECT 1 / count(*) FROM marked";
    let parameters: Parameters<'_> = &[
        (&id.as_str(), Type::TEXT),
        (&author.deployment.as_str(), Type::TEXT),
        (&author.attempt(), Type::INT8),
        (&author.epoch(), Type::INT8),
        (&author.run.as_str(), Type::TEXT),
        (&author.agent.as_str(), Type::TEXT),
        (&words.fingerprint_after.map(|d| d.to_string()), Type::TEXT),
        (&words.changes.as_ref().map(Json), Type::JSONB),
        (&words.objects_before.map(Json), Type::JSONB),
    ];
    match session.query(sql, parameters).await {
        Ok(_) => Ok(true),
        Err(error) if error.sqlstate() == Some("22012") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Says that a rollback has begun statement by statement.
pub async fn mark_reverting(session: &Session, id: &MigrationId) -> Result<bool, QueryError> {
    let sql = "UPDATE stopover.migration SET state = 'reverting' WHERE id = $1";
    Ok(session.execute(sql, &[(&id.as_str(), Type::TEXT)]).await? == 1)
}

/// Takes the migration and its statements out of the ledger; false when somebody else has.
pub async fn delete_migration(session: &Session, id: &MigrationId) -> Result<bool, QueryError> {
    let sql = "DELETE FROM stopover.migration WHERE id = $1";
    Ok(session.execute(sql, &[(&id.as_str(), Type::TEXT)]).await? == 1)
}

/// Takes a migration that was begun out of the ledger, unless a statement of it, or a batch, is there.
pub async fn forget_migration(session: &Session, id: &MigrationId) -> Result<(), QueryError> {
    let sql = "DELETE FROM stopover.migration m WHERE id = $1 AND state = 'running' \
               AND NOT EXISTS (SELECT FROM stopover.statement s WHERE s.migration = m.id) \
               AND NOT EXISTS (SELECT FROM stopover.backfill b WHERE b.migration = m.id AND b.batches > 0)";
    session.execute(sql, &[(&id.as_str(), Type::TEXT)]).await.map(|_| ())
}

/// What the history says besides who wrote it.
#[derive(Debug, Clone, Copy)]
pub struct HistoryEntry<'a> {
    /// "applied", "rolled back", "resolved as applied".
    pub what: &'a str,
    pub id: &'a MigrationId,
    pub digest: Digest,
    pub variant: Variant,
    pub fingerprint_before: Option<Digest>,
    pub changes: Option<&'a Changes>,
}

pub async fn add_history(
    session: &Session,
    author: &Author,
    entry: HistoryEntry<'_>,
) -> Result<(), QueryError> {
    let sql = "INSERT INTO stopover.history \
               (what, migration, digest, variant, deployment, attempt, epoch, run, agent, fingerprint_before, changes) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    session
        .execute(
            sql,
            &[
                (&entry.what, Type::TEXT),
                (&entry.id.as_str(), Type::TEXT),
                (&entry.digest.to_string(), Type::TEXT),
                (&variant_name(entry.variant), Type::TEXT),
                (&author.deployment.as_str(), Type::TEXT),
                (&author.attempt(), Type::INT8),
                (&author.epoch(), Type::INT8),
                (&author.run.as_str(), Type::TEXT),
                (&author.agent.as_str(), Type::TEXT),
                (&entry.fingerprint_before.map(|d| d.to_string()), Type::TEXT),
                (&entry.changes.map(Json), Type::JSONB),
            ],
        )
        .await?;
    Ok(())
}

/// Replaces the list of all objects by what the migration changed, and remembers the schema, in a transaction of its own.
/// What a failover loses is looked at again, so it waits for no standby.
pub async fn settle(
    session: &Session,
    author: &Author,
    id: &MigrationId,
    before: Option<Digest>,
    after: &Fingerprint,
    changes: Option<&Changes>,
) -> Result<(), QueryError> {
    let sql = "UPDATE stopover.migration SET fingerprint_after = $2, changes = $3, \
               objects_before = CASE WHEN $3 IS NULL THEN objects_before END \
               WHERE id = $1 AND run = $4 AND state = 'applied'";
    let parameters: Parameters<'_> = &[
        (&id.as_str(), Type::TEXT),
        (&after.digest.to_string(), Type::TEXT),
        (&changes.map(Json), Type::JSONB),
        (&author.run.as_str(), Type::TEXT),
    ];
    let settled = async {
        session.execute(sql, parameters).await?;
        change_ended(session, author, Changed { id, before, after, changes }).await
    };
    alone(session, settled).await
}

/// A statement's address in the ledger.
#[derive(Debug, Clone, Copy)]
pub struct StatementKey<'a> {
    pub id: &'a MigrationId,
    pub direction: Direction,
    pub index: u32,
}

impl StatementKey<'_> {
    pub(super) fn index(&self) -> i32 {
        i32::try_from(self.index).unwrap_or(i32::MAX)
    }
}

/// Adds the rows of statements, each with the rows that it touched, in these statements' own transaction. 23505: one of
/// them took effect already.
pub async fn statements_done(
    session: &Session,
    author: &Author,
    id: &MigrationId,
    direction: Direction,
    done: &[(u32, u64)],
) -> Result<(), QueryError> {
    let sql = "INSERT INTO stopover.statement \
               (migration, direction, index, state, epoch, run, pid, backend_start, done_at, rows) \
               SELECT $1, $2, done.index, 'done', $4, $5, $6, $7, pg_catalog.clock_timestamp(), done.rows \
               FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($8)) AS done (index, rows)";
    let identity = session.identity();
    let indexes: Vec<_> = done.iter().map(|(index, _)| i32::try_from(*index).unwrap_or(i32::MAX)).collect();
    let rows: Vec<_> = done.iter().map(|(_, rows)| i64::try_from(*rows).unwrap_or(i64::MAX)).collect();
    session
        .execute(
            sql,
            &[
                (&id.as_str(), Type::TEXT),
                (&direction.as_str(), Type::TEXT),
                (&indexes, Type::INT4_ARRAY),
                (&author.epoch(), Type::INT8),
                (&author.run.as_str(), Type::TEXT),
                (&identity.pid, Type::INT4),
                (&identity.backend_start, Type::INT8),
                (&rows, Type::INT8_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Says that a statement is about to run outside a transaction, and what is there before it.
pub async fn intend(
    session: &Session,
    author: &Author,
    key: StatementKey<'_>,
    noted: &[String],
) -> Result<(), QueryError> {
    let sql = "INSERT INTO stopover.statement AS s \
               (migration, direction, index, state, epoch, run, pid, backend_start, noted) \
               VALUES ($1, $2, $3, 'intent', $4, $5, $6, $7, $8) \
               ON CONFLICT (migration, direction, index) DO UPDATE SET epoch = $4, run = $5, pid = $6, \
               backend_start = $7, noted = $8, started_at = clock_timestamp(), failed = NULL WHERE s.state = 'intent'";
    let identity = session.identity();
    session
        .execute(
            sql,
            &[
                (&key.id.as_str(), Type::TEXT),
                (&key.direction.as_str(), Type::TEXT),
                (&key.index(), Type::INT4),
                (&author.epoch(), Type::INT8),
                (&author.run.as_str(), Type::TEXT),
                (&identity.pid, Type::INT4),
                (&identity.backend_start, Type::INT8),
                (&noted, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Says that an intended statement has taken effect.
pub async fn intent_done(session: &Session, key: StatementKey<'_>, rows: u64) -> Result<bool, QueryError> {
    let sql = "UPDATE stopover.statement SET state = 'done', done_at = clock_timestamp(), rows = $4, failed = NULL \
               WHERE migration = $1 AND direction = $2 AND index = $3";
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    let parameters: Parameters<'_> = &[
        (&key.id.as_str(), Type::TEXT),
        (&key.direction.as_str(), Type::TEXT),
        (&key.index(), Type::INT4),
        (&rows, Type::INT8),
    ];
    Ok(session.execute(sql, parameters).await? == 1)
}

/// Says that an intended statement failed, and may have committed something before.
pub async fn intent_failed(
    session: &Session,
    key: StatementKey<'_>,
    sqlstate: &str,
) -> Result<(), QueryError> {
    let sql = "UPDATE stopover.statement SET failed = $4 \
               WHERE migration = $1 AND direction = $2 AND index = $3 AND state = 'intent'";
    let parameters: Parameters<'_> = &[
        (&key.id.as_str(), Type::TEXT),
        (&key.direction.as_str(), Type::TEXT),
        (&key.index(), Type::INT4),
        (&sqlstate, Type::TEXT),
    ];
    session.execute(sql, parameters).await.map(|_| ())
}

/// Forgets an intent: nothing of the statement is left.
pub async fn intent_gone(session: &Session, key: StatementKey<'_>) -> Result<(), QueryError> {
    let sql = "DELETE FROM stopover.statement \
               WHERE migration = $1 AND direction = $2 AND index = $3 AND state = 'intent'";
    let parameters: Parameters<'_> =
        &[(&key.id.as_str(), Type::TEXT), (&key.direction.as_str(), Type::TEXT), (&key.index(), Type::INT4)];
    session.execute(sql, parameters).await.map(|_| ())
}

impl MigrationState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Applied => "applied",
            Self::Reverting => "reverting",
        }
    }
}

pub(super) fn variant_name(variant: Variant) -> &'static str {
    match variant {
        Variant::Standard => "standard",
        Variant::Batched => "batched",
    }
}
