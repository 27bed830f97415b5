//! Dropping what is kept: on a person's word, or because a stage keeps nothing for so long.

use std::time::Duration;

use stopover_model::duration::human;
use stopover_model::id::SavedId;
use stopover_model::report::StepError;
use stopover_model::sql::quoted;
use tokio_postgres::types::Type;

use super::manifest::{Entry, entries};
use super::{SCHEMA, act};
use crate::postgres::{QueryError, Session};
use crate::step::StepContext;

/// Drops the values of each; the manifest says afterwards when and by whom. All of them or none.
pub async fn purge(context: &StepContext, ids: &[SavedId], by: &str) -> Result<(), StepError> {
    let session = act::open(context).await?;
    let purged = async {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.push(act::find(&session, id).await?);
        }
        act::transaction(&session, "purge what is saved", async || drop_all(&session, &found, by).await).await
    };
    let purged = purged.await;
    act::close(session).await;
    purged
}

/// Drops what is older, in a transaction of its own, and says of each what it was.
pub(crate) async fn purge_older(
    session: &Session,
    keep_for: Duration,
    by: &str,
) -> Result<Vec<String>, StepError> {
    let reading = |e: QueryError| e.into_step_error("read what is saved");
    let now = jiff::Timestamp::now();
    let mut old = entries(session, None, false).await.map_err(reading)?;
    old.retain(|entry| {
        let age = Duration::try_from(now.duration_since(entry.saved.at)).unwrap_or_default();
        age >= keep_for
    });
    if old.is_empty() {
        return Ok(Vec::new());
    }
    act::transaction(session, "purge what is saved", async || drop_all(session, &old, by).await).await?;
    let told = old.iter().map(|entry| {
        let Entry { saved, .. } = entry;
        format!(
            "purged {}, saved as {} on {} with {} rows: this stage keeps what was dropped for {}",
            saved.name(),
            saved.id,
            saved.at.strftime("%Y-%m-%d"),
            saved.rows,
            human(keep_for)
        )
    });
    Ok(told.collect())
}

async fn drop_all(session: &Session, entries: &[Entry], by: &str) -> Result<(), QueryError> {
    for entry in entries {
        if let Some(holder) = &entry.saved.holder {
            let drop = format!("DROP TABLE IF EXISTS {SCHEMA}.{}", quoted(holder));
            session.client().batch_execute(&drop).await.map_err(|e| session.error(e))?;
        }
        let sql = "UPDATE stopover_saved.manifest SET purged_at = clock_timestamp(), purged_by = $2, holder = NULL WHERE id = $1";
        session.execute(sql, &[(&entry.saved.id.as_str(), Type::TEXT), (&by, Type::TEXT)]).await?;
    }
    Ok(())
}
