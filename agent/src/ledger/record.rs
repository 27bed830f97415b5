//! Rows for migrations that no deployment ran. Each function runs in the transaction that the caller has opened.

use stopover_model::history::{AppliedMigration, Origin};
use tokio_postgres::types::{ToSql, Type};

use super::read::{COLUMNS, MigrationRow};
use super::{Author, MigrationState};
use crate::postgres::{QueryError, Session};

/// The rows of those migrations that have one.
pub async fn existing(
    session: &Session,
    migrations: &[AppliedMigration],
) -> Result<Vec<(String, MigrationRow)>, QueryError> {
    let ids = ids(migrations);
    let sql = format!("SELECT {COLUMNS}, origin, id FROM stopover.migration WHERE id = ANY ($1)");
    let rows = session.client().query_typed(&sql, &[(&ids, Type::TEXT_ARRAY)]).await;
    let rows = rows.map_err(|e| session.error(e))?;
    rows.iter().map(|row| Ok((row.get("id"), MigrationRow::read(row)?))).collect()
}

/// Adds the migrations as applied, with a word in the history for each.
pub async fn record(
    session: &Session,
    author: &Author,
    migrations: &[AppliedMigration],
    origin: &Origin,
) -> Result<(), QueryError> {
    let digests: Vec<String> = migrations.iter().map(|m| m.digest.to_string()).collect();
    let (state, act, origin) = (MigrationState::Applied.as_str(), origin.act(), origin.to_string());
    let rows = "INSERT INTO stopover.migration \
                (id, digest, state, variant, deployment, attempt, epoch, run, agent, statements, applied_at, origin) \
                SELECT m.id, m.digest, $9, 'standard', $3, $4, $5, $6, $7, 0, clock_timestamp(), $8 \
                FROM unnest($1, $2) WITH ORDINALITY AS m (id, digest, place) ORDER BY m.place";
    let history = "INSERT INTO stopover.history \
                   (what, migration, digest, variant, deployment, attempt, epoch, run, agent, origin) \
                   SELECT $9, m.id, m.digest, 'standard', $3, $4, $5, $6, $7, $8 \
                   FROM unnest($1, $2) WITH ORDINALITY AS m (id, digest, place) ORDER BY m.place";
    for (sql, word) in [(rows, state), (history, act)] {
        let parameters: &[(&(dyn ToSql + Sync), Type)] = &[
            (&ids(migrations), Type::TEXT_ARRAY),
            (&digests, Type::TEXT_ARRAY),
            (&author.deployment.as_str(), Type::TEXT),
            (&author.attempt(), Type::INT8),
            (&author.epoch(), Type::INT8),
            (&author.run.as_str(), Type::TEXT),
            (&author.agent.as_str(), Type::TEXT),
            (&origin, Type::TEXT),
            (&word, Type::TEXT),
        ];
        session.client().execute_typed(sql, parameters).await.map_err(|e| session.error(e))?;
    }
    Ok(())
}

fn ids(migrations: &[AppliedMigration]) -> Vec<&str> {
    migrations.iter().map(|m| m.migration.as_str()).collect()
}
