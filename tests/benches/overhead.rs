//! What a whole one-stage deployment of a trivial migration takes beyond bare `pg_dump` and psql doing the same, side by
//! side in one run; and the memory of server and agent at rest.
//!
//! Run it with `tests/bench`, which builds everything in release mode first. It asserts nothing about time: machines are
//! shared and noisy, and what counts is the difference to what is measured beside it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stopover_cluster::{Cluster, TestDatabase, seed};
use stopover_tests::bench::{Spread, ms, resident, say};
use stopover_tests::stack::AgentOptions;
use stopover_tests::{Process, Stack};

/// Pairs that count; one more goes before them.
const PAIRS: usize = 15;

#[tokio::main]
async fn main() {
    let cluster = Cluster::builder().name("bench").durable(true).start().await.expect("a cluster");
    let database = TestDatabase::create(&cluster).await.expect("a database");
    let client = database.client().await.expect("a connection");
    seed::users(&client, 1_000, 1).await.expect("users");
    let bare = Bare::new(&cluster, database.name());
    let mut stack = Stack::start().await;
    let place = stack.environment_on("staging", database, AgentOptions::default()).await;
    stack.pipeline("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n").await;

    let server = stack.server.as_ref().expect("the server");
    let agent = stack.agents[place].process.as_ref().expect("the agent");
    say(&format!("memory at rest: server {} MB, agent {} MB", memory(server), memory(agent)));

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for n in 0..=PAIRS {
        let up = format!("CREATE TABLE bench_ours_{n} (a int);");
        let directory = stack.migration(&format!("{n:03}_bench"), &[("up.sql", &up)]);
        let begun = Instant::now();
        stack.cli.ok(&["deploy", &directory]).await;
        let our_time = begun.elapsed();
        let their_time = bare.run(&stack, n);
        if n > 0 {
            ours.push(our_time);
            theirs.push(their_time);
        }
    }
    let beyond: Vec<_> = ours.iter().zip(&theirs).map(|(a, b)| a.saturating_sub(*b)).collect();
    say(&format!("one-stage deployment: {}", spread(&ours)));
    say(&format!("pg_dump -Fc, then psql -f: {}", spread(&theirs)));
    say(&format!("beyond, pair by pair: {}   (goal: at most 100 ms)", spread(&beyond)));
    let server = stack.server.as_ref().expect("the server");
    let agent = stack.agents[place].process.as_ref().expect("the agent");
    say(&format!(
        "memory after {} deployments: server {} MB, agent {} MB",
        PAIRS + 1,
        memory(server),
        memory(agent)
    ));
}

/// The same by hand.
struct Bare {
    port: u16,
    database: String,
    password_file: tempfile::NamedTempFile,
}

impl Bare {
    fn new(cluster: &Cluster, database: &str) -> Self {
        let password_file = tempfile::NamedTempFile::new().expect("a file");
        let line = format!("*:*:*:*:{}\n", cluster.password());
        fs::write(password_file.path(), line).expect("the passfile can be written");
        Self { port: cluster.port(), database: database.to_owned(), password_file }
    }

    fn run(&self, stack: &Stack, n: usize) -> Duration {
        let script = stack.directory().join(format!("bare-{n}.sql"));
        fs::write(&script, format!("CREATE TABLE bench_bare_{n} (a int);")).expect("a file");
        let dump = stack.directory().join(format!("bare-{n}.dump"));
        let begun = Instant::now();
        self.program("pg_dump", &["-Fc", "-f"], &dump);
        self.program("psql", &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"], &script);
        begun.elapsed()
    }

    fn program(&self, name: &str, args: &[&str], file: &Path) {
        let status = Command::new(name)
            .args(args)
            .arg(file)
            .env("PGPASSFILE", self.password_file.path())
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", &self.database)
            .stdout(Stdio::null())
            .status()
            .expect("PostgreSQL's client programs are installed");
        assert!(status.success(), "{name} failed");
    }
}

/// Resident set, in whole MB (10^6 bytes).
fn memory(process: &Process) -> u64 {
    resident(process.id()).div_ceil(1_000_000)
}

fn spread(times: &[Duration]) -> String {
    let spread = Spread::of(times.iter().copied().map(ms));
    spread.map_or_else(
        || "-".to_owned(),
        |Spread { least, median, most }| {
            format!("median {median:.0} ms ({least:.0} to {most:.0}, n = {})", times.len())
        },
    )
}
