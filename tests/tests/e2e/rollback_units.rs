//! Taking several migrations back as one unit: what is said before, where it stops, how it goes on, and what follows.

use serde_json::Value;
use stopover_tests::{Stack, eventually};

use crate::support::{
    Running, assert_contiguous, assert_nothing_left, deploy, is_event, is_start, log, number, one_stage,
    outcome,
};

/// A stack with one stage, and three migrations that stand on each other.
async fn three(stack: &mut Stack, on_failure: &str) -> [String; 3] {
    stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", on_failure)).await;
    [
        stack.migration(
            "001_users",
            &[("up.sql", "CREATE TABLE users (id int PRIMARY KEY);"), ("down.sql", "DROP TABLE users;")],
        ),
        stack.migration(
            "002_plan",
            &[
                ("up.sql", "ALTER TABLE users ADD plan text DEFAULT 'free';\nCREATE INDEX users_plan ON users (plan);"),
                ("down.sql", "ALTER TABLE users DROP COLUMN plan;"),
            ],
        ),
        stack.migration(
            "003_paying",
            &[
                ("up.sql", "CREATE VIEW paying AS SELECT id FROM users WHERE plan <> 'free';"),
                ("down.sql", "DROP VIEW paying;"),
            ],
        ),
    ]
}

async fn deployed(stack: &Stack, directories: &[String]) -> String {
    let args: Vec<&str> =
        ["--json", "deploy"].into_iter().chain(directories.iter().map(String::as_str)).collect();
    let finished = stack.cli.run(&args).await;
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
    finished.json()[0]["deployment"].as_str().unwrap().to_owned()
}

fn rollbacks(records: &[Value]) -> Vec<String> {
    let started =
        records.iter().filter(|r| is_event(r, "step_started") && r["event"]["step"]["kind"] == "rollback");
    started.map(|r| r["event"]["step"]["migration"].as_str().unwrap().to_owned()).collect()
}

async fn state(stack: &Stack, id: &str) -> Value {
    stack.cli.run(&["--json", "status", id]).await.json().remove(0)
}

