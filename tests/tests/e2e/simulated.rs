//! Agents that have no databases: a fleet of a size that real databases have no room for on one machine.

use serde_json::Value;
use stopover_tests::{Simulated, SimulatedOptions, Stack, control, eventually};

use crate::support::{assert_contiguous, log};

const AGENTS: usize = 50;
const DATABASES: usize = 4;
const FAILS: &str = "sim-00007-0002";

fn names(agents: &[Value]) -> usize {
    agents
        .iter()
        .filter(|agent| agent["connected"] == true)
        .map(|a| a["databases"].as_array().unwrap().len())
        .sum()
}

#[tokio::test]
async fn two_hundred_databases_of_fifty_agents_are_one_deployment() {
    let mut stack = Stack::start().await;
    let control = control::connect(&stack).await;
    let options = SimulatedOptions {
        databases: DATABASES,
        fails: vec![FAILS.to_owned()],
        ..SimulatedOptions::default()
    };
    let environments = vec!["production".to_owned(); AGENTS];
    let mut agents = Simulated::join(&stack, &control, &environments, &options).await;
    agents.connect().await;
    eventually("all of their databases", || async {
        (names(&stack.cli.run(&["--json", "agent", "list"]).await.json()) == AGENTS * DATABASES).then_some(())
    })
    .await;
    let pipeline = "name = \"fleet\"\n[[stage]]\nenvironment = \"production\"\nsample = false\n\
                    waves = [\"canary:1\", \"10%\", \"100%\"]\nmax_parallel = 30\nmax_failures = 1\n";
    stack.pipeline(pipeline).await;
    let migration = stack.migration("001_a", &[("up.sql", "CREATE TABLE a (id int);")]);
    let id = stack.cli.ok(&["deploy", &migration, "--detach"]).await;
    let id = id.split_whitespace().find(|word| word.len() == 10).unwrap_or(&id).to_owned();
    let shown = eventually("the end of all but one", || async {
        let shown = stack.cli.ok(&["status", &id]).await;
        shown.contains("1 failed").then_some(shown).filter(|shown| shown.contains("stopover resume"))
    })
    .await;
    for expected in ["✓ canary:1  1 of 1 through", "1 failed", FAILS, "made up: this one is to fail"] {
        assert!(shown.contains(expected), "{expected} is missing:\n{shown}");
    }
    assert!(shown.lines().count() < 40, "{shown}");

    // What is shown is the same after a restart of the server, and what was kept is no more than what the log says.
    let records = log_so_far(&stack, &id).await;
    assert_contiguous(&records);
    assert!(records.len() > 1_500, "{} events", records.len());
    stack.kill_server();
    stack.start_server().await;
    let again = eventually("the same deployment", || async {
        let found = stack.cli.run(&["status", &id]).await;
        (found.code == 0).then_some(found.stdout)
    })
    .await;
    let waves =
        |text: &str| text.lines().filter(|l| l.contains(" through")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(waves(&again), waves(&shown));
    let one = stack.cli.ok(&["status", &id, "--database", "sim-00049-0003"]).await;
    assert!(one.contains("✓ migrate"), "{one}");

    eventually("the agents", || async {
        (names(&stack.cli.run(&["--json", "agent", "list"]).await.json()) == AGENTS * DATABASES).then_some(())
    })
    .await;
    stack.cli.ok(&["resume", &id, "--leave-out", FAILS]).await;
    eventually("its end", || async {
        stack.cli.ok(&["status", &id]).await.contains("succeeded at").then_some(())
    })
    .await;
    assert_contiguous(&log(&stack.cli, &id).await);
    let ended = stack.cli.ok(&["status", &id]).await;
    assert!(ended.contains(&format!("goes on without {FAILS}")), "{ended}");
    let whole = &stack.cli.run(&["--json", "status", &id]).await.json()[0];
    assert_eq!(whole["stages"][0]["databases"].as_array().unwrap().len(), AGENTS * DATABASES);
}

/// Of a deployment that goes on.
async fn log_so_far(stack: &Stack, id: &str) -> Vec<Value> {
    let request = stopover_proto::v1::GetDeploymentRequest { deployment: id.to_owned() };
    let answer = control::connect(stack).await.get_deployment(request).await.unwrap().into_inner();
    answer.records.iter().map(|record| serde_json::json!({ "seq": record.seq })).collect()
}
