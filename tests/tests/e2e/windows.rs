//! Stages with windows, through all processes: waited for whatever dies, kept by agents to the second, and overridden.

use std::time::Duration;

use jiff::{Timestamp, Zoned};
use serde_json::Value;
use stopover_cluster::seed;
use stopover_tests::{Stack, eventually};

use crate::gates::{is_at_the_gates, person};
use crate::support::{
    Running, assert_each_row_updated_once, assert_nothing_left, count_updates, is_event, is_start, log,
    number, one_stage, outcome,
};

const TABLE: [(&str, &str); 2] = [("up.sql", "CREATE TABLE t (a int);"), ("down.sql", "DROP TABLE t;")];

/// A window that opens once a day, so long from now.
fn opening_in(time: Duration) -> (String, Timestamp) {
    let opens: Zoned = Timestamp::now().checked_add(time).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    let cron = format!("{} {} {} * * *", opens.second(), opens.minute(), opens.hour());
    let opens = Timestamp::from_second(opens.timestamp().as_second()).unwrap();
    (format!("window = {{ cron = \"{cron}\", for = \"10m\" }}\n"), opens)
}

/// One that is far away.
pub(crate) fn far_away() -> String {
    opening_in(Duration::from_hours(12)).0
}

fn at(record: &Value) -> Timestamp {
    record["at"].as_str().expect("a time").parse().expect("a time")
}

fn says(record: &Value, words: &str) -> bool {
    record["event"]["line"]["text"].as_str().is_some_and(|text| text.contains(words))
}

#[tokio::test]
async fn a_migration_begins_in_its_window_although_the_server_was_killed_while_it_waited() {
    let mut stack = Stack::start().await;
    stack.environment("staging").await;
    let (window, opens) = opening_in(Duration::from_secs(20));
    stack.pipeline(&format!("{}{window}", one_stage("staging", "pause"))).await;
    let directory = stack.migration("001_t", &TABLE);
    let planned = stack.cli.ok(&["plan", &directory]).await;
    assert!(planned.contains("opens") && planned.contains(" UTC, for 10m"), "{planned}");
    let mut running = Running::deploy(&stack, &directory);
    let waits = running.until("the window", is_at_the_gates).await;
    assert_eq!(waits["event"]["waiting"]["gates"][0]["gate"], "window", "{waits}");
    let id = running.id().await;
    let status = stack.cli.ok(&["status", &id]).await;
    assert!(status.contains("its window, which opens"), "{status}");
    assert!(status.contains("stopover resume") && status.contains("--override-window"), "{status}");
    stack.kill_server();
    stack.start_server().await;
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    let records = log(&stack.cli, &id).await;
    let begun = records.iter().find(|r| is_start(r, "migrate", 0)).expect("it was migrated");
    assert!(at(begun) >= opens, "{begun}");
    let backed_up = records.iter().find(|r| is_start(r, "backup", 0)).expect("it was backed up");
    assert!(at(backed_up) < opens, "the backup is there when the window opens: {backed_up}");
}

#[tokio::test]
async fn a_backfill_pauses_at_the_end_of_its_window_and_goes_on_in_the_next() {
    const UP: &str = "ALTER TABLE users ADD COLUMN seen boolean;
-- stopover: backfill batch_time=20ms
UPDATE users SET seen = true WHERE seen IS NULL;
";
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    seed::users(&client, 20_000, 7).await.unwrap();
    count_updates(&client).await;
    client
        .batch_execute("ALTER TABLE touched ADD COLUMN at timestamptz NOT NULL DEFAULT clock_timestamp()")
        .await
        .unwrap();
    let window = "window = { cron = \"*/15 * * * * *\", for = \"6s\" }\n[stage.backfill]\nmax_rate = 2_500\n";
    stack.pipeline(&format!("{}{window}", one_stage("staging", "pause"))).await;
    let directory = stack.migration("001_seen", &[("up.sql", UP)]);
    let mut running = Running::deploy(&stack, &directory);
    running.until("the agent's word", |r| says(r, "the stage's window has ended")).await;
    running.until("the server's word", |r| is_at_the_gates(r) && running_migrate(&running)).await;
    // The agent keeps to its window by itself, and the server tells it of the next one.
    stack.kill_server();
    stack.start_server().await;
    running.until("the next window", |r| says(r, "the backfill continues after")).await;
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    assert_each_row_updated_once(&client).await;
    // A batch that began in a window may end a little behind it.
    let outside = "SELECT count(*) FROM touched WHERE extract(second FROM at)::numeric % 15 > 7.5";
    assert_eq!(number(&client, outside).await, 0);
    assert_nothing_left(&client).await;
}

