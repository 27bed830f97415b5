//! A backfill through all processes: throttled by a person while it runs, and killed in the middle of it.

use stopover_cluster::seed;
use stopover_tests::{Stack, eventually};

use crate::support::{
    Running, assert_each_row_updated_once, assert_nothing_left, count_updates, is_event, is_start, log,
    number, one_stage, outcome,
};

const ROWS: u64 = 30_000;

const UP: &str = "ALTER TABLE users ADD COLUMN seen boolean;
-- stopover: backfill batch_time=20ms
UPDATE users SET seen = true WHERE seen IS NULL;
";

async fn prepared(stage: &str) -> (Stack, usize, tokio_postgres::Client) {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    seed::users(&client, ROWS, 7).await.unwrap();
    count_updates(&client).await;
    stack.pipeline(&format!("{}{stage}", one_stage("staging", "pause"))).await;
    (stack, place, client)
}

async fn some_batches(client: &tokio_postgres::Client, more_than: i64) -> i64 {
    eventually("some batches", || async {
        let there = number(
            client,
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'stopover' AND tablename = 'backfill'",
        );
        if there.await == 0 {
            return None;
        }
        let batches = number(client, "SELECT coalesce(sum(batches), 0)::bigint FROM stopover.backfill").await;
        (batches > more_than).then_some(batches)
    })
    .await
}

#[tokio::test]
async fn a_person_slows_a_backfill_down_holds_it_and_lets_it_go() {
    let (stack, _, client) = prepared("[stage.backfill]\nmax_rate = 2_000\n").await;
    let directory =
        stack.migration("001_seen", &[("up.sql", UP), ("down.sql", "ALTER TABLE users DROP COLUMN seen;")]);
    let mut running = Running::deploy(&stack, &directory);
    let id = running.id().await;
    some_batches(&client, 0).await;
    let said = stack.cli.ok(&["throttle", &id, "--pause"]).await;
    running.until("the wish in the log", |r| is_event(r, "throttled")).await;
    running
        .until("the agent's word", |r| {
            r["event"]["line"]["text"].as_str().is_some_and(|text| text.contains("the backfill is paused"))
        })
        .await;
    let resumed = stack.cli.run(&["throttle", &id, "--resume", "--max-rate", "1000000"]).await;
    assert_eq!(resumed.code, 0, "{}{said}", resumed.stderr);
    assert!(resumed.stderr.contains("backfills go on: at most 1,000,000 rows/s"), "{}", resumed.stderr);
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    assert_each_row_updated_once(&client).await;
    assert_nothing_left(&client).await;
    let late = stack.cli.run(&["throttle", &id, "--pause"]).await;
    assert_eq!(late.code, 1, "{}", late.stderr);
    let nothing = stack.cli.run(&["throttle", &id]).await;
    assert_eq!(nothing.code, 2, "{}", nothing.stderr);
    assert!(nothing.stderr.contains("--batch-time"), "{}", nothing.stderr);
}

#[tokio::test]
async fn agent_and_server_killed_in_a_backfill_go_on_at_its_place_with_the_persons_wish() {
    let (mut stack, place, client) = prepared("[stage.backfill]\nmax_rate = 3_000\n").await;
    let directory = stack.migration("001_seen", &[("up.sql", UP)]);
    let mut running = Running::deploy(&stack, &directory);
    let id = running.id().await;
    let before = some_batches(&client, 1).await;
    stack.kill_agent(place);
    stack.start_agent(place);
    some_batches(&client, before).await;
    stack.cli.ok(&["throttle", &id, "--max-rate", "1000000"]).await;
    stack.kill_server();
    stack.start_server().await;
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    assert_each_row_updated_once(&client).await;
    let records = log(&stack.cli, &id).await;
    assert_eq!(outcome(&records), "succeeded");
    assert!(records.iter().any(|r| is_start(r, "migrate", 0)));
    assert_nothing_left(&client).await;
}
