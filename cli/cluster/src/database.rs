//! A database for one test, dropped at its end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::{Client, Config};

use crate::cluster::{connect, quoted};
use crate::{Cluster, ClusterError};

const DROP_DEADLINE: Duration = Duration::from_secs(20);

/// An empty database that no other test sees. Dropping it drops the database, whoever is still connected.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    config: Config,
    superuser: Config,
    /// Keeps the shared cluster alive.
    keep_alive: Option<Cluster>,
}

impl TestDatabase {
    /// A database in the cluster that all tests share, for tests that need no more than that.
    pub async fn shared() -> Result<Self, ClusterError> {
        let cluster = Cluster::shared().await?;
        let mut database = Self::create(&cluster).await?;
        database.keep_alive = Some(cluster);
        Ok(database)
    }

    /// A database in this cluster, which must outlive it.
    pub async fn create(cluster: &Cluster) -> Result<Self, ClusterError> {
        let name = unique_name();
        cluster.create_database(&name).await?;
        Ok(Self {
            url: cluster.url(&name),
            config: cluster.config(&name),
            superuser: cluster.config("postgres"),
            name,
            keep_alive: None,
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The superuser's URL of this database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What [`TestDatabase::client`] connects with, to be changed at will.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// Connects as the superuser; the connection is driven by a task of its own.
    pub async fn client(&self) -> Result<Client, ClusterError> {
        connect("of the tests", &self.config).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (config, sql) =
            (self.superuser.clone(), format!("DROP DATABASE {} WITH (FORCE)", quoted(&self.name)));
        // The test's own runtime can't be waited for from here. A database that stays goes with its cluster.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let dropped = async {
                connect("of the tests", &config)
                    .await?
                    .batch_execute(&sql)
                    .await
                    .map_err(ClusterError::sql("drop"))
            };
            let _ = runtime.block_on(async { tokio::time::timeout(DROP_DEADLINE, dropped).await });
            Ok::<(), std::io::Error>(())
        })
        .join();
    }
}

/// Unique among the processes that share a cluster and among the tests of one process.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since_epoch =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() % 1_000_000_000);
    format!("test_{}_{}_{}", std::process::id(), since_epoch, COUNT.fetch_add(1, Ordering::Relaxed))
}
