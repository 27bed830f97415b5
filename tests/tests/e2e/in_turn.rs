//! Many small migrations, of which the agent has some before their turn: killed again and again, paused, failing.

use std::fs;

use serde_json::Value;
use stopover_tests::Stack;
use tokio_postgres::Client;

use crate::support::{Running, assert_contiguous, assert_nothing_left, is_start, number, one_stage, outcome};

const MANY: usize = 60;

/// A directory of migrations that each leave a row.
fn many(stack: &Stack, sql: impl Fn(usize) -> String) -> String {
    let directory = stack.directory().join("many");
    fs::create_dir_all(&directory).unwrap();
    for n in 1..=MANY {
        fs::write(directory.join(format!("{n:03}_m.sql")), sql(n)).unwrap();
    }
    directory.display().to_string()
}

fn a_row(n: usize) -> String {
    format!("CREATE TABLE t{n} (a int);\nINSERT INTO effect SELECT {n} FROM pg_sleep(0.03);")
}

fn migrated(record: &Value) -> bool {
    record["event"]["event"] == "step_finished"
        && record["event"]["step"]["kind"] == "migrate"
        && record["event"]["outcome"]["outcome"] == "succeeded"
}

fn succeeded(running: &Running) -> usize {
    running.records().iter().filter(|r| migrated(r)).count()
}

/// What is reported as done is in the database, whatever has just been killed.
async fn assert_all_reported_is_there(running: &Running, client: &Client) {
    let reported = i64::try_from(succeeded(running)).unwrap();
    let there = number(client, "SELECT count(*) FROM effect").await;
    assert!(reported <= there, "{reported} are reported, and {there} are there");
}

async fn until_done(running: &Running, count: usize) {
    let enough = |all: &[Value]| all.iter().filter(|r| migrated(r)).count() >= count;
    running.until_all("some migrations", enough).await;
}

#[tokio::test]
async fn whatever_is_killed_among_many_migrations_each_takes_effect_once() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    client.batch_execute("CREATE TABLE effect (n int)").await.unwrap();
    stack.pipeline(&one_stage("staging", "pause")).await;
    let directory = many(&stack, a_row);

    let mut running = Running::deploy(&stack, &directory);
    until_done(&running, 5).await;
    stack.kill_agent(place);
    assert_all_reported_is_there(&running, &client).await;
    stack.start_agent(place);
    until_done(&running, 15).await;
    stack.kill_server();
    assert_all_reported_is_there(&running, &client).await;
    stack.start_server().await;
    until_done(&running, 25).await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'stopover/%/migrate/%'";
    client.query(kill, &[]).await.unwrap();
    until_done(&running, 35).await;
    stack.kill_server();
    stack.kill_agent(place);
    assert_all_reported_is_there(&running, &client).await;
    stack.start_agent(place);
    stack.start_server().await;
    assert_eq!(running.ended().await, 0, "{}", running.process.output());

    let records = running.records();
    assert_contiguous(&records);
    assert_eq!(outcome(&records), "succeeded");
    let count = i64::try_from(MANY).unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM effect").await, count, "some took effect twice");
    assert_eq!(number(&client, "SELECT count(DISTINCT n) FROM effect").await, count, "some are missing");
    let in_order = "SELECT count(*) FROM (SELECT id, lag(id) OVER (ORDER BY applied_at) AS before
         FROM stopover.migration) m WHERE before > id";
    assert_eq!(number(&client, in_order).await, 0, "each begins behind the one before");
    assert!(records.iter().filter(|r| is_start(r, "migrate", 0)).count() >= MANY);
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn a_failure_among_many_leaves_the_rest_as_if_never_asked_for() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    client.batch_execute("CREATE TABLE effect (n int)").await.unwrap();
    stack.pipeline(&one_stage("staging", "pause")).await;
    let directory = many(&stack, |n| {
        let wrong = format!("INSERT INTO effect SELECT {n} FROM nowhere;");
        if n == 20 { wrong } else { a_row(n) }
    });

    let running = Running::deploy(&stack, &directory);
    running.until("a person to be asked", |r| r["event"]["event"] == "paused").await;
    assert_eq!(number(&client, "SELECT count(*) FROM effect").await, 19);
    let id = running.id().await;
    let shown = stack.cli.run(&["--json", "status", &id]).await.json();
    let steps = shown[0]["stages"][0]["databases"][0]["steps"].as_array().unwrap();
    let states: Vec<_> =
        steps.iter().filter(|s| s["kind"] == "migrate").map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(states[18..22], ["succeeded", "failed", "pending", "pending"]);
    stack.cli.ok(&["cancel", &id]).await;
    assert_nothing_left(&client).await;
}
