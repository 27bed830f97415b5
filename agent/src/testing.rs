//! A step's surroundings for tests: a real database, and a context that reports to nobody.

pub(crate) mod server;

use std::sync::Arc;

use stopover_cluster::TestDatabase;
use stopover_model::event::{StageIndex, StepKey, StepKind};
use stopover_model::id::{Attempt, DeploymentId, Epoch, MigrationId};
use stopover_model::migration::Migration;
use stopover_model::report::LogLine;
use tokio_util::sync::CancellationToken;

use crate::postgres::{Database, DatabaseConfig};
use crate::step::{Reporter, StepContext};

pub(crate) fn database(url: &str) -> Arc<Database> {
    Arc::new(Database::new(&database_config(url)).unwrap())
}

pub(crate) fn database_config(url: &str) -> DatabaseConfig {
    DatabaseConfig {
        name: "users".parse().unwrap(),
        url: url.into(),
        labels: stopover_model::wave::Labels::default(),
        password_file: None,
        password_command: None,
        sslmode: None,
        sslrootcert: None,
        scratch_url: None,
        data_path: None,
        directory: std::path::PathBuf::new(),
    }
}

/// A context for a step on the database that the URL leads to.
pub(crate) fn context(url: &str, kind: StepKind) -> StepContext {
    let concerns_one =
        matches!(kind, StepKind::Migrate | StepKind::Verify | StepKind::Monitor | StepKind::Rollback);
    let migration: Option<MigrationId> = concerns_one.then(|| "001_x".parse().unwrap());
    StepContext {
        agent: "agent-1".parse().unwrap(),
        environment: "staging".parse().unwrap(),
        deployment: DeploymentId::from_random(u64::from(std::process::id())),
        step: StepKey { stage: StageIndex(0), database: "users".parse().unwrap(), kind, migration },
        attempt: Attempt(1),
        epoch: Epoch(1),
        run: "3f2a9c1d-0000-4000-8000-000000000000".parse().unwrap(),
        database: database(url),
        reporter: Reporter::new(),
        cancel: CancellationToken::new(),
        throttle: tokio::sync::watch::channel(stopover_model::backfill::Throttle::default()).1,
        pass: crate::step::Pass::default(),
        batches_until: tokio::sync::watch::channel(None).1,
    }
}

/// A database of one test, prepared by some SQL.
pub(crate) async fn prepared(sql: &str) -> TestDatabase {
    let database = TestDatabase::shared().await.unwrap();
    database.client().await.unwrap().batch_execute(sql).await.unwrap();
    database
}

pub(crate) fn migration(files: &[(&str, &str)]) -> Migration {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    Migration::parse("001_x".parse().unwrap(), files).unwrap()
}

/// The messages that a step reported.
pub(crate) fn messages(context: &StepContext) -> Vec<String> {
    let text = |line| match line {
        LogLine::Message { text } => Some(text),
        _ => None,
    };
    context.reporter.lines_after(0).into_iter().filter_map(|(_, line)| text(line)).collect()
}
