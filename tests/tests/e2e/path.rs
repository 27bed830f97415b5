//! The guide's migration, all the way and back.

use stopover_cluster::{TestDatabase, seed};
use stopover_tests::Stack;
use stopover_tests::stack::{AgentOptions, sample};

use crate::support::{
    PIPELINE, assert_contiguous, assert_nothing_left, deploy, is_event, is_notice, log, number, outcome,
};

#[tokio::test]
async fn the_guides_migration_travels_to_production_and_back() {
    let mut stack = Stack::start().await;
    let staging = stack.environment("staging").await;
    let production = stack.environment("production").await;
    let staging = stack.agents[staging].database.client().await.unwrap();
    let live = stack.agents[production].database.client().await.unwrap();
    seed::users(&staging, 2_000, 1).await.unwrap();
    seed::users(&live, 120_000, 2).await.unwrap();
    stack.pipeline(PIPELINE).await;

    let plan = stack.cli.ok(&["plan", &sample()]).await;
    assert!(plan.contains("120,000 rows"), "{plan}");
    for said in [
        "ACCESS EXCLUSIVE on users: blocks reads and writes",
        "while line 14",
        "SHARE on users: blocks writes; builds an index over it (2,000 rows",
        "SHARE UPDATE EXCLUSIVE on users: blocks neither reads nor writes",
    ] {
        assert!(plan.contains(said), "{said} is not in\n{plan}");
    }
    assert_eq!(
        number(&live, "SELECT count(*) FROM pg_namespace WHERE nspname = 'stopover'").await,
        0,
        "plan changes nothing"
    );

    let (finished, records) = deploy(&stack, &sample()).await;
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
    assert_contiguous(&records);
    assert_eq!(outcome(&records), "succeeded");
    let variants: Vec<_> = records
        .iter()
        .filter(|r| is_event(r, "planned"))
        .map(|r| r["event"]["plan"]["migrations"][0]["action"]["variant"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(variants, ["standard", "batched"]);
    assert!(records.iter().any(is_notice), "the script's NOTICEs are in the log");
    assert!(records.iter().any(|r| is_event(r, "soak_started")));
    for client in [&staging, &live] {
        let incomplete = "SELECT count(*) FROM users WHERE onboarding_completed IS NOT TRUE";
        assert_eq!(number(client, incomplete).await, 0);
        let index = "SELECT count(*) FROM pg_index WHERE indisvalid AND indrelid = 'users'::regclass
             AND indexrelid = to_regclass('idx_users_onboarding_completed')";
        assert_eq!(number(client, index).await, 1);
        let applied = "SELECT count(*) FROM stopover.migration WHERE state = 'applied'";
        assert_eq!(number(client, applied).await, 1);
        assert_nothing_left(client).await;
    }

    let id = records[0]["deployment"].as_str().unwrap().to_owned();
    let back = stack.cli.run(&["rollback", &id, "--stage", "production", "--yes"]).await;
    assert_eq!(
        back.code, 0,
        "a rollback that was asked for and done is a success: {}\n{}",
        back.stdout, back.stderr
    );
    let column = "SELECT count(*) FROM information_schema.columns
         WHERE table_name = 'users' AND column_name = 'onboarding_completed'";
    assert_eq!(number(&live, column).await, 0);
    assert_eq!(number(&staging, column).await, 1, "only production was meant");
    assert_eq!(number(&live, "SELECT count(*) FROM users").await, 120_000);
    let records = log(&stack.cli, &id).await;
    assert_contiguous(&records);
    let rolled_back = records
        .iter()
        .find(|r| is_event(r, "step_finished") && r["event"]["step"]["kind"] == "rollback")
        .expect("the rollback's report");
    assert_eq!(rolled_back["event"]["outcome"]["report"]["schema_restored"], true);
    let backups = std::fs::read_dir(stack.agents[production].backups())
        .unwrap()
        .filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "zst"))
        .count();
    assert_eq!(backups, 2, "one before the migration and one before the rollback");
    assert_nothing_left(&live).await;
}

#[tokio::test]
async fn what_is_applied_already_is_skipped_and_other_content_is_refused() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n").await;
    let directory =
        stack.migration("001_t", &[("up.sql", "CREATE TABLE t (a int);"), ("down.sql", "DROP TABLE t;")]);

    assert_eq!(deploy(&stack, &directory).await.0.code, 0);
    let (again, records) = deploy(&stack, &directory).await;
    assert_eq!(again.code, 0);
    let planned = records.iter().find(|r| is_event(r, "planned")).unwrap();
    assert_eq!(planned["event"]["plan"]["migrations"][0]["action"]["action"], "skip");
    assert!(
        !records.iter().any(|r| r["event"]["step"]["kind"] == "backup"),
        "there was nothing to back up for"
    );

    let directory = stack.migration("001_t", &[("up.sql", "CREATE TABLE t (a bigint);")]);
    let plan = stack.cli.run(&["plan", &directory]).await;
    assert!(
        format!("{}{}", plan.stdout, plan.stderr).contains("other content"),
        "{}{}",
        plan.stdout,
        plan.stderr
    );
    let mut running = crate::support::Running::deploy(&stack, &directory);
    running.until("the refusal", |r| is_event(r, "plan_refused")).await;
    let id = running.id().await;
    running.until("the wait for a person", |r| r["event"]["waiting"]["for"] == "person").await;
    stack.cli.ok(&["cancel", &id]).await;
    assert_eq!(running.ended().await, 1);
    let client = stack.agents[place].database.client().await.unwrap();
    let kind =
        "SELECT count(*) FROM information_schema.columns WHERE table_name = 't' AND data_type = 'integer'";
    assert_eq!(number(&client, kind).await, 1, "nothing was changed");
}

