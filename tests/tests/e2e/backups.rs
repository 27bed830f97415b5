//! Backups that are proven, and what is left of them when their agent is killed.

use std::path::Path;

use serde_json::Value;
use stopover_tests::Stack;
use stopover_tests::eventually;
use stopover_tests::stack::AgentOptions;
use tokio_postgres::Client;

use crate::support::{Running, assert_contiguous, assert_nothing_left, deploy, number, outcome};

const USERS: &str = "CREATE TABLE users (id int PRIMARY KEY, email text);
    INSERT INTO users SELECT i, md5(i::text) FROM generate_series(1, 5000) i;
    CREATE TABLE archive (id int, page text); INSERT INTO archive SELECT i, repeat('x', 500) FROM generate_series(1, 5000) i;
    ANALYZE";

fn pipeline(backup: &str) -> String {
    format!("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n{backup}\n")
}

/// The report of the deployment's backup.
fn backup(records: &[Value]) -> Value {
    let mut reports = records.iter().map(|r| &r["event"]["outcome"]["report"]);
    reports.rfind(|report| report["step"] == "backed_up").expect("a backup").clone()
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Scratch databases and roles of a deployment.
async fn scratches(client: &Client, deployment: &str) -> i64 {
    let sql = format!(
        "SELECT (SELECT count(*) FROM pg_database WHERE datname LIKE 'stopover_scratch_%{deployment}%')
              + (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'stopover_scratch_%{deployment}%')"
    );
    number(client, &sql).await
}

#[tokio::test]
async fn an_agent_killed_while_it_restores_leaves_no_scratch_and_no_half_backup() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    // In a copy, and only there, each row takes its time.
    let slow = "CREATE FUNCTION slow(a int) RETURNS bool LANGUAGE plpgsql AS $$
         BEGIN
             IF current_database() LIKE 'stopover_scratch%' THEN PERFORM pg_sleep(2); END IF;
             RETURN true;
         END $$;
         CREATE TABLE slow (a int CHECK (slow(a))); INSERT INTO slow VALUES (1)";
    client.batch_execute(USERS).await.unwrap();
    client.batch_execute(slow).await.unwrap();
    stack.pipeline(&pipeline("backup = \"restored\"")).await;
    let directory = stack.migration("001_nick", &[("up.sql", "ALTER TABLE users ADD COLUMN nick text;")]);

    let mut running = Running::deploy(&stack, &directory);
    let id = running.id().await;
    let restoring = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'stopover_scratch_%{id}%' AND wait_event = 'PgSleep'"
    );
    eventually("the restore", || async { (number(&client, &restoring).await == 1).then_some(()) }).await;
    stack.kill_agent(place);
    assert_eq!(files(&stack.agents[place].backups()).iter().filter(|f| !f.ends_with(".partial")).count(), 0);
    stack.start_agent(place);
    assert_eq!(running.ended().await, 0, "{}", running.process.output());

    let records = running.records();
    assert_contiguous(&records);
    assert_eq!(outcome(&records), "succeeded");
    let report = backup(&records);
    assert_eq!((report["level"].as_str(), report["proof"]["tables"].as_u64()), (Some("restored"), Some(3)));
    assert_eq!(report["proof"]["rows"], 10_001);
    let left = files(&stack.agents[place].backups());
    assert!(left.len() == 2 && left[0].contains(".dump.zst") && left[1].contains(".json"), "{left:?}");
    assert_eq!(scratches(&client, &id).await, 0);
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn only_the_touched_tables_rows_are_backed_up_where_they_are_known() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    client.batch_execute(USERS).await.unwrap();
    stack
        .pipeline(&pipeline("backup = { level = \"restored\", scope = \"touched\", restore_point = true }"))
        .await;

    let known = stack.migration("001_nick", &[("up.sql", "ALTER TABLE users ADD COLUMN nick text;")]);
    let (finished, records) = deploy(&stack, &known).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let report = backup(&records);
    assert_eq!(report["only_tables"], serde_json::json!(["public.users"]));
    assert_eq!(report["proof"]["rows"], 5_000);
    assert!(report["restore_point"]["lsn"].as_str().unwrap().contains('/'), "{report}");
    assert!(report["restore_point"]["name"].as_str().unwrap().starts_with("stopover_"), "{report}");
    assert!(!report["restore_command"].as_str().unwrap().contains("--clean"), "{report}");

    let unknown =
        stack.migration("002_do", &[("up.sql", "DO $$ BEGIN UPDATE users SET nick = 'x'; END $$;")]);
    let (finished, records) = deploy(&stack, &unknown).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let report = backup(&records);
    assert!(report.get("only_tables").is_none(), "{report}");
    let why = report["whole_because"].as_str().unwrap();
    assert!(why.starts_with("statement 1 of 002_do: what a DO block locks"), "{why}");
}

#[tokio::test]
async fn the_sites_own_command_makes_a_recorded_backup_and_nothing_more() {
    let mut stack = Stack::start().await;
    let script = stack.directory().join("snapshot");
    std::fs::write(
        &script,
        "#!/bin/sh\necho \"snapshot of $PGDATABASE as $PGUSER for $STOPOVER_ENVIRONMENT/$STOPOVER_DATABASE, attempt $STOPOVER_ATTEMPT\"\n\
         echo \"password: ${PGPASSWORD-none}\" >&2\n",
    )
    .unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let options =
        AgentOptions { backup: format!("command = [\"{}\"]", script.display()), ..AgentOptions::default() };
    let place = stack.environment_with("staging", options).await;
    let database = stack.agents[place].database.name().to_owned();
    let directory = stack.migration("001_t", &[("up.sql", "CREATE TABLE t (a int);")]);

    stack.pipeline(&pipeline("backup = \"decoded\"")).await;
    let mut running = Running::deploy(&stack, &directory);
    let failed = running.until("the refusal", |r| r["event"]["outcome"]["outcome"] == "failed").await;
    let error = &failed["event"]["outcome"]["error"];
    assert!(error["message"].as_str().unwrap().contains("asks for a backup that is decoded"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("set backup = \"recorded\""), "{error}");
    let id = running.id().await;
    stack.cli.ok(&["cancel", &id]).await;
    running.ended().await;

    stack.pipeline(&pipeline("")).await;
    let (finished, records) = deploy(&stack, &directory).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let report = backup(&records);
    let said = report["command_output"].as_str().unwrap();
    assert!(
        said.contains(&format!("snapshot of {database} as postgres for staging/users, attempt 1")),
        "{said}"
    );
    assert!(said.contains("password: none"), "{said}");
    assert!(report["path"].as_str().unwrap().contains(".log"), "{report}");
}