#[tokio::test]
async fn a_unit_is_shown_asked_for_taken_back_in_reverse_and_quarantined() {
    let mut stack = Stack::start().await;
    let directories = three(&mut stack, "pause").await;
    let id = deployed(&stack, &directories).await;
    let client = stack.agents[0].database.client().await.unwrap();
    client.batch_execute("INSERT INTO users SELECT n FROM generate_series(1, 50) AS n").await.unwrap();

    let plan = stack.cli.ok(&["rollback", &id, "--plan"]).await;
    for said in [
        "drops view paying",
        "drops column users.plan: values in 50 rows",
        "50 of them were written since the migration",
        "with it go index users_plan",
        "drops table users: 50 rows",
        "ACCESS EXCLUSIVE on users: blocks reads and writes",
        "kept until it is purged: column users.plan",
        "no row is lost",
    ] {
        assert!(plan.contains(said), "{said} is not in\n{plan}");
    }
    assert!(!plan.contains("in the way"), "what is dropped before is in nobody's way\n{plan}");
    let json = stack.cli.run(&["--json", "rollback", &id, "--plan"]).await.json();
    assert_eq!(json[0]["databases"][0]["plan"]["migrations"][2]["takes"][0]["held"]["rows"], 50);

    let unasked = stack.cli.run(&["rollback", &id]).await;
    assert_eq!(unasked.code, 2, "{}", unasked.stdout);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    assert_eq!(number(&client, "SELECT count(*) FROM users").await, 50);

    let done = stack.cli.run(&["rollback", &id, "--yes"]).await;
    assert_eq!(done.code, 0, "{}\n{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("users: taken back 003_paying, 002_plan, 001_users"), "{}", done.stdout);
    assert!(done.stdout.contains("find the cause"), "{}", done.stdout);
    let records = log(&stack.cli, &id).await;
    assert_contiguous(&records);
    assert_eq!(rollbacks(&records), ["003_paying", "002_plan", "001_users"]);
    let reports =
        records.iter().filter(|r| is_event(r, "step_finished") && r["event"]["step"]["kind"] == "rollback");
    for record in reports {
        assert_eq!(record["event"]["outcome"]["report"]["schema_restored"], true, "{record}");
    }
    assert_nothing_left(&client).await;

    // The same content goes there again on somebody's word only.
    let plan = stack.cli.run(&["plan", &directories[1]]).await;
    assert_eq!(plan.code, 1, "{}", plan.stdout);
    assert!(plan.stdout.contains("was rolled back in staging"), "{}", plan.stdout);
    let refused = stack.cli.run(&["deploy", &directories[0]]).await;
    assert_eq!(refused.code, 1);
    for said in ["001_users with this content was rolled back in staging", "admin asked for it", "--again"] {
        assert!(refused.stderr.contains(said), "{said} is not in {}", refused.stderr);
    }
    let again = stack.cli.run(&["--json", "deploy", &directories[0], "--again", "the disk was full"]).await;
    assert_eq!(again.code, 0, "{}\n{}", again.stdout, again.stderr);
    assert_eq!(again.json()[0]["event"]["again"], "the disk was full");
    // It is there now, and stands in no later deployment's way.
    let (later, _) = deploy(&stack, &directories[0]).await;
    assert_eq!(later.code, 0, "{}\n{}", later.stdout, later.stderr);
    let changed = stack.migration("002_plan", &[("up.sql", "ALTER TABLE users ADD plan int;")]);
    assert_eq!(deploy(&stack, &changed).await.0.code, 0, "other content is another migration");
}

#[tokio::test]
async fn a_view_in_the_way_is_said_before_and_a_rollback_to_a_migration_keeps_it() {
    let mut stack = Stack::start().await;
    let directories = three(&mut stack, "pause").await;
    let id = deployed(&stack, &directories).await;
    let client = stack.agents[0].database.client().await.unwrap();
    client.batch_execute("CREATE VIEW free AS SELECT id FROM users WHERE plan = 'free'").await.unwrap();
    let blocked = stack.cli.run(&["rollback", &id, "--yes"]).await;
    assert_eq!(blocked.code, 1);
    assert!(blocked.stdout.contains("in the way: view free"), "{}", blocked.stdout);
    assert!(blocked.stderr.contains("nothing was taken back"), "{}", blocked.stderr);
    assert!(state(&stack, &id).await["stages"][0]["rollback"].is_null());

    let part = stack.cli.run(&["rollback", &id, "--to", "002_plan", "--yes"]).await;
    assert_eq!(part.code, 0, "{}\n{}", part.stdout, part.stderr);
    let stands = "SELECT count(*) FROM stopover.migration WHERE state = 'applied'";
    assert_eq!(number(&client, stands).await, 2);
    let status = stack.cli.ok(&["status", &id]).await;
    assert!(status.contains("rolled back to 002_plan, which stays"), "{status}");
    let nothing = stack.cli.run(&["rollback", &id, "--to", "002_plan", "--yes"]).await;
    assert!(nothing.stderr.contains("nothing behind 002_plan is in staging"), "{}", nothing.stderr);

    client.batch_execute("DROP VIEW free").await.unwrap();
    stack.cli.ok(&["rollback", &id, "--yes"]).await;
    assert_eq!(number(&client, "SELECT count(*) FROM stopover.migration").await, 0);
}

#[tokio::test]
async fn a_down_that_fails_is_a_state_with_ways_out() {
    let mut stack = Stack::start().await;
    stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    let one =
        stack.migration("001_t", &[("up.sql", "CREATE TABLE t (a int);"), ("down.sql", "DROP TABLE t;")]);
    let down = "DROP TABLE u;\nSELECT 1 / (SELECT count(*) FROM mended);";
    let two = stack.migration("002_u", &[("up.sql", "CREATE TABLE u (a int);"), ("down.sql", down)]);
    let id = deployed(&stack, &[one, two]).await;
    let client = stack.agents[0].database.client().await.unwrap();
    client.batch_execute("CREATE TABLE mended (a int)").await.unwrap();
    stack.cli.ok(&["rollback", &id, "--yes", "--detach"]).await;
    let failed = eventually("the failure", || async {
        let state = state(&stack, &id).await;
        (state["stages"][0]["state"] == "rollback_failed").then_some(state)
    })
    .await;
    assert!(failed["stages"][0]["rollback"]["failed"].as_str().unwrap().contains("002_u in users failed"));
    let status = stack.cli.ok(&["status", &id]).await;
    for said in [
        "ROLLBACK FAILED",
        "still there 002_u, 001_t",
        "none of its statements took effect",
        &format!("stopover resume {id}"),
        &format!("stopover resolve {id} --applied"),
        "or go back to before the rollback",
        &format!("stopover cancel {id} gives it up"),
    ] {
        assert!(status.contains(said), "{said} is not in\n{status}");
    }
    // The environment stays held.
    let other = stack.migration("003_v", &[("up.sql", "CREATE TABLE v (a int);")]);
    let other = Running::deploy(&stack, &other);
    other.until("the wait", |r| r["event"]["waiting"]["for"] == "environment_held").await;

    client.batch_execute("INSERT INTO mended VALUES (1)").await.unwrap();
    stack.cli.ok(&["resume", &id]).await;
    eventually("its end", || async { (state(&stack, &id).await["outcome"] == "rolled_back").then_some(()) })
        .await;
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname IN ('t', 'u')").await, 0);
    other.until("its turn", |r| is_event(r, "stage_started")).await;
}

#[tokio::test]
async fn what_was_taken_back_by_hand_is_booked_and_a_failed_rollback_can_be_given_up() {
    let mut stack = Stack::start().await;
    stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    let broken = |id: &str, table: &str| {
        let (up, down) = (format!("CREATE TABLE {table} (a int);"), "SELECT 1 / 0;");
        stack.migration(id, &[("up.sql", up.as_str()), ("down.sql", down)])
    };
    let directories = [broken("001_t", "t"), broken("002_u", "u")];
    let id = deployed(&stack, &directories).await;
    let client = stack.agents[0].database.client().await.unwrap();
    let failed = |step: &'static str| {
        let (stack, id) = (&stack, &id);
        async move {
            eventually("the failure", || async {
                let failed = state(stack, id).await["stages"][0]["rollback"]["failed"].clone();
                failed.as_str().filter(|cause| cause.contains(step)).map(str::to_owned)
            })
            .await
        }
    };
    stack.cli.ok(&["rollback", &id, "--yes", "--detach"]).await;
    failed("002_u in users").await;
    // It is looked at.
    stack.cli.ok(&["resolve", &id, "--applied"]).await;
    assert!(failed("still there").await.contains("table u"));
    client.batch_execute("DROP TABLE u").await.unwrap();
    stack.cli.ok(&["resolve", &id, "--applied"]).await;
    failed("001_t in users").await;
    assert_eq!(number(&client, "SELECT count(*) FROM stopover.migration").await, 1);

    stack.cli.ok(&["cancel", &id]).await;
    eventually("the end", || async {
        (state(&stack, &id).await["outcome"] == "rollback_failed").then_some(())
    })
    .await;
    let free = stack.migration("003_v", &[("up.sql", "CREATE TABLE v (a int);")]);
    assert_eq!(deploy(&stack, &free).await.0.code, 0, "the environment is free");
    // Now another deployment's migration stands on top.
    let refused = stack.cli.run(&["rollback", &id, "--yes"]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("003_v"), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("take back what came last first: stopover rollback"),
        "{}",
        refused.stderr
    );
}