#[tokio::test]
async fn a_failure_in_staging_is_rolled_back_there_and_never_reaches_production() {
    let mut stack = Stack::start().await;
    let staging = stack.environment("staging").await;
    let production = stack.environment("production").await;
    stack.pipeline(PIPELINE).await;
    // Commits its first statement, so that there is something to take back.
    let directory = stack.migration(
        "001_broken",
        &[
            ("up.sql", "CREATE TABLE t (a int);\nCREATE INDEX CONCURRENTLY i ON t (a);\nSELECT 1 / 0;"),
            ("down.sql", "DROP TABLE IF EXISTS t;"),
        ],
    );
    let (finished, records) = deploy(&stack, &directory).await;
    assert_eq!(finished.code, 1, "{}\n{}", finished.stdout, finished.stderr);
    assert_eq!(outcome(&records), "rolled_back");
    let failed = records
        .iter()
        .find(|r| is_event(r, "step_finished") && r["event"]["outcome"]["outcome"] == "failed")
        .expect("a failed step");
    let error = &failed["event"]["outcome"]["error"];
    assert_eq!(error["sqlstate"], "22012");
    assert_eq!(error["place"]["line"], 3);
    let client = stack.agents[staging].database.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname IN ('t', 'i')").await, 0);
    assert_eq!(number(&client, "SELECT count(*) FROM stopover.migration").await, 0);
    let client = stack.agents[production].database.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg_namespace WHERE nspname = 'stopover'").await, 0);
}

#[tokio::test]
async fn a_monitor_that_does_not_hold_stops_the_promotion() {
    let mut stack = Stack::start().await;
    stack.environment("staging").await;
    stack.environment("production").await;
    stack.pipeline(PIPELINE).await;
    let toml = "[[monitor]]\nname = \"nobody is stuck\"\nevery = \"1s\"\nsql = \"SELECT count(*) FROM t\"\nexpect = 0\n";
    let directory = stack.migration(
        "001_t",
        &[
            ("up.sql", "CREATE TABLE t (a int); INSERT INTO t VALUES (1);"),
            ("down.sql", "DROP TABLE t;"),
            ("migration.toml", toml),
        ],
    );
    let (finished, records) = deploy(&stack, &directory).await;
    assert_eq!(finished.code, 1);
    assert_eq!(outcome(&records), "rolled_back");
    let begun = records.iter().find(|r| is_event(r, "rollback_started")).unwrap();
    assert!(begun["event"]["cause"].as_str().unwrap().contains("nobody is stuck"), "{begun}");
    assert!(!records.iter().any(|r| is_event(r, "stage_started") && r["event"]["stage"] == 1));
}

#[tokio::test]
async fn an_agent_takes_several_migrations_to_each_of_its_databases() {
    let mut stack = Stack::start().await;
    let orders = TestDatabase::shared().await.unwrap();
    let options = AgentOptions {
        databases: vec![("orders".to_owned(), orders.name().to_owned())],
        ..AgentOptions::default()
    };
    let place = stack.environment_with("staging", options).await;
    stack.pipeline("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n").await;
    let one =
        stack.migration("001_t", &[("up.sql", "CREATE TABLE t (a int);"), ("down.sql", "DROP TABLE t;")]);
    let two =
        stack.migration("002_u", &[("up.sql", "CREATE TABLE u (a int);"), ("down.sql", "DROP TABLE u;")]);

    let finished = stack.cli.run(&["--json", "deploy", &one, &two]).await;
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
    let id = finished.json()[0]["deployment"].as_str().unwrap().to_owned();
    let clients = [stack.agents[place].database.client().await.unwrap(), orders.client().await.unwrap()];
    let tables = "SELECT count(*) FROM pg_class WHERE relname IN ('t', 'u')";
    for client in &clients {
        assert_eq!(number(client, tables).await, 2);
        assert_eq!(
            number(client, "SELECT count(*) FROM stopover.migration WHERE state = 'applied'").await,
            2
        );
    }
    stack.cli.ok(&["rollback", &id, "--yes"]).await;
    for client in &clients {
        assert_eq!(number(client, tables).await, 0);
        let order = "SELECT count(*) FROM stopover.history WHERE what = 'rolled back'";
        assert_eq!(number(client, order).await, 2);
        assert_nothing_left(client).await;
    }
}
