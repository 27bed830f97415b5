//! The agent at work: it keeps a tunnel to the server, serves in it, and ends in good order.
//!
//! ```text
//! stop -> nothing new begins -> running steps have a grace -> the tunnel closes -> what still runs is cancelled -> end
//! ```

mod first_look;
mod outage;
#[cfg(feature = "simulated")]
pub mod simulated;
#[cfg(test)]
mod tests;
mod tunnel;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stopover_model::id::DatabaseName;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::backup::BackupSettings;
use crate::config::AgentConfig;
use crate::identity::{IdentityError, IdentityStore, Renewal, StoreError};
use crate::postgres::{Database, DatabaseConfig, InvalidDatabase};
use crate::scratch;
use crate::service::{AgentService, Settings};
use crate::web::{InvalidWeb, Web};
use crate::work::Registry;
use tunnel::Tunnels;

/// How long running steps may go on after the wish to stop.
const GRACE: Duration = Duration::from_secs(10);
/// How long they then have to clean up.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("agent.toml: the database {name} can't be used")]
    Database { name: DatabaseName, source: InvalidDatabase },
    #[error(transparent)]
    Web(#[from] InvalidWeb),
}

/// Runs until `stop`.
pub async fn run(config: AgentConfig, stop: CancellationToken) -> Result<(), RunError> {
    let store = IdentityStore::new(&config.state_dir);
    let identity = store.load()?;
    // Held until the end: one process uses this identity.
    let _taken = store.take()?;
    let settings = Settings {
        agent: identity.agent.clone(),
        environment: identity.environment.clone(),
        databases: databases(&config)?,
        backup: BackupSettings {
            directory: config.backup_directory,
            vault: config.vault,
            jobs: config.backup_jobs,
            command: config.backup_command,
            scratch: store.scratch(),
            programs: config.programs,
        },
        web: Web::new(config.web)?,
    };
    let names: Vec<&str> = settings.databases.keys().map(DatabaseName::as_str).collect();
    tracing::info!(
        agent = %identity.agent,
        environment = %identity.environment,
        databases = %names.join(", "),
        version = env!("CARGO_PKG_VERSION"),
        "the agent starts"
    );
    let looking = tokio::spawn(first_look::look(
        settings.databases.values().cloned().collect(),
        settings.agent.clone(),
    ));
    let sweeping = tokio::spawn(scratch::sweep_now_and_then(
        settings.environment.clone(),
        settings.databases.values().cloned().collect(),
    ));
    let work = Arc::new(Registry::new());
    let service = AgentService::new(settings, Arc::clone(&work));
    let renewal = Renewal::new(config.server.clone(), store, identity);
    let close = CancellationToken::new();
    let tunnels = Tunnels {
        server: config.server,
        identities: renewal.watch(),
        routes: service.into_routes(),
        work: Arc::clone(&work),
        close: close.clone(),
    };
    let renewing = tokio::spawn(renewal.run(close.clone()));
    let serving = tokio::spawn(tunnels.keep_open());
    stop.cancelled().await;
    looking.abort();
    sweeping.abort();
    end(&work, &close).await;
    // Both end by themselves now; a panic in one of them was logged where it happened.
    let _ = timeout(LAST_WORDS, async { tokio::join!(renewing, serving) }).await;
    Ok(())
}

async fn end(work: &Registry, close: &CancellationToken) {
    work.close();
    if work.running() > 0 {
        tracing::info!(running = work.running(), "stopping: running steps have {} s to end", GRACE.as_secs());
    }
    let in_time = timeout(GRACE, work.ended()).await.is_ok();
    // The tunnel closes first: a step that is cut off now is nobody's wish, and is taken up again after the restart.
    close.cancel();
    if !in_time {
        tracing::warn!(
            running = work.running(),
            "cutting off what still runs; it is taken up again after the restart"
        );
        work.cancel_all();
        let _ = timeout(LAST_WORDS, work.ended()).await;
    }
    tracing::info!("the agent has stopped");
}

fn databases(config: &AgentConfig) -> Result<BTreeMap<DatabaseName, Arc<Database>>, RunError> {
    let open = |database: &DatabaseConfig| {
        let name = database.name.clone();
        match Database::new(database) {
            Ok(database) => {
                database.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
                Ok((name, Arc::new(database)))
            }
            Err(source) => Err(RunError::Database { name, source }),
        }
    };
    config.databases.iter().map(open).collect()
}
