//! Whether other deployments have applied something on top of what is to be taken back.

use jiff::Timestamp;
use stopover_model::id::{DeploymentId, MigrationId};
use stopover_model::report::StepError;
use stopover_model::rollback::LaterMigration;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::postgres::{QueryError, Session};

/// Migrations that others have applied, or begun, after the first of these; the newest first. Epochs only grow in a
/// database, whatever its clock does. What counts as applied without having been run was there before.
pub(super) async fn later(
    session: &Session,
    deployment: &DeploymentId,
    ids: &[MigrationId],
) -> Result<Vec<LaterMigration>, StepError> {
    let found = read(session, deployment, ids).await;
    found.map_err(|error| error.into_step_error("look in the ledger for what was applied on top"))
}

async fn read(
    session: &Session,
    deployment: &DeploymentId,
    ids: &[MigrationId],
) -> Result<Vec<LaterMigration>, QueryError> {
    let there = "SELECT pg_catalog.to_regclass('stopover.migration') IS NOT NULL";
    let there = session.client().query_typed_one(there, &[]).await.map_err(|e| session.error(e))?;
    if !there.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    // A ledger that an earlier agent made has no column `origin`.
    let sql = "SELECT m.id, m.deployment, \
                   (extract(epoch FROM coalesce(m.applied_at, m.started_at)) * 1000000)::bigint AS at \
               FROM stopover.migration m \
               WHERE m.deployment <> $1 AND pg_catalog.to_jsonb(m) ->> 'origin' IS NULL \
                 AND m.epoch > (SELECT min(first.epoch) FROM stopover.migration first WHERE first.id = ANY ($2)) \
               ORDER BY m.epoch DESC, m.id";
    let ids: Vec<&str> = ids.iter().map(MigrationId::as_str).collect();
    let rows = session
        .client()
        .query_typed(sql, &[(&deployment.as_str(), Type::TEXT), (&ids, Type::TEXT_ARRAY)])
        .await
        .map_err(|e| session.error(e))?;
    rows.iter().map(migration).collect()
}

fn migration(row: &Row) -> Result<LaterMigration, QueryError> {
    let unreadable =
        |what: &str| QueryError::Answer(format!("{what} in the ledger is none; was it edited by hand?"));
    let at = Timestamp::from_microsecond(row.get("at")).map_err(|_| unreadable("a time"))?;
    Ok(LaterMigration {
        migration: row.get::<_, &str>("id").parse().map_err(|_| unreadable("the id of a migration"))?,
        deployment: row.get::<_, &str>("deployment").parse().map_err(|_| unreadable("a deployment's id"))?,
        at,
    })
}
