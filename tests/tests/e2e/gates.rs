//! A stage that people open: each with a token of their own, whatever dies while it waits.

use serde_json::Value;
use stopover_tests::{Cli, Stack};

use crate::support::{Running, assert_contiguous, is_event, is_start, log, number};

const PIPELINE: &str = "name = \"p\"\ncontacts = [\"#db-oncall\"]\n[[stage]]\nenvironment = \"staging\"\n\
                        approvals = 1\napprovers = [\"group:dba\"]\nchecklist = [\"Team notified\"]\n";
const TABLE: [(&str, &str); 2] = [("up.sql", "CREATE TABLE t (a int);"), ("down.sql", "DROP TABLE t;")];

/// The command line of a person with a new token.
pub(crate) async fn person(stack: &Stack, name: &str, groups: &[&str]) -> Cli {
    let mut args = vec!["--json", "token", "create", name, "--role", "approver@*"];
    args.extend(groups.iter().flat_map(|group| ["--group", group]));
    let made = stack.cli.run(&args).await.json();
    let id = made[0]["id"].as_str().expect("an id");
    let token_file = stack.directory().join(format!("token-{id}"));
    std::fs::write(&token_file, made[0]["token"].as_str().expect("a token")).expect("a file");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&token_file, private).expect("its mode");
    Cli { token_file, ..stack.cli.clone() }
}

pub(crate) fn is_at_the_gates(record: &Value) -> bool {
    record["event"]["waiting"]["for"] == "gates"
}

#[tokio::test]
async fn a_stage_is_opened_by_others_than_who_deploys_and_survives_the_server() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(PIPELINE).await;
    let anna = person(&stack, "anna", &["dba"]).await;
    let annas_second = person(&stack, "anna", &["dba"]).await;
    let ben = person(&stack, "ben", &["dba"]).await;
    let carl = person(&stack, "carl", &[]).await;

    let admin = std::mem::replace(&mut stack.cli, anna.clone());
    let directory = stack.migration("001_t", &TABLE);
    let mut running = Running::deploy(&stack, &directory);
    stack.cli = admin;
    running.until("the gates", is_at_the_gates).await;
    let id = running.id().await;
    let steps = running.records();
    assert!(steps.iter().any(|r| is_start(r, "rehearse", 0)), "who approves sees a rehearsal");

    for (cli, words) in [
        (&anna, "anna created this deployment, and nobody approves or rejects their own"),
        (&annas_second, "anna created this deployment, and nobody approves or rejects their own"),
        (&carl, "carl is not one of those who approve in staging; somebody of the group dba could"),
    ] {
        let refused = cli.run(&["approve", &id, "--reason", "looks good"]).await;
        assert!(refused.code == 1 && refused.stderr.contains(words), "{refused:?}");
    }
    let typo = carl.run(&["tick", &id, "Team notfied"]).await;
    assert!(typo.code != 0 && typo.stderr.contains("did you mean `Team notified`?"), "{typo:?}");

    let explained = carl.ok(&["explain", &id]).await;
    for words in [
        "in front of staging for 2 gates",
        "0 of 1 approval",
        &format!("somebody of the group dba: stopover approve {id} --reason TEXT"),
        &format!("stopover tick {id} \"Team notified\""),
    ] {
        assert!(explained.contains(words), "{words} in {explained}");
    }
    let status = carl.ok(&["status", &id]).await;
    assert!(status.contains("0 of 1 approval") && status.contains("stopover tick"), "{status}");
    let listed = carl.ok(&["list"]).await;
    assert!(listed.contains("waiting for approval"), "{listed}");

    stack.kill_server();
    stack.start_server().await;
    let explained = ben.run(&["--json", "explain", &id]).await.json().remove(0);
    assert_eq!(explained["waits"].as_array().expect("waits").len(), 2, "{explained}");
    let digest = explained["plan_digest"].as_str().expect("a digest").to_owned();
    let other = "0".repeat(64);
    let refused = ben.run(&["approve", &id, "--expect-digest", &other]).await;
    assert!(refused.code == 1 && refused.stderr.contains("nothing was approved"), "{refused:?}");

    // A no holds it; whoever wants it to go on has to ask again.
    ben.ok(&["reject", &id, "--reason", "not before lunch"]).await;
    let status = carl.ok(&["status", &id]).await;
    assert!(status.contains("ben rejected it in staging: not before lunch"), "{status}");
    stack.cli.ok(&["resume", &id]).await;

    ben.ok(&["approve", &id, "--reason", "seen", "--expect-digest", &digest]).await;
    let twice = ben.run(&["approve", &id]).await;
    assert!(twice.code == 1 && twice.stderr.contains("ben has approved this plan already"), "{twice:?}");
    carl.ok(&["tick", &id, "team notified"]).await;
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    let client = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname = 't'").await, 1);

    let records = log(&stack.cli, &id).await;
    assert_contiguous(&records);
    let approved = records.iter().position(|r| is_event(r, "approved")).expect("an approval");
    let began = records.iter().position(|r| is_start(r, "migrate", 0)).expect("the migration");
    assert!(approved < began, "nothing was migrated before");
    assert_eq!(records[approved]["event"]["digest"], digest.as_str());

    let bens = stack.cli.run(&["--json", "token", "list"]).await.json();
    let bens = bens.iter().find(|t| t["operator"] == "ben").expect("ben's token");
    stack.cli.ok(&["token", "revoke", bens["id"].as_str().expect("an id")]).await;
    let out = ben.run(&["list"]).await;
    assert!(out.code != 0 && out.stderr.contains("was revoked"), "{out:?}");
}
