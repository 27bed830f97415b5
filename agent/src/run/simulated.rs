//! Agents without databases: they join, connect and serve as all agents do, and make up what they report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use stopover_model::id::DatabaseName;
use stopover_model::wave::Labels;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::RunError;
use super::tunnel::Tunnels;
use crate::backup::BackupSettings;
use crate::config::AgentConfig;
use crate::identity::Identity;
use crate::postgres::{Database, DatabaseConfig};
use crate::service::{AgentService, Pretence, Settings};
use crate::web::Web;
use crate::work::Registry;

/// What all of them share.
pub struct Simulation {
    config: AgentConfig,
    web: Web,
    pretence: Pretence,
}

impl Simulation {
    /// The configuration's databases are of no account.
    pub fn new(config: AgentConfig, pretence: Pretence) -> Result<Self, RunError> {
        Ok(Self { web: Web::new(config.web.clone())?, config, pretence })
    }

    /// Keeps an agent's tunnel open until it is closed. Its certificate is not renewed.
    pub async fn keep_open(
        &self,
        identity: Identity,
        databases: Vec<DatabaseName>,
        close: CancellationToken,
    ) -> Result<(), RunError> {
        let config = &self.config;
        let settings = Settings {
            agent: identity.agent.clone(),
            environment: identity.environment.clone(),
            databases: databases.into_iter().map(nowhere).collect::<Result<BTreeMap<_, _>, _>>()?,
            backup: BackupSettings {
                directory: config.backup_directory.clone(),
                vault: config.vault.clone(),
                jobs: config.backup_jobs,
                command: config.backup_command.clone(),
                scratch: config.state_dir.clone(),
                programs: config.programs.clone(),
            },
            web: self.web.clone(),
        };
        let work = Arc::new(Registry::new());
        let service = AgentService::new(settings, Arc::clone(&work)).pretending(self.pretence.clone());
        // Held: whoever watches an identity whose sender is gone would think that it changes all the time.
        let (_held, identities) = watch::channel(identity);
        let (server, routes) = (config.server.clone(), service.into_routes());
        Tunnels { server, identities, routes, work, close }.keep_open().await;
        Ok(())
    }
}

/// A database at an address where nobody listens.
fn nowhere(name: DatabaseName) -> Result<(DatabaseName, Arc<Database>), RunError> {
    let config = DatabaseConfig {
        url: format!("postgresql://nobody@127.0.0.1:1/{name}?sslmode=disable").into(),
        name: name.clone(),
        password_file: None,
        password_command: None,
        sslmode: None,
        sslrootcert: None,
        scratch_url: None,
        labels: Labels::default(),
        data_path: None,
        directory: PathBuf::new(),
    };
    match Database::new(&config) {
        Ok(database) => Ok((name, Arc::new(database))),
        Err(source) => Err(RunError::Database { name, source }),
    }
}
