//! What is looked at after deployments have ended: scheduled with the events that say so, changed one at a time.

use jiff::Timestamp;
use stopover_model::follow_up::{FailedFollowUp, FollowUpChange, FollowUpKey, Scheduled};
use stopover_model::id::DeploymentId;
use stopover_model::notice::Telling;

use super::db::{Row, Tx, sql};
use super::error::{Cause, attempt};
use super::{Store, StoreError, notifications};

impl Store {
    /// Of one deployment, in the order of their environments and names.
    pub async fn follow_ups(&self, deployment: &DeploymentId) -> Result<Vec<Scheduled>, StoreError> {
        let query = sql("SELECT body FROM follow_ups WHERE deployment = $1 \
                         ORDER BY environment, database_name, migration, name")
        .bind(deployment.as_str());
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.iter().map(scheduled).collect())
            .map_err(attempt(format_args!("read the follow-ups of deployment {deployment}")))
    }

    /// At most `limit` that are due by now, the oldest first.
    pub async fn follow_ups_due(&self, now: Timestamp, limit: u32) -> Result<Vec<Scheduled>, StoreError> {
        let query =
            sql("SELECT body FROM follow_ups WHERE due <= $1 ORDER BY due LIMIT $2").bind(now).bind(limit);
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.iter().map(scheduled).collect())
            .map_err(attempt("find the follow-ups that are due"))
    }

    /// Those of any deployment whose failure nobody has acknowledged.
    pub async fn failed_follow_ups(&self) -> Result<Vec<FailedFollowUp>, StoreError> {
        let rows =
            self.db.read(sql("SELECT body FROM follow_ups WHERE failed = 1 ORDER BY deployment, name")).await;
        let failed = |row: &Row| scheduled(row).map(|s| FailedFollowUp { key: s.key, digest: s.digest });
        rows.and_then(|rows| rows.iter().map(failed).collect())
            .map_err(attempt("find the follow-ups that failed"))
    }

    /// Changes one as it is now, and gives it back with what the change said; None where there is none.
    pub async fn change_follow_up<T>(
        &self,
        key: &FollowUpKey,
        change: impl FnOnce(&mut Scheduled) -> T,
    ) -> Result<Option<(Scheduled, T)>, StoreError> {
        let changed = self.changed(key, change, |_| Vec::new()).await;
        changed.map_err(attempt(format_args!("change the follow-up {key}")))
    }

    /// The same for what a run makes of it; what people are to be told of that goes with it.
    pub async fn record_follow_up(
        &self,
        key: &FollowUpKey,
        record: impl FnOnce(&mut Scheduled),
        tell: impl FnOnce(&Scheduled) -> Vec<Telling>,
    ) -> Result<Option<(Scheduled, ())>, StoreError> {
        let changed = self.changed(key, record, tell).await;
        changed.map_err(attempt(format_args!("write down a run of the follow-up {key}")))
    }

    async fn changed<T>(
        &self,
        key: &FollowUpKey,
        change: impl FnOnce(&mut Scheduled) -> T,
        tell: impl FnOnce(&Scheduled) -> Vec<Telling>,
    ) -> Result<Option<(Scheduled, T)>, Cause> {
        let mut tx = self.db.begin().await?;
        let Some(mut found) = lock(&mut tx, key).await? else { return Ok(None) };
        let said = change(&mut found);
        write(&mut tx, &found).await?;
        let news = notifications::change(&mut tx, &tell(&found)).await?;
        tx.commit().await?;
        if news {
            self.news.notify_one();
        }
        Ok(Some((found, said)))
    }
}

/// What the events of an append make of follow-ups.
pub(super) async fn change(tx: &mut Tx, changes: &[FollowUpChange]) -> Result<(), Cause> {
    for change in changes {
        match change {
            FollowUpChange::Schedule(scheduled) => write(tx, scheduled).await?,
            FollowUpChange::Cancel { deployment, environment, database, migration, at } => {
                let query = sql("SELECT body FROM follow_ups WHERE deployment = $1 AND environment = $2 \
                                 AND database_name = $3 AND migration = $4")
                .bind(deployment.as_str())
                .bind(environment.as_str())
                .bind(database.as_str())
                .bind(migration.as_str());
                for row in tx.all(query).await? {
                    let mut cancelled = scheduled(&row)?;
                    cancelled.cancel(*at);
                    write(tx, &cancelled).await?;
                }
            }
        }
    }
    Ok(())
}

/// Reads one that nobody else changes before the commit: the update changes nothing, and locks the row.
async fn lock(tx: &mut Tx, key: &FollowUpKey) -> Result<Option<Scheduled>, Cause> {
    let query = sql("UPDATE follow_ups SET failed = failed WHERE deployment = $1 AND environment = $2 \
                     AND database_name = $3 AND migration = $4 AND name = $5 RETURNING body")
    .bind(key.deployment.as_str())
    .bind(key.environment.as_str())
    .bind(key.database.as_str())
    .bind(key.migration.as_str())
    .bind(key.name.as_str());
    tx.first(query).await?.map(|row| scheduled(&row)).transpose()
}

async fn write(tx: &mut Tx, scheduled: &Scheduled) -> Result<(), Cause> {
    let body = serde_json::to_string(scheduled).map_err(|error| Cause::row("a follow-up", error))?;
    let key = &scheduled.key;
    let query = sql("INSERT INTO follow_ups \
                     (deployment, environment, database_name, migration, name, digest, due, failed, body) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                     ON CONFLICT (deployment, environment, database_name, migration, name) DO UPDATE SET \
                     due = excluded.due, failed = excluded.failed, body = excluded.body")
    .bind(key.deployment.as_str())
    .bind(key.environment.as_str())
    .bind(key.database.as_str())
    .bind(key.migration.as_str())
    .bind(key.name.as_str())
    .bind(scheduled.digest.to_string())
    .bind(scheduled.due().unwrap_or(Timestamp::MAX))
    .bind(u32::from(scheduled.has_failed()))
    .bind(body);
    tx.execute(query).await?;
    Ok(())
}

fn scheduled(row: &Row) -> Result<Scheduled, Cause> {
    row.json("body")
}
