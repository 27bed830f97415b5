//! One set of tests, run on SQLite and on PostgreSQL.

mod audit;
mod catalogue;
mod deployments;
mod enrolment;
mod follow_ups;
mod hook_tokens;
mod log;
mod measurements;
mod notifications;
mod operators;
mod people;
mod quarantine;
mod snapshots;

use std::collections::BTreeMap;

use jiff::Timestamp;
use stopover_cluster::TestDatabase;
use stopover_model::event::{Event, Record, Waiting};
use stopover_model::id::{DeploymentId, Seq};
use stopover_model::migration::Migration;
use stopover_model::pipeline::Pipeline;
use tempfile::TempDir;
use uuid::Uuid;

use super::{Bundle, Creation, NewDeployment, Projection, Store};

/// Makes of each function, which takes a [`Place`], two tests.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::store::tests::Place::sqlite()).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::store::tests::Place::postgres().await).await;
            })*
        }
    };
}
use on_both;

/// Where a store is; gone at the test's end.
pub(super) enum Place {
    Sqlite(TempDir),
    Postgres(Box<TestDatabase>),
}

impl Place {
    pub(super) fn sqlite() -> Self {
        Self::Sqlite(TempDir::new().unwrap())
    }

    pub(super) async fn postgres() -> Self {
        Self::Postgres(Box::new(TestDatabase::shared().await.unwrap()))
    }

    pub(super) async fn open(&self) -> Store {
        let url = match self {
            Self::Sqlite(directory) => format!("sqlite://{}", directory.path().join("store.db").display()),
            Self::Postgres(database) => database.url().to_owned(),
        };
        Store::open(&url).await.unwrap()
    }
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_microsecond(1_700_000_000_000_000 + second * 1_000_000 + 123_456).unwrap()
}

pub(super) fn id(number: u64) -> DeploymentId {
    DeploymentId::from_random(number)
}

pub(super) fn migration() -> Migration {
    let files = [("up.sql", "CREATE TABLE é (x int)"), ("down.sql", "DROP TABLE é")];
    let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    Migration::parse("001_e".parse().unwrap(), files.into()).unwrap()
}

pub(super) fn created(id: &DeploymentId, second: i64) -> Record {
    let text = "name = \"users-db\"\n[[stage]]\nenvironment = \"staging\"\nsoak = \"90s\"\n";
    let pipeline = Pipeline::parse("pipeline.toml", text).unwrap();
    let event = crate::testing::created(pipeline, &migration());
    Record { deployment: id.clone(), seq: Seq(1), at: at(second), event }
}

/// Creates a deployment of the sample.
pub(super) async fn create(store: &Store, id: &DeploymentId, second: i64, request_id: Uuid) -> Creation {
    let (record, migration) = (created(id, second), migration());
    let bundles = [Bundle { digest: migration.digest, files: migration.files() }];
    store.create_deployment(NewDeployment { record: &record, bundles: &bundles, request_id }).await.unwrap()
}

/// Some event that differs by its seq.
pub(super) fn waits(id: &DeploymentId, seq: u64) -> Record {
    let waiting = Waiting::Person { cause: format!("an \"odd\" cause \u{1b} é {seq}") };
    let event = Event::WaitingChanged { waiting: Some(waiting) };
    Record { deployment: id.clone(), seq: Seq(seq), at: at(i64::try_from(seq).unwrap()), event }
}

pub(super) fn going_on() -> Projection {
    Projection { outcome: None, at: "staging: migrate".to_owned() }
}

pub(super) fn files_of_sample() -> BTreeMap<String, Vec<u8>> {
    migration().files().clone()
}
