//! Estimates beside what it took, at a million rows: from a sample in the first environment, from the rates that were
//! measured there in the second run of the same kind of work.
//!
//! Run it with `tests/bench estimate`. It asserts nothing about time; what counts are the ratios.
//! `STOPOVER_BENCH_ROWS` changes the size.

use std::time::Duration;

use serde_json::Value;
use stopover_cluster::{TestDatabase, seed};
use stopover_model::duration::{human, parse};
use stopover_tests::Stack;
use stopover_tests::bench::{large_cluster, number, say};
use stopover_tests::stack::AgentOptions;
use tokio_postgres::Client;

const ROWS: u64 = 1_000_000;
const ROUNDS: usize = 3;

/// What is estimated: a name, what makes the table ready, and the statement.
const KINDS: [(&str, &str, &str); 5] = [
    ("rewrite", "", "ALTER TABLE users ALTER COLUMN note TYPE bigint USING 1"),
    ("index build", "", "CREATE INDEX users_note ON users (email, note)"),
    ("whole UPDATE", "", "UPDATE users SET note = 2"),
    (
        "SET NOT NULL",
        "UPDATE users SET note = 1; VACUUM FULL ANALYZE users",
        "ALTER TABLE users ALTER COLUMN note SET NOT NULL",
    ),
    ("backfill", "", "-- stopover: backfill\nUPDATE users SET note = 2 WHERE note IS NULL"),
];

#[tokio::main]
async fn main() {
    let rows = number("STOPOVER_BENCH_ROWS", ROWS);
    let cluster = large_cluster().setting("autovacuum", "off").start().await.expect("a cluster");
    for (name, ready, sql) in KINDS {
        let database = TestDatabase::create(&cluster).await.expect("a database");
        let client = database.client().await.expect("a connection");
        let mut stack = Stack::start().await;
        stack.environment_on("staging", database, AgentOptions::default()).await;
        stack.pipeline("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n").await;
        for round in 0..ROUNDS {
            fresh(&client, rows, ready).await;
            compare(&stack, name, round, sql).await;
        }
    }
}

async fn fresh(client: &Client, rows: u64, ready: &str) {
    client.batch_execute("DROP TABLE IF EXISTS users CASCADE").await.expect("no table");
    seed::users(client, rows, 1).await.expect("users");
    client.batch_execute("ALTER TABLE users ADD COLUMN note int").await.expect("a column");
    for sql in ready.split("; ").filter(|sql| !sql.is_empty()).chain(["VACUUM ANALYZE users", "CHECKPOINT"]) {
        client.batch_execute(sql).await.expect(sql);
    }
}

/// Each round is a migration of its own, so that only the kind of work is known from the one before.
async fn compare(stack: &Stack, name: &str, round: usize, sql: &str) {
    let id = format!("{}_{round}", name.to_ascii_lowercase().replace(' ', "_"));
    let directory = stack.migration(&id, &[("up.sql", &format!("{sql};\n"))]);
    let deployed = stack.cli.run(&["deploy", &directory, "--json"]).await;
    assert_eq!(deployed.code, 0, "{}\n{}", deployed.stdout, deployed.stderr);
    let records = deployed.json();
    let of = |event: &'static str| {
        records.iter().filter(move |r| r["event"]["event"] == event).map(|r| &r["event"])
    };
    let estimate = of("planned").map(|e| &e["plan"]["migrations"][0]["action"]["estimate"]).next().cloned();
    let estimate = estimate.unwrap_or_default();
    let finished =
        of("step_logged").find(|e| e["line"]["line"] == "statement_finished").cloned().unwrap_or_default();
    let (estimated, took) = (time(&estimate["duration"]), time(&finished["line"]["took"]));
    let ratio = estimated.as_secs_f64() / took.as_secs_f64().max(0.001);
    let basis = estimate["basis"].as_str().unwrap_or("no estimate");
    say(&format!(
        "{name:14} estimated {:>8}  took {:>8}  ratio {ratio:>5.2}  {basis}",
        human(estimated),
        human(took)
    ));
}

fn time(value: &Value) -> Duration {
    value.as_str().and_then(|text| parse(text).ok()).unwrap_or_default()
}
