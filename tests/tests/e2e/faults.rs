//! Processes killed at the worst moments; each row is still done exactly once, and the deployment ends.

use stopover_cluster::{TestDatabase, seed};
use stopover_tests::stack::{AgentOptions, sample};
use stopover_tests::{Cutter, Hold, Stack, Wire};

use crate::support::{
    PIPELINE, Running, assert_contiguous, assert_each_row_updated_once, assert_nothing_left, count_updates,
    is_notice, is_start, log, number, one_stage, outcome,
};

/// Enough for the batched variant, and for many batches.
const ROWS: u64 = 120_000;

#[tokio::test]
async fn an_agent_killed_in_the_batched_run_goes_on_and_does_each_row_once() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    seed::users(&client, ROWS, 3).await.unwrap();
    count_updates(&client).await;
    stack.pipeline(&one_stage("staging", "pause")).await;

    let mut running = Running::deploy(&stack, &sample());
    running.until("the first batch", is_notice).await;
    stack.kill_agent(place);
    stack.start_agent(place);
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    assert_each_row_updated_once(&client).await;
    assert_contiguous(&running.records());
    assert_eq!(outcome(&running.records()), "succeeded");
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn a_server_killed_inside_a_step_goes_on_from_its_log() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    seed::users(&client, ROWS, 4).await.unwrap();
    count_updates(&client).await;
    stack.pipeline(&one_stage("staging", "pause")).await;

    // The watching command line is cut off as well, and finds its way back without a gap or a double.
    let mut running = Running::deploy(&stack, &sample());
    running.until("the first batch", is_notice).await;
    let id = running.id().await;
    stack.kill_server();
    stack.start_server().await;
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    assert_contiguous(&running.records());
    assert_each_row_updated_once(&client).await;
    let records = log(&stack.cli, &id).await;
    assert_eq!(records, running.records());
    let starts = records.iter().filter(|r| is_start(r, "migrate", 0)).count();
    assert_eq!(starts, 1, "the running work was found again, not begun anew");
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn server_and_agent_killed_together_go_on() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    seed::users(&client, ROWS, 5).await.unwrap();
    count_updates(&client).await;
    stack.pipeline(&one_stage("staging", "pause")).await;

    let mut running = Running::deploy(&stack, &sample());
    running.until("the first batch", is_notice).await;
    stack.kill_agent(place);
    stack.kill_server();
    stack.start_server().await;
    stack.start_agent(place);
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    assert_each_row_updated_once(&client).await;
    assert_contiguous(&running.records());
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn an_agent_killed_in_the_backup_leaves_no_half_backup_under_its_name() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    seed::users(&client, 60_000, 6).await.unwrap();
    stack.pipeline(&one_stage("staging", "pause")).await;

    let mut running = Running::deploy(&stack, &sample());
    running.until("the backup", |r| is_start(r, "backup", 0)).await;
    stack.kill_agent(place);
    stack.start_agent(place);
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    let names: Vec<_> = std::fs::read_dir(stack.agents[place].backups())
        .unwrap()
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|n| n.contains("partial")), "{names:?}");
    assert_eq!(names.iter().filter(|n| n.contains(".dump.zst")).count(), 1, "{names:?}");
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn a_tunnel_that_is_cut_again_and_again_loses_and_doubles_nothing() {
    let mut stack = Stack::start().await;
    let cutter = Cutter::start(stack.address).await;
    let options = AgentOptions { server: Some(cutter.address()), ..AgentOptions::default() };
    let place = stack.environment_with("staging", options).await;
    let client = stack.agents[place].database.client().await.unwrap();
    seed::users(&client, ROWS, 7).await.unwrap();
    count_updates(&client).await;
    stack.pipeline(&one_stage("staging", "pause")).await;

    let mut running = Running::deploy(&stack, &sample());
    for notices in [1, 4, 8] {
        running
            .until("more batches", |r| is_notice(r) && r["event"]["line_number"].as_u64() >= Some(notices))
            .await;
        cutter.cut();
    }
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    assert_contiguous(&running.records());
    assert_each_row_updated_once(&client).await;
    let mut lines: Vec<_> = running
        .records()
        .iter()
        .filter(|r| is_notice(r))
        .map(|r| r["event"]["line_number"].clone())
        .collect();
    let all = lines.len();
    lines.dedup();
    assert_eq!(lines.len(), all, "a line came twice");
}

