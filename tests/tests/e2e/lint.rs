//! What the linter finds in what would run: allowed, warned of and refused, stage by stage.

use std::fs;

use serde_json::{Value, json};
use stopover_tests::Stack;

use crate::support::{Running, deploy, is_event, is_start, number, outcome};

const UP: &str = "ALTER TABLE t ADD b bigint;\nUPDATE t SET b = a;\n";
const RULE: &str = "stopover/update-without-where";

/// Staging, then production, each with these settings for the linter.
fn pipeline(staging: &str, production: &str) -> String {
    let stage = |name: &str, lint: &str| {
        format!("[[stage]]\nenvironment = \"{name}\"\non_failure = \"pause\"\n[stage.lint]\n{lint}\n")
    };
    format!("name = \"p\"\n{}{}", stage("staging", staging), stage("production", production))
}

async fn stack() -> Stack {
    let mut stack = Stack::start().await;
    for name in ["staging", "production"] {
        let place = stack.environment(name).await;
        let client = stack.agents[place].database.client().await.unwrap();
        client
            .batch_execute("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 2)")
            .await
            .unwrap();
    }
    stack
}

async fn columns(stack: &Stack, place: usize) -> i64 {
    let client = stack.agents[place].database.client().await.unwrap();
    let sql = "SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped";
    number(&client, sql).await
}

/// The warnings of each stage's plan.
fn warnings(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|r| is_event(r, "planned")).map(|r| &r["event"]["plan"]["warnings"]).collect()
}

#[tokio::test]
async fn what_production_refuses_does_not_begin_in_staging() {
    let stack = stack().await;
    stack.pipeline(&pipeline("", &format!("refuse = [\"{RULE}\"]"))).await;
    let directory = stack.migration("001_b", &[("up.sql", UP)]);

    let planned = stack.cli.run(&["plan", &directory]).await;
    assert_eq!(planned.code, 1, "{}", planned.stderr);
    for wanted in [
        &format!("refused[{RULE}]: "),
        "--> 001_b/up.sql:2:1",
        "in: production (refused), staging (warning)",
        "    -- stopover: backfill\n    UPDATE t SET b = a;\n",
        "refused: a deployment would stop",
    ] {
        assert!(planned.stdout.contains(wanted), "{wanted} in {}", planned.stdout);
    }
    assert_eq!(planned.stdout.matches("--> 001_b/up.sql:2:1").count(), 2, "once for each of two rules");
    let answer = &stack.cli.run(&["--json", "plan", &directory]).await.json()[0];
    let findings = answer["lint"]["findings"].as_array().unwrap();
    let update = findings.iter().find(|f| f["rule"] == RULE).unwrap();
    assert_eq!((&update["warn"], &update["refuse"]), (&json!(["staging"]), &json!(["production"])));

    let finished = stack.cli.run(&["deploy", &directory]).await;
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    let said = format!("no deployment was made: production refuses {RULE} in 001_b/up.sql:2");
    assert!(finished.stderr.contains(&said), "{}", finished.stderr);
    assert!(finished.stderr.contains("hint: change it: ") && finished.stderr.contains("-- squawk-ignore"));
    assert_eq!(stack.cli.run(&["--json", "list"]).await.json().len(), 0, "no deployment was made");
    assert_eq!((columns(&stack, 0).await, columns(&stack, 1).await), (2, 2));

    // A comment of the author's excepts it, and what staging still minds is in its plan.
    let excepted = UP.replace("UPDATE", &format!("-- squawk-ignore {RULE}\nUPDATE"));
    let directory = stack.migration("001_b", &[("up.sql", &excepted)]);
    let (finished, records) = deploy(&stack, &directory).await;
    assert_eq!((finished.code, outcome(&records).as_str()), (0, "succeeded"), "{}", finished.stderr);
    let wanted = json!(["lint: stopover/lock-held-while-slow in 001_b/up.sql:3"]);
    assert_eq!(warnings(&records), [&wanted, &wanted]);

    // Once it is applied everywhere, nobody minds it any more.
    let directory = stack.migration("001_b", &[("up.sql", &excepted)]);
    stack.pipeline(&pipeline("refuse = \"all\"", "refuse = \"all\"")).await;
    let planned = stack.cli.run(&["plan", &directory]).await;
    assert_eq!(
        (planned.code, planned.stdout.contains("stopover/lock-held")),
        (0, false),
        "{}",
        planned.stdout
    );
    assert_eq!(deploy(&stack, &directory).await.0.code, 0);
}

#[tokio::test]
async fn what_is_allowed_is_not_even_told() {
    let stack = stack().await;
    stack
        .pipeline(&pipeline(
            "allow = \"all\"",
            "warn = [\"all\"]\nallow = [\"stopover/lock-held-while-slow\"]",
        ))
        .await;
    let directory = stack.migration("001_b", &[("up.sql", UP)]);
    let (finished, records) = deploy(&stack, &directory).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(warnings(&records), [&json!([]), &json!([format!("lint: {RULE} in 001_b/up.sql:2")])]);
}

#[tokio::test]
async fn a_stage_that_nobody_could_look_into_refuses_before_its_backup() {
    let mut stack = stack().await;
    stack.pipeline(&pipeline("", &format!("refuse = [\"{RULE}\"]"))).await;
    let directory = stack.migration("001_b", &[("up.sql", UP)]);
    stack.kill_agent(1);
    let running = Running::deploy(&stack, &directory);
    let gone_on = |r: &Value| is_event(r, "stage_started") && r["event"]["stage"] == 1;
    running.until("production", gone_on).await;
    stack.start_agent(1);
    let refused = running.until("the refusal", |r| is_event(r, "plan_refused")).await;
    let error = &refused["event"]["error"];
    let said = format!("production refuses {RULE} in 001_b/up.sql:2: ");
    assert!(error["message"].as_str().unwrap().starts_with(&said), "{error}");
    assert_eq!(
        (&error["place"]["line"], &error["place"]["text"]),
        (&json!(2), &json!("UPDATE t SET b = a;"))
    );
    running.until("the pause", |r| is_event(r, "paused")).await;
    assert!(!running.records().iter().any(|r| is_start(r, "backup", 1)));
    assert_eq!((columns(&stack, 0).await, columns(&stack, 1).await), (3, 2));
    let shown = stack.cli.run(&["status", &running.id().await]).await.stdout;
    assert!(shown.contains(RULE) && shown.contains("001_b/up.sql:2"), "{shown}");
}

#[tokio::test]
async fn a_rule_that_is_none_is_said_in_its_place() {
    let stack = Stack::start().await;
    let file = stack.directory().join("p.toml");
    fs::write(&file, pipeline("", "refuse = [\"all\", \"update-without-wher\"]")).unwrap();
    let finished = stack.cli.run(&["pipeline".as_ref(), "apply".as_ref(), file.as_os_str()]).await;
    assert_eq!(finished.code, 2, "{}", finished.stderr);
    for wanted in [
        "p.toml:11:18: no rule is called `update-without-wher`",
        "did you mean `stopover/update-without-where`?",
    ] {
        assert!(finished.stderr.contains(wanted), "{}", finished.stderr);
    }
    fs::write(&file, pipeline("", &format!("refuse = \"{RULE}\""))).unwrap();
    let finished = stack.cli.run(&["pipeline".as_ref(), "apply".as_ref(), file.as_os_str()]).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(stack.cli.ok(&["pipeline", "show"]).await.contains(&format!("lint    refuses {RULE}")));
}
