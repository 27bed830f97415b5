//! The one database that every tool gets in turn, empty.

use std::process::{Command, Stdio};

use stopover_cluster::Cluster;
use tokio_postgres::Client;

/// How to get there.
pub(crate) struct Place {
    port: u16,
    password: String,
    database: String,
}

impl Place {
    pub(crate) fn new(cluster: &Cluster, database: &str) -> Self {
        Self { port: cluster.port(), password: cluster.password().to_owned(), database: database.to_owned() }
    }

    pub(crate) fn url(&self) -> String {
        let Self { port, password, database } = self;
        format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// Empties it, and lets the server write out what the one before has left to write.
    pub(crate) async fn fresh(&self, cluster: &Cluster) {
        let admin = connect(cluster, "postgres").await;
        for sql in [
            format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.database),
            format!("CREATE DATABASE \"{}\"", self.database),
            "CHECKPOINT".to_owned(),
        ] {
            admin.batch_execute(&sql).await.expect("the administrator may do that");
        }
    }

    /// How many of the migrations' tables are there.
    pub(crate) async fn tables(&self, cluster: &Cluster) -> i64 {
        let client = connect(cluster, &self.database).await;
        let sql = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'accounts%'";
        client.query_one(sql, &[]).await.expect("an answer").get(0)
    }

    /// The yardstick of a run that has nothing to do.
    pub(crate) fn select_one(&self) {
        run(self.psql().args(["-c", "select 1"]));
    }

    pub(crate) fn psql(&self) -> Command {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", &self.url()]);
        psql
    }
}

/// Runs a program to its good end.
pub(crate) fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("the program can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn connect(cluster: &Cluster, database: &str) -> Client {
    cluster.client(database).await.expect("a connection")
}
