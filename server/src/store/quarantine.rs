//! What was rolled back in which environment: written with the events that say so, so that neither is there without the
//! other.

use stopover_model::digest::Digest;
use stopover_model::id::EnvironmentName;
use stopover_model::quarantine::{QuarantineChange, Quarantined};

use super::db::{Row, Tx, sql};
use super::error::{Cause, attempt};
use super::{Store, StoreError};

impl Store {
    /// What was rolled back in an environment and not applied there since, the oldest first.
    pub async fn quarantined(&self, environment: &EnvironmentName) -> Result<Vec<Quarantined>, StoreError> {
        let query = sql(
            "SELECT environment, digest, migration, deployment, at, rolled_back_by, cause FROM quarantine \
                         WHERE environment = $1 ORDER BY at, digest",
        )
        .bind(environment.as_str());
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.iter().map(quarantined).collect())
            .map_err(attempt(format_args!("read what was rolled back in {environment}")))
    }

    /// These contents count as applied in an environment.
    pub async fn lift_quarantine(
        &self,
        environment: &EnvironmentName,
        digests: impl IntoIterator<Item = Digest>,
    ) -> Result<(), StoreError> {
        let lift = |digest| QuarantineChange::Lift { environment: environment.clone(), digest };
        let changes: Vec<_> = digests.into_iter().map(lift).collect();
        self.change_quarantine(&changes)
            .await
            .map_err(attempt(format_args!("lift the quarantine in {environment}")))
    }

    async fn change_quarantine(&self, changes: &[QuarantineChange]) -> Result<(), Cause> {
        let mut tx = self.db.begin().await?;
        change(&mut tx, changes).await?;
        tx.commit().await
    }
}

/// Puts contents under quarantine, and lifts it.
pub(super) async fn change(tx: &mut Tx, changes: &[QuarantineChange]) -> Result<(), Cause> {
    for change in changes {
        let query = match change {
            QuarantineChange::Put(put) => put_in(put)?,
            QuarantineChange::Lift { environment, digest } => {
                sql("DELETE FROM quarantine WHERE environment = $1 AND digest = $2")
                    .bind(environment.as_str())
                    .bind(digest.to_string())
            }
        };
        tx.execute(query).await?;
    }
    Ok(())
}

fn put_in(put: &Quarantined) -> Result<super::db::Sql<'_>, Cause> {
    let by = serde_json::to_string(&put.by).map_err(|error| Cause::row("a new quarantine", error))?;
    Ok(sql("INSERT INTO quarantine (environment, digest, migration, deployment, at, rolled_back_by, cause) \
                VALUES ($1, $2, $3, $4, $5, $6, $7) \
                ON CONFLICT (environment, digest) DO UPDATE SET migration = excluded.migration, \
                deployment = excluded.deployment, at = excluded.at, rolled_back_by = excluded.rolled_back_by, \
                cause = excluded.cause")
    .bind(put.environment.as_str())
    .bind(put.digest.to_string())
    .bind(put.migration.as_str())
    .bind(put.deployment.as_str())
    .bind(put.at)
    .bind(by)
    .bind(put.cause.as_str()))
}

fn quarantined(row: &Row) -> Result<Quarantined, Cause> {
    Ok(Quarantined {
        environment: row.parsed("environment")?,
        digest: row.parsed("digest")?,
        migration: row.parsed("migration")?,
        deployment: row.parsed("deployment")?,
        at: row.time("at")?,
        by: row.json("rolled_back_by")?,
        cause: row.text("cause")?,
    })
}