fn running_migrate(running: &Running) -> bool {
    running.records().iter().any(|r| is_start(r, "migrate", 0))
}

#[tokio::test]
async fn only_an_administrator_overrides_a_window_and_the_log_says_why() {
    let mut stack = Stack::start().await;
    stack.environment("staging").await;
    stack.pipeline(&format!("{}{}", one_stage("staging", "pause"), far_away())).await;
    let ben = person(&stack, "ben", &["dba"]).await;
    let directory = stack.migration("001_t", &TABLE);
    let mut running = Running::deploy(&stack, &directory);
    running.until("the window", is_at_the_gates).await;
    let id = running.id().await;
    let without = stack.cli.run(&["resume", &id, "--override-window"]).await;
    assert_eq!(without.code, 2, "{without:?}");
    let wish = ["resume", &id, "--override-window", "--reason", "an incident"];
    let refused = ben.run(&wish).await;
    assert!(
        refused.code == 1 && refused.stderr.contains("to override a window needs the role admin"),
        "{refused:?}"
    );
    stack.cli.ok(&wish).await;
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    let records = log(&stack.cli, &id).await;
    let said = records.iter().find(|r| is_event(r, "window_overridden")).expect("it is in the log");
    assert_eq!((&said["event"]["by"], &said["event"]["reason"]), (&"admin".into(), &"an incident".into()));
    assert_eq!(outcome(&records), "succeeded");
}

#[tokio::test]
async fn a_pipeline_shows_its_next_openings_and_one_that_never_opens_is_refused() {
    let stack = Stack::start().await;
    let file = stack.directory().join("pipeline.toml");
    let apply = async |window: &str| {
        std::fs::write(&file, format!("{}{window}\n", one_stage("staging", "pause"))).unwrap();
        stack.cli.run(&["pipeline".as_ref(), "apply".as_ref(), file.as_os_str()]).await
    };
    let shown =
        apply("window = { cron = \"0 2 * * 1-5\", for = \"30m\", timezone = \"Europe/Paris\" }").await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert_eq!(shown.stdout.matches("02:00 Europe/Paris (0").count(), 3, "{}", shown.stdout);
    let never = apply("window = { cron = \"0 2 31 2 *\", for = \"30m\" }").await;
    assert_eq!(never.code, 2, "{never:?}");
    assert!(never.stderr.contains("pipeline.toml:5:19: the window `0 2 31 2 *` does not open"), "{never:?}");
}

#[tokio::test]
async fn what_a_migration_asks_beforehand_stops_it_before_anything_happened() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    client
        .batch_execute("CREATE TABLE imports (running boolean); INSERT INTO imports VALUES (true)")
        .await
        .unwrap();
    stack.pipeline(&one_stage("staging", "pause")).await;
    let check = "[[check]]\nname = \"no import is running\"\nsql = \"SELECT count(*) FROM imports WHERE running\"\nexpect = 0\n";
    let directory = stack.migration("001_t", &[TABLE[0], TABLE[1], ("migration.toml", check)]);
    let planned = stack.cli.run(&["plan", &directory]).await;
    assert_eq!(planned.code, 1, "{planned:?}");
    assert!(planned.stdout.contains("no import is running"), "{}", planned.stdout);
    let mut running = Running::deploy(&stack, &directory);
    let held = running.until("the refusal", |r| is_event(r, "plan_refused")).await;
    let message = held["event"]["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("1 of 1 checks before 001_t") && message.contains("expected 0, found 1"),
        "{message}"
    );
    let id = running.id().await;
    assert!(!running.records().iter().any(|r| is_start(r, "backup", 0)));
    eventually("the pause", || async {
        running.records().into_iter().any(|r| is_event(&r, "paused")).then_some(())
    })
    .await;
    client.batch_execute("UPDATE imports SET running = false").await.unwrap();
    stack.cli.ok(&["resume", &id]).await;
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
}
