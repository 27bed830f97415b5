//! What an application feels of the guide's change to a table of a million users: pgbench at 400 transactions a second on
//! that table, quiet and then while the change is made. Three ways, one after the other in each round, each on a fresh
//! table: `psql -f` of the standard script; ours with the UPDATE as a backfill; and ours with a default that makes the
//! UPDATE needless.
//!
//! Run it with `tests/bench application`. It asserts nothing about time; what counts are the ratios.
//! `STOPOVER_BENCH_ROWS` and `STOPOVER_BENCH_PAIRS` change the numbers.

mod figures;
mod pgbench;

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use stopover_cluster::{TestDatabase, seed};
use stopover_tests::Stack;
use stopover_tests::bench::{large_cluster, number};
use stopover_tests::stack::AgentOptions;
use tokio::time::sleep;
use tokio_postgres::Client;

use figures::{Run, report};
use pgbench::{Pgbench, between};

const ROWS: u64 = 1_000_000;
const PAIRS: usize = 5;
const WARMING: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_secs(10);
/// Until those who were kept waiting are through, and in the log.
const AFTER: Duration = Duration::from_secs(5);

const STANDARD: &str = "BEGIN;
ALTER TABLE users ADD COLUMN onboarding_completed boolean, ALTER COLUMN onboarding_completed SET DEFAULT false;
UPDATE users SET onboarding_completed = true WHERE onboarding_completed IS NULL;
CREATE INDEX idx_users_onboarding_completed ON users (onboarding_completed);
COMMIT;
";

const BACKFILL: &str = "ALTER TABLE users ADD COLUMN onboarding_completed boolean, ALTER COLUMN onboarding_completed SET DEFAULT false;
-- stopover: backfill
UPDATE users SET onboarding_completed = true WHERE onboarding_completed IS NULL;
CREATE INDEX CONCURRENTLY idx_users_onboarding_completed ON users (onboarding_completed);
";

const DEFAULT: &str = "ALTER TABLE users ADD COLUMN onboarding_completed boolean DEFAULT true;
ALTER TABLE users ALTER COLUMN onboarding_completed SET DEFAULT false;
CREATE INDEX CONCURRENTLY idx_users_onboarding_completed ON users (onboarding_completed);
";

#[tokio::main]
async fn main() {
    let rows = number("STOPOVER_BENCH_ROWS", ROWS);
    let pairs = number("STOPOVER_BENCH_PAIRS", PAIRS);
    let cluster = large_cluster().start().await.expect("a cluster");
    let database = TestDatabase::create(&cluster).await.expect("a database");
    let client = database.client().await.expect("a connection");
    let url = database.url().to_owned();
    let mut stack = Stack::start().await;
    stack.environment_on("staging", database, AgentOptions::default()).await;
    stack.pipeline("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n").await;
    let scene = Scene { stack, client, url, rows };
    let (mut psql, mut backfill, mut default) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 1..=pairs {
        psql.push(scene.play(async || scene.psql()).await);
        backfill
            .push(scene.play(async || scene.deploy(&format!("{pair:03}_a_backfill"), BACKFILL).await).await);
        default.push(scene.play(async || scene.deploy(&format!("{pair:03}_b_default"), DEFAULT).await).await);
    }
    report(&[
        ("psql -f of the standard script", psql),
        ("ours, with a backfill", backfill),
        ("ours, with a default", default),
    ]);
}

struct Scene {
    stack: Stack,
    client: Client,
    url: String,
    rows: u64,
}

/// When a change began and ended.
struct Change {
    began: SystemTime,
    ended: SystemTime,
}

impl Scene {
    async fn play(&self, change: impl AsyncFnOnce() -> Change) -> Run {
        self.client.batch_execute("DROP TABLE IF EXISTS users CASCADE").await.expect("no table");
        seed::users(&self.client, self.rows, 1).await.expect("users");
        self.client.batch_execute("CHECKPOINT").await.expect("a checkpoint");
        let pgbench = Pgbench::start(&self.stack.directory().join("pgbench"), &self.url, self.rows);
        sleep(WARMING).await;
        let quiet = SystemTime::now();
        sleep(QUIET).await;
        let until = SystemTime::now();
        let Change { began, ended } = change().await;
        sleep(AFTER).await;
        let all = pgbench.end();
        Run {
            quiet: between(&all, quiet, until),
            during: between(&all, began, ended),
            took: ended.duration_since(began).unwrap_or_default(),
        }
    }

    fn psql(&self) -> Change {
        let file = self.stack.directory().join("standard.sql");
        std::fs::write(&file, STANDARD).expect("the script");
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&file).arg(&self.url).stdin(Stdio::null());
        let began = SystemTime::now();
        assert!(psql.status().expect("psql can be started").success(), "psql failed");
        Change { began, ended: SystemTime::now() }
    }

    /// The migration itself, by the ledger: the dump before it takes from nobody's table, and is measured elsewhere.
    async fn deploy(&self, id: &str, sql: &str) -> Change {
        self.stack.cli.ok(&["deploy", &self.stack.migration(id, &[("up.sql", sql)])]).await;
        let times = "SELECT started_at, applied_at FROM stopover.migration WHERE id = $1";
        let row = self.client.query_one(times, &[&id]).await.expect("its times");
        Change { began: row.get(0), ended: row.get(1) }
    }
}
