//! What a deployment waits for, it says; and it goes on by itself when that comes.

use stopover_tests::Stack;

use crate::support::{Running, is_event, number, one_stage};

const TABLE: [(&str, &str); 2] = [("up.sql", "CREATE TABLE t (a int);"), ("down.sql", "DROP TABLE t;")];

#[tokio::test]
async fn an_environment_without_an_agent_is_waited_for() {
    let mut stack = Stack::start().await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    let directory = stack.migration("001_t", &TABLE);
    let mut running = Running::deploy(&stack, &directory);
    running
        .until("the wait for an environment", |r| r["event"]["waiting"]["for"] == "environment_missing")
        .await;
    let id = running.id().await;
    let status = stack.cli.ok(&["status", &id]).await;
    assert!(status.contains("stopover environment create staging"), "{status}");
    stack.environment("staging").await;
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
}

#[tokio::test]
async fn an_agent_that_is_away_is_waited_for() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    stack.kill_agent(place);
    let directory = stack.migration("001_t", &TABLE);
    let mut running = Running::deploy(&stack, &directory);
    running.until("the wait for the agent", |r| r["event"]["waiting"]["for"] == "agent_away").await;
    stack.start_agent(place);
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
}

#[tokio::test]
async fn a_second_deployment_waits_for_the_first() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    let slow = stack.migration("001_slow", &[("up.sql", "CREATE TABLE a (x int); SELECT pg_sleep(2);")]);
    let quick = stack.migration("002_quick", &[("up.sql", "CREATE TABLE b (x int);")]);
    let mut first = Running::deploy(&stack, &slow);
    first.until("the first's stage", |r| is_event(r, "stage_started")).await;
    let mut second = Running::deploy(&stack, &quick);
    let waiting = second.until("the wait", |r| r["event"]["waiting"]["for"] == "environment_held").await;
    assert_eq!(waiting["event"]["waiting"]["by"], first.id().await);
    assert_eq!(first.ended().await, 0);
    assert_eq!(second.ended().await, 0);
    let client = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname IN ('a', 'b')").await, 2);
}

#[tokio::test]
async fn a_cancelled_migration_is_stopped_in_its_statement_and_leaves_nothing() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    let directory = stack.migration("001_t", &[("up.sql", "CREATE TABLE t (a int); SELECT pg_sleep(600);")]);
    let mut running = Running::deploy(&stack, &directory);
    running.until("the long statement", |r| r["event"]["line"]["index"] == 1).await;
    let id = running.id().await;
    stack.cli.ok(&["cancel", &id]).await;
    assert_eq!(running.ended().await, 1);
    let client = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname = 't'").await, 0);
    crate::support::assert_nothing_left(&client).await;
}

#[tokio::test]
async fn a_loop_that_may_not_run_again_is_unknown_until_a_person_says() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "rollback")).await;
    let up = "CREATE TABLE t (a int);\n\
              DO $$ BEGIN INSERT INTO t VALUES (1); COMMIT; RAISE NOTICE 'one is in'; PERFORM pg_sleep(600); END $$;\n\
              INSERT INTO t VALUES (2);";
    let directory = stack.migration("001_t", &[("up.sql", up), ("down.sql", "DROP TABLE IF EXISTS t;")]);
    let mut running = Running::deploy(&stack, &directory);
    running.until("the loop", crate::support::is_notice).await;
    stack.kill_agent(place);
    stack.start_agent(place);
    let unknown =
        running.until("the unknown outcome", |r| r["event"]["outcome"]["outcome"] == "unknown").await;
    let hint = unknown["event"]["outcome"]["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("stopover resolve"), "{hint}");
    let id = running.id().await;
    running.until("the wait for a person", |r| r["event"]["waiting"]["for"] == "person").await;
    let status = stack.cli.ok(&["status", &id]).await;
    assert!(status.contains("UNKNOWN") && status.contains("stopover resolve"), "{status}");
    stack.cli.ok(&["resolve", &id, "--applied"]).await;
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    let client = stack.agents[place].database.client().await.unwrap();
    assert_eq!(
        number(&client, "SELECT sum(a) FROM t").await,
        3,
        "the loop was not run again, and the rest was done"
    );
}
