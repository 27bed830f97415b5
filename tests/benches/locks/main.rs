//! What an application feels of an `ALTER TABLE` that comes behind a reader of three seconds, and how long after the
//! reader's end the column is there: psql alone, and our deployment, pair by pair in one run on one durable cluster.
//!
//! Run it with `tests/bench locks`, which builds everything in release mode first. It asserts nothing about time: machines
//! are shared and noisy, and what counts is the difference to what is measured beside it, and to the same load when
//! nothing else happens. `STOPOVER_BENCH_PAIRS` changes the number of pairs.

mod figures;
mod load;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stopover_cluster::{Cluster, TestDatabase, seed};
use stopover_tests::Stack;
use stopover_tests::bench::number;
use stopover_tests::stack::AgentOptions;
use tokio::time::sleep;
use tokio_postgres::Client;

use figures::{Run, report};
use load::Load;

const PAIRS: usize = 5;
const ROWS: u64 = 100_000;
const QUIET: Duration = Duration::from_secs(3);
/// For so long the reader goes on after the DDL has first waited for it.
const READER: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(2);
const DEADLINE: Duration = Duration::from_mins(2);

#[tokio::main]
async fn main() {
    let pairs = number("STOPOVER_BENCH_PAIRS", PAIRS);
    let cluster = Cluster::builder().name("bench").durable(true).start().await.expect("a cluster");
    let database = TestDatabase::create(&cluster).await.expect("a database");
    let looking = database.client().await.expect("a connection");
    seed::users(&looking, ROWS, 1).await.expect("users");
    let reader = database.client().await.expect("a connection");
    let config = database.config();
    let url = database.url().to_owned();
    let mut stack = Stack::start().await;
    stack.environment_on("staging", database, AgentOptions::default()).await;
    stack.pipeline("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n").await;

    let scene = Scene { looking, reader, config };
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for pair in 1..=pairs {
        theirs.push(scene.play(&format!("psql_{pair}"), |sql| Ddl::psql(&url, sql)).await);
        let id = format!("{pair:03}_bench");
        ours.push(scene.play(&format!("ours_{pair}"), |sql| Ddl::deploy(&stack, &id, sql)).await);
    }
    report(&theirs, &ours);
}

/// A running DDL.
enum Ddl {
    Psql(Child),
    Deploy(tokio::task::JoinHandle<String>),
}

impl Ddl {
    fn psql(url: &str, sql: &str) -> Self {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, url]).stdin(Stdio::null());
        Self::Psql(psql.spawn().expect("psql can be started"))
    }

    fn deploy(stack: &Stack, id: &str, sql: &str) -> Self {
        let directory = stack.migration(id, &[("up.sql", sql)]);
        let cli = stack.cli.clone();
        Self::Deploy(tokio::spawn(async move { cli.ok(&["deploy", &directory]).await }))
    }

    async fn end(self) {
        match self {
            Self::Psql(mut child) => {
                let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("a thread");
                assert!(status.expect("psql's end").success(), "psql failed");
            }
            Self::Deploy(running) => {
                running.await.expect("the deployment's end");
            }
        }
    }
}

/// The same for everybody: a load, a reader, and a DDL behind it.
struct Scene {
    looking: Client,
    reader: Client,
    config: tokio_postgres::Config,
}

impl Scene {
    async fn play(&self, column: &str, ddl: impl FnOnce(&str) -> Ddl) -> Run {
        let load = Load::start(&self.config, ROWS).await;
        load.forget();
        sleep(QUIET).await;
        let quiet = load.take();
        self.reader.batch_execute("BEGIN; SELECT count(*) FROM users").await.expect("a reader");
        let ddl = ddl(&format!("ALTER TABLE users ADD COLUMN {column} text"));
        self.until(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'users'::regclass AND NOT granted \
             AND mode = 'AccessExclusiveLock')",
        )
        .await;
        load.forget();
        sleep(READER).await;
        self.reader.batch_execute("COMMIT").await.expect("the reader's end");
        let ended = Instant::now();
        self.until(&format!(
            "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = '{column}')"
        ))
        .await;
        let landed = ended.elapsed();
        let behind = load.take();
        ddl.end().await;
        load.stop().await;
        Run { quiet, behind, landed }
    }

    async fn until(&self, condition: &str) {
        let began = Instant::now();
        while !self.looking.query_one(condition, &[]).await.expect("an answer").get::<_, bool>(0) {
            assert!(began.elapsed() < DEADLINE, "waited too long for {condition}");
            sleep(LOOK).await;
        }
    }
}