#[tokio::test]
async fn an_agent_that_is_killed_in_the_middle_of_a_unit_goes_on_where_it_was() {
    let mut stack = Stack::start().await;
    stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    let table = |id: &str, table: &str, pause: &str| {
        let up = format!("CREATE TABLE {table} (a int);\nINSERT INTO {table} VALUES (1);");
        let down = format!("{pause}DROP TABLE {table};");
        stack.migration(id, &[("up.sql", up.as_str()), ("down.sql", down.as_str())])
    };
    let directories =
        [table("001_t", "t", ""), table("002_u", "u", "SELECT pg_sleep(3);\n"), table("003_v", "v", "")];
    let id = deployed(&stack, &directories).await;
    let client = stack.agents[0].database.client().await.unwrap();
    let mut back =
        stack.cli.start(&stack.directory().join("back.log"), &["--json", "rollback", &id, "--yes"]);
    eventually("the second migration's turn", || async {
        back.output()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .any(|r| is_start(&r, "rollback", 0) && r["event"]["step"]["migration"] == "002_u")
            .then_some(())
    })
    .await;
    stack.kill_agent(0);
    stack.start_agent(0);
    assert_eq!(back.ended().await.code(), Some(0), "{}", back.output());
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname IN ('t', 'u', 'v')").await, 0);
    assert_eq!(number(&client, "SELECT count(*) FROM stopover.history WHERE what = 'rolled back'").await, 3);
    let records = log(&stack.cli, &id).await;
    assert_contiguous(&records);
    assert_eq!(outcome(&records), "rolled_back");
    assert_nothing_left(&client).await;
}
