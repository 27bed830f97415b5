//! Rehearsals with real processes: before a migration, by themselves, and with the agent killed in the middle.

use serde_json::Value;
use stopover_cluster::seed;
use stopover_tests::{Stack, eventually};
use tokio_postgres::Client;

use crate::support::{Running, assert_nothing_left, deploy, is_event, is_start, log, number, outcome};

const PIPELINE: &str = "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nrehearse = true\n";

const UP: &str = "ALTER TABLE users ADD COLUMN tier text;
    UPDATE users SET tier = 'free';
    CREATE INDEX users_tier ON users (tier);";
const DOWN: &str = "ALTER TABLE users DROP COLUMN tier;";

async fn begin() -> (Stack, Client) {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    seed::users(&client, 20_000, 1).await.unwrap();
    stack.pipeline(PIPELINE).await;
    (stack, client)
}

/// No copy of the deployment's, and no role of one, is in the server.
async fn assert_no_copy(client: &Client, deployment: &str) {
    for sql in [
        "SELECT count(*) FROM pg_database WHERE datname LIKE",
        "SELECT count(*) FROM pg_roles WHERE rolname LIKE",
    ] {
        let sql = format!("{sql} 'stopover\\_scratch\\_%{deployment}%'");
        eventually("the end of the scratch database", || async {
            (number(client, &sql).await == 0).then_some(())
        })
        .await;
    }
}

async fn columns(client: &Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'tier'";
    number(client, sql).await
}

fn step<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let steps = status["stages"][0]["databases"][0]["steps"].as_array().unwrap();
    steps.iter().find(|step| step["kind"] == kind).unwrap_or_else(|| panic!("no {kind} in {status:#}"))
}

