//! Drops the scratch databases that nobody holds any more: those of a killed agent, and copies whose rehearsal never came.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use stopover_model::id::EnvironmentName;
use stopover_model::report::StepError;
use tokio_postgres::types::Type;

use super::name::ScratchName;
use super::place::{Home, Mark, try_lock};
use crate::postgres::{Database, Purpose};

/// How long a kept copy waits for its rehearsal, which follows the backup at once unless something is in between.
const KEPT_FOR: Duration = Duration::from_hours(1);
const EVERY: Duration = Duration::from_mins(10);

/// Sweeps at once and then now and then, until it is dropped.
pub async fn sweep_now_and_then(environment: EnvironmentName, databases: Vec<Arc<Database>>) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        for database in &databases {
            match sweep(&environment, database).await {
                Ok(dropped) => {
                    for name in dropped {
                        tracing::info!(database = %database.name(), "dropped the scratch database {name}, which was left over");
                    }
                }
                Err(error) => {
                    tracing::debug!(database = %database.name(), "did not look for left-over scratch databases: {}", error.message);
                }
            }
        }
    }
}

/// Drops what is left over of the environment in the server where this database's scratches are made, and says what.
pub async fn sweep(
    environment: &EnvironmentName,
    database: &Arc<Database>,
) -> Result<Vec<String>, StepError> {
    let place = database.scratch().unwrap_or(database);
    let home = Home::open_as(place, Purpose::tidying()).await?;
    let swept = sweep_at(&home, environment).await;
    home.session.close().await;
    swept
}

async fn sweep_at(home: &Home, environment: &EnvironmentName) -> Result<Vec<String>, StepError> {
    let prefix = ScratchName::prefix(environment);
    let rows = home.session.query(FOUND, &[(&prefix, Type::TEXT)]).await;
    let rows = rows.map_err(|error| error.into_step_error("look for left-over scratch databases"))?;
    let mut dropped = Vec::new();
    for row in rows {
        let Some(name) = ScratchName::found(row.get(0), environment) else { continue };
        // Its lock is taken first: whoever takes the copy over from here on finds that somebody has it.
        if !try_lock(&home.session, &name).await? {
            continue;
        }
        let waits = home.mark_of(&name).await?.is_some_and(|mark| waits(&mark, Timestamp::now()));
        let done = if waits { Ok(false) } else { home.drop(&name).await.map(|()| true) };
        let unlock =
            format!("SELECT pg_catalog.pg_advisory_unlock({}, {})", super::name::LOCK_CLASS, name.lock_key());
        home.run("let a scratch database go", &unlock).await?;
        match done {
            Ok(true) => dropped.push(name.as_str().to_owned()),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(
                    scratch = name.as_str(),
                    "a left-over scratch database can't be dropped: {}",
                    error.message
                );
            }
        }
    }
    Ok(dropped)
}

/// A kept copy is nobody's for the moment between two steps.
fn waits(mark: &Mark, now: Timestamp) -> bool {
    let age = Duration::try_from(now.duration_since(mark.since)).unwrap_or_default();
    mark.kept && age < KEPT_FOR
}

/// A crash may have left the role alone.
const FOUND: &str = "
SELECT datname::text FROM pg_catalog.pg_database WHERE pg_catalog.starts_with(datname::text, $1)
UNION
SELECT rolname::text FROM pg_catalog.pg_roles WHERE pg_catalog.starts_with(rolname::text, $1)";
