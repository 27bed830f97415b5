//! What several modules' tests need: a store in a file, a pipeline, migrations, patience.

pub(crate) mod issuer;

use std::time::Duration;

use jiff::Timestamp;
use stopover_model::deployment::Deployment;
use stopover_model::event::{DeploymentKind, Event};
use stopover_model::migration::Migration;
use stopover_model::pipeline::Pipeline;
use stopover_model::plan::MigrationSummary;
use tempfile::TempDir;

use crate::hooks::Caller;
use crate::notify::Sender;
use crate::secrets::Secrets;
use crate::store::Store;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_file(&dir.path().join("store.db")).await.unwrap();
    (dir, store)
}

/// One that has no secrets and no mail server.
pub(crate) fn sender() -> Sender {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Sender::new(Secrets::default(), None).unwrap()
}

/// Calls from a server that is reached at an address that nobody has.
pub(crate) fn caller() -> Caller {
    Caller::new(sender(), "https://stopover.invalid")
}

pub(crate) fn pipeline(name: &str) -> Pipeline {
    let text = format!("name = \"{name}\"\n[[stage]]\nenvironment = \"staging\"\n");
    Pipeline::parse("pipeline.toml", &text).unwrap()
}

pub(crate) fn migration(id: &str) -> Migration {
    let files = [("up.sql", format!("SELECT '{id}'")), ("down.sql", "SELECT 2".to_owned())];
    let files = files.map(|(name, text)| (name.to_owned(), text.into_bytes()));
    Migration::parse(id.parse().unwrap(), files.into()).unwrap()
}

/// Anna's deployment of this through that.
pub(crate) fn created(pipeline: Pipeline, migration: &Migration) -> Event {
    let migrations = vec![MigrationSummary::of(migration)];
    let digest = Deployment::digest_of(&pipeline, &migrations);
    Event::Created {
        pipeline,
        migrations,
        digest,
        by: "anna".parse().unwrap(),
        lint: Vec::new(),
        again: None,
        restore_saved: false,
        kind: DeploymentKind::Migration,
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen in time"))
}
