//! Whether the databases can be used, said at the start: the first deployment is a bad moment to find out. Never ends the
//! agent: a database may be away for a while, and each step connects anew.

use std::sync::Arc;

use stopover_model::id::AgentName;
use stopover_model::report::StepError;

use crate::backup::recovery;
use crate::postgres::{Database, Purpose};

/// Tries each of them, at the same time.
pub(super) async fn look(databases: Vec<Arc<Database>>, agent: AgentName) {
    futures::future::join_all(databases.iter().map(|database| try_one(database, &agent))).await;
}

async fn try_one(database: &Database, agent: &AgentName) {
    let name = database.name();
    match database.connect(&Purpose::trying()).await {
        Ok(session) => {
            session.close().await;
            tracing::info!(database = %name, "the database can be reached");
            tidy(database, agent).await;
        }
        Err(error) => {
            let error = StepError::from(error);
            let hint = error.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            tracing::warn!(database = %name, "the database can't be used now: {}{hint}", error.message);
        }
    }
}

/// Drops what restores left that a killed agent was at.
async fn tidy(database: &Database, agent: &AgentName) {
    match recovery::drop_leftovers(database, agent).await {
        Ok(gone) if gone.is_empty() => {}
        Ok(gone) => tracing::info!("dropped what interrupted restores had left: {}", gone.join(", ")),
        Err(error) => {
            tracing::warn!("what interrupted restores left could not be dropped: {}", error.message);
        }
    }
}
