//! A soak that asks an application: it ends while that is well, is held while nobody answers, and stops where it turns sick.

use stopover_tests::{AgentOptions, HttpTarget, Reply, Stack};

use crate::support::{Running, is_event, number};

const TABLE: [(&str, &str); 2] = [("up.sql", "CREATE TABLE t (a int);"), ("down.sql", "DROP TABLE t;")];

/// One stage with a monitor of the application, on an agent that may ask it.
async fn stack(target: &HttpTarget, soak: &str, patience: &str) -> (Stack, usize) {
    let mut stack = Stack::start().await;
    let tables = format!("\n[http]\nallow = [\"{}/health\"]\n", target.origin);
    let options = AgentOptions { tables, ..AgentOptions::default() };
    let place = stack.environment_with("staging", options).await;
    let pipeline = format!(
        "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nsoak = \"{soak}\"\non_failure = \"rollback\"\n\
         [[stage.monitor]]\nname = \"sign-in answers\"\nevery = \"1s\"\nfor = \"{patience}\"\n\
         http = {{ url = \"{}/health\", json = \"$.status\", expect = \"ok\" }}\n",
        target.origin
    );
    stack.pipeline(&pipeline).await;
    (stack, place)
}

fn health(status: &str) -> Reply {
    Reply::Is(200, format!("{{\"status\": \"{status}\"}}"))
}

#[tokio::test]
async fn an_application_that_turns_sick_in_the_soak_has_the_stage_rolled_back() {
    let target = HttpTarget::start().await;
    target.says("/health", health("ok"));
    let (stack, place) = stack(&target, "10m", "2s").await;
    let directory = stack.migration("001_t", &TABLE);
    let mut running = Running::deploy(&stack, &directory);
    let passed = |r: &serde_json::Value| {
        is_event(r, "step_finished")
            && r["event"]["step"]["kind"] == "monitor"
            && r["event"]["outcome"]["outcome"] == "succeeded"
    };
    running.until("a monitor that passes", passed).await;
    target.says("/health", health("sick"));
    let rollback = running.until("the rollback", |r| is_event(r, "rollback_started")).await;
    let cause = rollback["event"]["cause"].as_str().unwrap();
    assert!(cause.contains("sign-in answers: expected status 200, $.status: 'ok', found sick"), "{cause}");
    assert_eq!(running.ended().await, 1, "{}", running.process.output());
    let client = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname = 't'").await, 0);
}

#[tokio::test]
async fn an_application_that_does_not_answer_holds_the_soak_and_nothing_is_taken_back() {
    let target = HttpTarget::start().await;
    target.says("/health", Reply::Hang);
    let (mut stack, place) = stack(&target, "2s", "0s").await;
    let directory = stack.migration("001_t", &TABLE);
    let mut running = Running::deploy(&stack, &directory);
    let held = |r: &serde_json::Value| {
        let why = r["event"]["waiting"]["held"][0].as_str().unwrap_or_default();
        why.contains("\"sign-in answers\" in users could not be asked since")
    };
    running.until("the held soak", held).await;
    let id = running.id().await;
    let status = stack.cli.ok(&["status", &id]).await;
    assert!(status.contains("could not be asked: no answer within 10 s"), "{status}");
    // What is known of the soak is in the log.
    stack.kill_server();
    stack.start_server().await;
    target.says("/health", health("ok"));
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    let client = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname = 't'").await, 1);
}
