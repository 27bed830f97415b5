//! What is looked at after a deployment has ended: run late where the agent was away, and a failure goes no further.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use stopover_tests::{Cli, Stack, eventually};

use crate::support::{Running, is_event};

const STAGING: &str = "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n";

fn migration(stack: &Stack) -> String {
    let manifest = "[[follow_up]]\nname = \"t is in use\"\nafter = \"1s\"\nsql = \"SELECT count(*) FROM t\"\nexpect_min = 1\n\
                    [[follow_up]]\nname = \"how it grows\"\nevery = \"2s\"\nfor = \"10m\"\nsql = \"SELECT count(*) FROM t\"\n";
    stack.migration(
        "001_t",
        &[("up.sql", "CREATE TABLE t (a int);"), ("down.sql", "DROP TABLE t;"), ("migration.toml", manifest)],
    )
}

async fn named(cli: &Cli, id: &str, name: &str) -> Value {
    let all = cli.run(&["--json", "follow-ups", id]).await.json();
    all.into_iter().find(|f| f["key"]["name"] == name).expect("it is listed")
}

#[tokio::test]
async fn a_follow_up_whose_time_came_while_the_agent_was_away_is_run_late_and_its_failure_goes_no_further() {
    let mut stack = Stack::start().await;
    let staging = stack.environment("staging").await;
    stack.pipeline(STAGING).await;
    let directory = migration(&stack);
    let mut running = Running::deploy(&stack, &directory);
    running.until("the migration", |r| is_event(r, "stage_finished")).await;
    let id = running.id().await;
    stack.kill_agent(staging);
    assert_eq!(running.ended().await, 0, "{}", running.process.output());

    let shown = || async { named(&stack.cli, &id, "t is in use").await };
    eventually("that it could not be asked", || async {
        let follow_up = shown().await;
        (follow_up["held"].is_object() || follow_up["state"] == "failed").then_some(())
    })
    .await;
    let before = shown().await;
    if before["state"] == "waits" {
        // What is due outlives the server.
        assert!(before["runs"].as_array().unwrap().is_empty(), "{before}");
    }
    let grows = named(&stack.cli, &id, "how it grows").await;
    let runs = grows["runs"].as_array().unwrap().len();
    let missed: Timestamp = grows["due"].as_str().unwrap().parse().unwrap();
    let missed = missed.checked_add(Duration::from_secs(5)).unwrap();
    eventually("that more than one run was missed", || async { (Timestamp::now() > missed).then_some(()) })
        .await;
    stack.kill_server();
    stack.start_server().await;
    stack.start_agent(staging);
    stack.wait_for_agent("staging").await;
    let late = eventually("the run that was missed", || async {
        let grows = named(&stack.cli, &id, "how it grows").await;
        grows["runs"].as_array().unwrap().get(runs).cloned()
    })
    .await;
    assert!(late["skipped"].as_u64().unwrap() >= 1, "one run for all that were missed: {late}");
    let text = stack.cli.run(&["follow-ups", &id]).await.stdout;
    assert!(text.contains("that were missed are not made up for)"), "{text}");
    let shown = || async { named(&stack.cli, &id, "t is in use").await };
    let failed = eventually("the failure", || async {
        let follow_up = shown().await;
        (follow_up["state"] == "failed").then_some(follow_up)
    })
    .await;
    assert_eq!(failed["runs"][0]["observed"], "0", "{failed}");
    let text = stack.cli.run(&["follow-ups", &id]).await;
    assert_eq!(text.code, 1);
    assert!(text.stdout.contains("stopover acknowledge"), "{}", text.stdout);

    // The same migration waits before production, and says for what.
    stack.environment("production").await;
    stack.pipeline(&format!("{STAGING}[[stage]]\nenvironment = \"production\"\n")).await;
    let mut second = Running::deploy(&stack, &directory);
    second.until("the wait for a word", |r| r["event"]["waiting"]["for"] == "follow_up").await;
    let status = stack.cli.ok(&["status", &second.id().await]).await;
    assert!(
        status.contains("for a word on the follow-up \"t is in use\" of 001_t in staging/users"),
        "{status}"
    );
    let refused = stack.cli.run(&["acknowledge", &id, "nothing", "--reason", "x"]).await;
    assert!(refused.stderr.contains("there is \"how it grows\", \"t is in use\""), "{}", refused.stderr);
    stack.cli.ok(&["acknowledge", &id, "t is in use", "--reason", "nobody writes to it yet"]).await;
    assert_eq!(tokio::time::timeout(Duration::from_mins(1), second.ended()).await.unwrap(), 0);
}