#[tokio::test]
async fn the_backend_killed_in_a_transaction_leaves_nothing_and_is_tried_again() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    stack.pipeline(&one_stage("staging", "pause")).await;
    let up = "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\nSELECT pg_sleep(3);";
    let directory = stack.migration("001_t", &[("up.sql", up), ("down.sql", "DROP TABLE t;")]);

    let mut running = Running::deploy(&stack, &directory);
    running.until("the last statement", |r| r["event"]["line"]["index"] == 2).await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep(3)%' AND pid <> pg_backend_pid()";
    let killed = client.query(kill, &[]).await.unwrap();
    assert_eq!(killed.len(), 1, "the working session was found");
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 1, "exactly once");
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn the_same_holds_with_the_servers_log_in_postgresql() {
    let store = TestDatabase::shared().await.unwrap();
    let mut stack = Stack::start_on(store.url()).await;
    let staging = stack.environment("staging").await;
    let production = stack.environment("production").await;
    for place in [staging, production] {
        let client = stack.agents[place].database.client().await.unwrap();
        seed::users(&client, 2_000, 8).await.unwrap();
    }
    stack.pipeline(PIPELINE).await;
    let mut running = Running::deploy(&stack, &sample());
    running.until("production", |r| is_start(r, "migrate", 1)).await;
    stack.kill_server();
    stack.start_server().await;
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    assert_contiguous(&running.records());
}

/// What each migration does, and what is there once it has done so exactly once.
const KINDS: [(&str, &str, &str); 4] = [
    ("001_transaction", "INSERT INTO effect VALUES (1);", "SELECT count(*) FROM effect WHERE what = 1"),
    (
        "002_index",
        "INSERT INTO effect VALUES (2);\nCREATE INDEX CONCURRENTLY i ON effect (what);",
        "SELECT count(*) FROM effect JOIN pg_index ON indexrelid = 'i'::regclass AND indisvalid WHERE what = 2",
    ),
    (
        "003_enum",
        "ALTER TYPE mood ADD VALUE 'b';\nINSERT INTO moods VALUES ('b');",
        "SELECT count(*) FROM moods JOIN pg_enum ON enumlabel = 'b' WHERE m::text = 'b'",
    ),
    (
        "004_block",
        "DO $$ BEGIN INSERT INTO effect VALUES (4); COMMIT; END $$;",
        "SELECT count(*) FROM effect WHERE what = 4",
    ),
];

/// A wire between the agent and its database, and the database.
async fn behind_a_wire(stack: &mut Stack) -> (usize, Wire, tokio_postgres::Client) {
    let database = TestDatabase::shared().await.unwrap();
    let client = database.client().await.unwrap();
    let setup = "CREATE TABLE effect (what int); CREATE TYPE mood AS ENUM ('a'); CREATE TABLE moods (m mood)";
    client.batch_execute(setup).await.unwrap();
    let wire = Wire::start(database.config().get_ports()[0]).await;
    let options = AgentOptions { database_port: Some(wire.port()), ..AgentOptions::default() };
    let place = stack.environment_on("staging", database, options).await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    (place, wire, client)
}

#[tokio::test]
async fn an_agent_killed_between_its_commit_and_its_report_is_asked_again_and_finds_it_done() {
    let mut stack = Stack::start().await;
    let (place, wire, client) = behind_a_wire(&mut stack).await;
    let mut last = String::new();
    for (id, up, once) in KINDS {
        let directory = stack.migration(id, &[("up.sql", up), ("down.sql", "DELETE FROM effect;")]);
        // A session that is kept for the next migration lets its lock go behind the report.
        wire.hold(Hold::answer("COMMIT").behind("INSERT INTO stopover.history"));
        let mut running = Running::deploy(&stack, &directory);
        wire.held().await;
        stack.kill_agent(place);
        wire.reset();
        stack.start_agent(place);
        assert_eq!(running.ended().await, 0, "{id}: {}", running.process.output());
        let records = running.records();
        assert_contiguous(&records);
        assert_eq!(outcome(&records), "succeeded", "{id}");
        assert_eq!(records.iter().filter(|r| is_start(r, "migrate", 0)).count(), 1, "{id}: one attempt");
        assert_eq!(number(&client, once).await, 1, "{id}: exactly once");
        assert_nothing_left(&client).await;
        last = running.id().await;
    }
    // And on the way back.
    wire.hold(Hold::before("pg_advisory_unlock").behind("INSERT INTO stopover.history"));
    let mut back = stack
        .cli
        .start(&stack.directory().join("back.log"), &["rollback", &last, "--stage", "staging", "--yes"]);
    wire.held().await;
    stack.kill_agent(place);
    wire.reset();
    stack.start_agent(place);
    assert_eq!(back.ended().await.code(), Some(0), "{}", back.output());
    let left = "SELECT count(*) FROM stopover.migration WHERE id = '004_block'";
    assert_eq!(number(&client, left).await, 0);
    let taken_back = "SELECT count(*) FROM stopover.history WHERE what = 'rolled back'";
    assert_eq!(number(&client, taken_back).await, 1);
    assert_nothing_left(&client).await;
}
