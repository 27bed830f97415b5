//! The server is killed in each state in which a deployment waits: what is waited for stands as before. And what a soak is
//! compared with at its end.

use serde_json::Value;
use stopover_cluster::seed;
use stopover_tests::{Stack, eventually};

use crate::gates::{is_at_the_gates, person};
use crate::support::{Running, assert_contiguous, is_event, is_finish, is_start, log, one_stage};
use crate::windows::far_away;

const FILES: [(&str, &str); 3] = [
    ("up.sql", "ALTER TABLE users ADD COLUMN done boolean; CREATE INDEX users_done ON users (done);"),
    ("down.sql", "ALTER TABLE users DROP COLUMN done;"),
    (
        "migration.toml",
        "table = 'users'\n[[monitor]]\nname = 'nobody is done'\nevery = '15s'\nsql = 'SELECT count(*) FROM users WHERE done'\nexpect = 0\n\
         [[follow_up]]\nname = 'still nobody'\nafter = '15s'\nsql = 'SELECT count(*) FROM users WHERE done'\nexpect = 0\n",
    ),
];

/// What a command says before the server is killed, which is what it says after it.
async fn stands(stack: &mut Stack, command: &[&str]) -> Value {
    let args = [&["--json"], command].concat();
    let before = stack.cli.run(&args).await.json();
    stack.kill_server();
    stack.start_server().await;
    let after = stack.cli.run(&args).await.json();
    assert_eq!(before, after, "{command:?}");
    after.into_iter().next().expect("an answer")
}

fn gates(explained: &Value) -> usize {
    explained["waits"].as_array().expect("waits").len()
}

#[tokio::test]
async fn whatever_is_waited_for_when_the_server_is_killed_is_waited_for_as_before() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    seed::users(&client, 500, 7).await.unwrap();
    let asked = "soak = \"12s\"\napprovals = 1\nrehearse = false\nchecklist = [\"Team notified\"]\n";
    let limits = "[stage.baseline]\nsize = \"1000x\"\n";
    stack.pipeline(&format!("{}{asked}{}{limits}", one_stage("staging", "pause"), far_away())).await;
    let ben = person(&stack, "ben", &[]).await;
    let directory = stack.migration("001_done", &FILES);
    let mut running = Running::deploy(&stack, &directory);
    running.until("the gates", is_at_the_gates).await;
    let id = running.id().await;

    let explained = stands(&mut stack, &["explain", &id]).await;
    assert_eq!(gates(&explained), 3, "an approval, the checklist, the window: {explained}");
    let ben = stopover_tests::Cli { server: stack.cli.server.clone(), ..ben };
    ben.ok(&["approve", &id]).await;
    stack.cli.ok(&["tick", &id, "Team notified"]).await;
    let explained = stands(&mut stack, &["explain", &id]).await;
    assert_eq!(gates(&explained), 1, "what was said stays said: {explained}");
    stack.cli.ok(&["resume", &id, "--override-window", "--reason", "a test"]).await;

    running.until("the soak", |r| r["event"]["waiting"]["for"] == "soak").await;
    // The soak's end is counted anew from the first look at the database; behind the monitor's only run nothing changes.
    running.until("the monitor", |r| is_finish(r, "monitor", 0)).await;
    let explained = stands(&mut stack, &["explain", &id]).await;
    assert_eq!(gates(&explained), 1, "{explained}");
    assert_eq!(running.ended().await, 0, "{}", running.process.output());

    let waits = stands(&mut stack, &["follow-ups", &id]).await;
    assert_eq!(waits["state"], "waits", "{waits}");
    let through = eventually("the follow-up", || async {
        let follow_up = stack.cli.run(&["--json", "follow-ups", &id]).await.json().remove(0);
        (follow_up["state"] == "through").then_some(follow_up)
    })
    .await;
    assert_eq!((&through["runs"][0]["due"], through["runs"].as_array().unwrap().len()), (&waits["due"], 1));

    let records = log(&stack.cli, &id).await;
    assert_contiguous(&records);
    assert_eq!(records.iter().filter(|r| is_start(r, "migrate", 0)).count(), 1);
    assert_eq!(records.iter().filter(|r| is_event(r, "approvals_voided")).count(), 0);
    compared(&stack, &id, &records).await;
}

#[tokio::test]
async fn a_person_another_deployment_and_an_agent_are_waited_for_as_before_too() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    let waits = |what: &'static str| move |record: &Value| record["event"]["waiting"]["for"] == what;
    let first = Running::deploy(&stack, &stack.migration("001_fails", &[("up.sql", "SELECT 1 / 0;")]));
    first.until("the wait for a person", waits("person")).await;
    let failed = first.id().await;
    let explained = stands(&mut stack, &["explain", &failed]).await;
    assert_eq!(gates(&explained), 1, "{explained}");

    let mut second =
        Running::deploy(&stack, &stack.migration("002_t", &[("up.sql", "CREATE TABLE t (a int);")]));
    second.until("the wait for the other deployment", waits("environment_held")).await;
    let id = second.id().await;
    stands(&mut stack, &["explain", &id]).await;

    stack.kill_agent(place);
    stack.cli.ok(&["cancel", &failed]).await;
    second.until("the wait for the agent", waits("agent_away")).await;
    stands(&mut stack, &["explain", &id]).await;
    stack.start_agent(place);
    assert_eq!(second.ended().await, 0, "{}", second.process.output());
}

/// The soak has ended with both looks, and `status` says what came of them.
async fn compared(stack: &Stack, id: &str, records: &[Value]) {
    assert_eq!(records.iter().filter(|r| is_start(r, "measure", 0)).count(), 2);
    let status = stack.cli.run(&["--json", "status", id]).await.json().remove(0);
    let baseline = &status["stages"][0]["databases"][0]["baseline"];
    let figures = baseline["figures"].as_array().expect("figures");
    let find = |kind: &str| {
        figures.iter().find(|f| f["figure"] == kind).unwrap_or_else(|| panic!("{kind} in {baseline}"))
    };
    assert_eq!(find("size")["table"], "public.users");
    assert!(
        find("size")["before"].as_f64().unwrap() < find("size")["during"].as_f64().unwrap(),
        "{baseline}"
    );
    let new = figures.iter().find(|f| f["index"] == "public.users_done").expect("the new index");
    assert!(new["before"].is_null() && new["during"].is_number(), "{new}");
    let text = stack.cli.ok(&["status", id]).await;
    for words in ["compare", "size of users: ", "scans of users_done: ", "pg_stat_statements"] {
        assert!(text.contains(words), "{words} in {text}");
    }
}