#[tokio::test]
async fn a_stage_rehearses_then_migrates_and_the_record_has_both() {
    let (stack, client) = begin().await;
    let migration = stack.migration("001_tier", &[("up.sql", UP), ("down.sql", DOWN)]);
    let plan = stack.cli.ok(&["plan", &migration]).await;
    assert!(plan.contains("first   rehearsed on the restored copy: up, verify, down, up again"), "{plan}");
    let (finished, records) = deploy(&stack, &migration).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let kinds: Vec<_> = records.iter().filter(|r| is_event(r, "step_started")).collect();
    let kinds: Vec<_> = kinds.iter().map(|r| r["event"]["step"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["inspect", "backup", "rehearse", "migrate"]);
    let id = records[0]["deployment"].as_str().unwrap();
    let status = &stack.cli.run(&["--json", "status", id]).await.json()[0];
    let report = &step(status, "rehearse")["report"]["migrations"][0];
    assert_eq!(report["schema_restored"], true, "{report:#}");
    assert!(report["up"]["wal_bytes"].as_u64().unwrap() > 100_000, "{report:#}");
    assert_eq!(report["up"]["locks"][0]["mode"], "access_exclusive", "{report:#}");
    assert_eq!(step(status, "migrate")["rehearsed"]["statements"][1]["rows"], 20_000, "{status:#}");
    let shown = stack.cli.ok(&["status", id]).await;
    assert!(shown.contains("✓ rehearse   1 migration up, down and up again"), "{shown}");
    assert!(shown.contains("behind down.sql the schema is as it was"), "{shown}");
    assert!(
        shown.contains("rehearsed on a copy of this database") && shown.contains("  rehearsed "),
        "{shown}"
    );
    assert_eq!(columns(&client).await, 1);
    assert_no_copy(&client, id).await;
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn a_way_back_that_does_not_restore_stops_the_stage_with_nothing_done() {
    let (stack, client) = begin().await;
    let up = format!("{UP} CREATE TABLE tiers (name text);");
    let migration = stack.migration("001_tier", &[("up.sql", &up), ("down.sql", DOWN)]);
    let mut running = Running::deploy(&stack, &migration);
    let paused = running.until("the pause", |record| is_event(record, "paused")).await;
    let cause = paused["event"]["cause"].as_str().unwrap();
    assert!(cause.contains("does not bring the schema back: table public.tiers is new"), "{cause}");
    let id = running.id().await;
    let shown = stack.cli.ok(&["status", &id]).await;
    assert!(shown.contains("✗ rehearse") && shown.contains("≠ table public.tiers is new"), "{shown}");
    assert!(shown.contains("take back all that the way there does"), "{shown}");
    assert_eq!(columns(&client).await, 0);
    let ledger = "SELECT count(*) FROM pg_namespace WHERE nspname = 'stopover'";
    assert_eq!(number(&client, ledger).await, 0, "not even a ledger was made");
    stack.cli.ok(&["cancel", &id]).await;
    assert_eq!(running.ended().await, 1);
    assert_no_copy(&client, &id).await;
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn a_rehearsal_by_itself_applies_nothing_and_tells_the_next_plan() {
    let (stack, client) = begin().await;
    let migration = stack.migration("001_tier", &[("up.sql", UP), ("down.sql", DOWN)]);
    let rehearsed = stack.cli.run(&["--json", "rehearse", &migration, "--environment", "staging"]).await;
    assert_eq!(rehearsed.code, 0, "{}", rehearsed.stderr);
    let records: Vec<Value> = rehearsed.json().into_iter().filter(|v| v.get("seq").is_some()).collect();
    assert_eq!(records[0]["event"]["kind"], "rehearsal");
    assert_eq!(outcome(&records), "succeeded");
    assert!(!records.iter().any(|r| is_start(r, "migrate", 0)));
    let id = records[0]["deployment"].as_str().unwrap();
    assert_eq!(columns(&client).await, 0);
    let list = stack.cli.ok(&["list"]).await;
    assert!(list.contains("rehearsal succeeded"), "{list}");
    let shown = stack.cli.ok(&["status", id]).await;
    assert!(shown.contains("  rehearsal") && !shown.contains("migrate"), "{shown}");
    let refused = stack.cli.run(&["rollback", id]).await;
    assert_eq!(refused.code, 1);
    let plan = stack.cli.ok(&["plan", &migration]).await;
    let plan = plan.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plan.contains("rehearsed on a copy of this database, 20"), "{plan}");
    assert_no_copy(&client, id).await;

    let bad = stack.migration("002_bad", &[("up.sql", "CREATE UNIQUE INDEX u ON users ((id % 10));")]);
    let failed = stack.cli.run(&["rehearse", &bad, "--environment", "staging"]).await;
    assert_eq!(failed.code, 1);
    assert!(failed.stdout.contains("could not create unique index"), "{}", failed.stdout);
    let nowhere = stack.cli.run(&["rehearse", &bad, "--environment", "nowhere"]).await;
    assert!(nowhere.stderr.contains("there is no environment nowhere"), "{}", nowhere.stderr);
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn an_agent_that_is_killed_in_a_rehearsal_begins_it_anew_and_leaves_no_copy() {
    let (mut stack, client) = begin().await;
    let gate = "SELECT pg_sleep(3);";
    let migration = stack.migration("001_tier", &[("up.sql", &format!("{UP}{gate}")), ("down.sql", DOWN)]);
    let mut running = Running::deploy(&stack, &migration);
    running.until("the rehearsal", |record| is_start(record, "rehearse", 0)).await;
    let id = running.id().await;
    let sleeps = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(3)%' AND state = 'active' \
         AND application_name LIKE 'stopover/{id}/rehearse/%'"
    );
    eventually("the script on the copy", || async { (number(&client, &sleeps).await == 1).then_some(()) })
        .await;
    stack.kill_agent(0);
    stack.start_agent(0);
    assert_eq!(running.ended().await, 0, "{:#?}", running.records().last());
    assert_eq!(outcome(&log(&stack.cli, &id).await), "succeeded");
    assert_eq!(columns(&client).await, 1);
    assert_no_copy(&client, &id).await;
    assert_nothing_left(&client).await;
}
