//! Hooks: others do something around a migration, and the stage waits for their word, whatever dies meanwhile.

use jiff::Timestamp;
use serde_json::{Value, json};
use stopover_tests::receiver::{Reply, signature};
use stopover_tests::{Received, Receiver, Stack};

use crate::support::{Running, is_event, is_finish, log, number};

const KEY: &str = "the key of both";
const TABLE: [(&str, &str); 2] = [("up.sql", "CREATE TABLE t (a int);"), ("down.sql", "DROP TABLE t;")];

fn called(url: &str, when: &str, more: &str) -> String {
    format!(
        "[[stage.hook]]\nname = \"deploy\"\nwhen = \"{when}\"\nwebhook = \"{url}\"\nsecret = \"ci\"\n{more}"
    )
}

fn pipeline(on_failure: &str, hooks: &str) -> String {
    format!("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\non_failure = \"{on_failure}\"\n{hooks}")
}

fn waits_for(hook: &'static str) -> impl Fn(&Value) -> bool {
    move |record| {
        let gates = &record["event"]["waiting"]["gates"];
        gates.as_array().is_some_and(|gates| gates.iter().any(|gate| gate["name"] == hook))
    }
}

fn said(status: &str) -> Vec<u8> {
    json!({ "status": status }).to_string().into_bytes()
}

/// A receiver that calls back.
struct Later {
    client: reqwest::Client,
    url: String,
}

impl Later {
    fn of(stack: &Stack, call: &Received) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = std::fs::read(&stack.cli.ca).expect("the authority");
        let ca = reqwest::Certificate::from_pem(&ca).expect("a certificate");
        let client = reqwest::Client::builder().tls_certs_merge([ca]).build().expect("a client");
        Self { client, url: call.json()["data"]["callback"].as_str().expect("a callback").to_owned() }
    }

    async fn says(&self, status: &str, key: Option<&str>) -> (u16, String) {
        let (body, at) = (said(status), Timestamp::now().as_second().to_string());
        let mut request = self.client.post(&self.url);
        if let Some(key) = key {
            let signature = signature(key, "answer", &at, &body);
            request = request.header("webhook-id", "answer").header("webhook-timestamp", &at);
            request = request.header("webhook-signature", signature);
        }
        let answer = request.body(body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    }
}

#[tokio::test]
async fn who_is_called_answers_later_and_once_although_the_server_is_killed_meanwhile() {
    let receiver = Receiver::answering(|number, _| match number {
        0 => Reply::Answer(500, "not yet".into()),
        _ => Reply::Answer(202, String::new()),
    })
    .await;
    let mut stack = Stack::start_with_secrets(&[("ci", KEY)], "").await;
    let place = stack.environment("staging").await;
    let hooks = called(&receiver.url("/deploy"), "after", "");
    let hooks = format!("{hooks}[[stage.hook]]\nname = \"tests\"\nexternal = true\n");
    stack.pipeline(&pipeline("pause", &hooks)).await;
    let mut running = Running::deploy(&stack, &stack.migration("001_t", &TABLE));
    running.until("the hook", waits_for("deploy")).await;
    let id = running.id().await;
    receiver.until("a second call", |_| receiver.received().len() >= 2).await;

    stack.kill_server();
    stack.start_server().await;
    receiver.until("a call after the restart", |_| receiver.received().len() >= 3).await;
    let calls = receiver.received();
    for call in &calls {
        let (id, at) = (call.header("webhook-id"), call.header("webhook-timestamp"));
        assert_eq!(id, calls[0].header("webhook-id"), "it is the same call");
        assert_eq!(call.header("webhook-signature"), signature(KEY, id, at, &call.body));
    }
    let data = &calls[0].json()["data"];
    assert_eq!((&data["hook"], &data["environment"]), (&json!("deploy"), &json!("staging")));
    assert_eq!((&data["migrations"], &data["deployment"]), (&json!(["001_t"]), &json!(id)));
    let database = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&database, "SELECT count(*) FROM pg_class WHERE relname = 't'").await, 1);
    let early = stack.cli.run(&["pass", &id, "deploy"]).await;
    assert!(early.code == 1 && early.stderr.contains("is called, and passes by the answer"), "{early:?}");

    let later = Later::of(&stack, calls.last().unwrap());
    assert_eq!(later.says("passed", None).await.0, 401);
    assert_eq!(later.says("passed", Some("another key")).await.0, 401);
    assert_eq!(later.says("well", Some(KEY)).await.0, 400);
    let guess = Later { url: format!("{}x", later.url), client: later.client.clone() };
    assert_eq!(guess.says("passed", Some(KEY)).await.0, 404);
    let first = later.says("passed", Some(KEY)).await;
    assert_eq!(first.0, 200, "{first:?}");
    assert_eq!(later.says("passed", Some(KEY)).await, first, "the same said again");
    let other = later.says("failed", Some(KEY)).await;
    assert!(other.0 == 409 && other.1.contains("has passed already"), "{other:?}");

    running.until("the next hook", waits_for("tests")).await;
    let explained = stack.cli.ok(&["explain", &id]).await;
    for words in ["somebody's word on tests, until", &format!("stopover pass {id} tests")] {
        assert!(explained.contains(words), "{words} is not in {explained}");
    }
    let typo = stack.cli.run(&["pass", &id, "test"]).await;
    assert!(typo.stderr.contains("staging has no hook test; it has deploy, tests"), "{typo:?}");
    stack.cli.ok(&["pass", &id, "tests", "--reason", "all 312 are green"]).await;
    assert_eq!(running.process.ended().await.code(), Some(0));
    let records = log(&stack.cli, &id).await;
    let ended = records.iter().filter(|r| is_event(r, "hook_finished"));
    let ended: Vec<_> = ended.map(|r| (&r["event"]["hook"], &r["event"]["outcome"])).collect();
    let passed = |reason: Value| json!({ "outcome": "passed", "reason": reason });
    assert_eq!(ended[0], (&json!("deploy"), &json!({ "outcome": "passed" })));
    assert_eq!(ended[1], (&json!("tests"), &passed(json!("all 312 are green"))));
    assert_eq!(ended.len(), 2);
}

#[tokio::test]
async fn a_hook_that_fails_or_hangs_holds_what_was_not_begun() {
    let receiver = Receiver::answering(|number, _| match number {
        0 => Reply::Answer(200, json!({ "status": "failed", "reason": "2 tests failed" }).to_string()),
        1 => Reply::Hang,
        _ => Reply::Answer(200, json!({ "status": "passed" }).to_string()),
    })
    .await;
    let mut stack = Stack::start_with_secrets(&[("ci", KEY)], "").await;
    let place = stack.environment("staging").await;
    stack.pipeline(&pipeline("pause", &called(&receiver.url("/"), "before", "timeout = \"2s\"\n"))).await;
    let mut running = Running::deploy(&stack, &stack.migration("001_t", &TABLE));
    let paused = |cause: &'static str| {
        move |r: &Value| is_event(r, "paused") && r["event"]["cause"].as_str().unwrap().contains(cause)
    };
    running.until("the failure", paused("the hook deploy failed: 2 tests failed")).await;
    let id = running.id().await;
    let database = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&database, "SELECT count(*) FROM pg_class WHERE relname = 't'").await, 0);
    stack.cli.ok(&["resume", &id]).await;
    running.until("the end of its time", paused("the hook deploy failed: no answer came within 2.0 s")).await;
    stack.cli.ok(&["resume", &id]).await;
    assert_eq!(running.process.ended().await.code(), Some(0));
    assert_eq!(number(&database, "SELECT count(*) FROM pg_class WHERE relname = 't'").await, 1);
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn hooks_around_steps_are_waited_for_where_they_stand_although_the_server_is_killed_meanwhile() {
    let receiver = Receiver::answering(|_, _| Reply::Answer(202, String::new())).await;
    let mut stack = Stack::start_with_secrets(&[("ci", KEY)], "").await;
    let place = stack.environment("staging").await;
    let external = |name: &str, when: &str| {
        format!("[[stage.hook]]\nname = \"{name}\"\nwhen = \"{when}\"\nexternal = true\n")
    };
    let hooks = format!(
        "soak = \"1s\"\n{}{}{}",
        called(&receiver.url("/"), "after backup", ""),
        external("drained", "before migrate"),
        external("signed", "after soak"),
    );
    stack.pipeline(&pipeline("pause", &hooks)).await;
    let directory = stack.migration("001_t", &TABLE);
    let planned = stack.cli.ok(&["plan", &directory]).await;
    for words in
        ["deploy is called after the backups", "drained is waited for directly before the first migration"]
    {
        assert!(planned.contains(words), "{words} is not in {planned}");
    }
    let mut running = Running::deploy(&stack, &directory);
    running.until("the hook behind the backup", waits_for("deploy")).await;
    let id = running.id().await;
    receiver.until("a call", |_| !receiver.received().is_empty()).await;
    stack.kill_server();
    stack.start_server().await;
    receiver.until("a call after the restart", |_| receiver.received().len() >= 2).await;
    let call = receiver.received().pop().unwrap();
    assert_eq!(
        (&call.json()["data"]["when"], &call.json()["data"]["step"]),
        (&json!("after"), &json!("backup"))
    );
    assert!(running.records().iter().any(|r| is_finish(r, "backup", 0)), "it is backed up");
    let explained = stack.cli.ok(&["explain", &id]).await;
    assert!(explained.contains("the answer of the hook deploy (after the backups), until"), "{explained}");
    assert_eq!(Later::of(&stack, &call).says("passed", Some(KEY)).await.0, 200);

    running.until("the hook before the migration", waits_for("drained")).await;
    let database = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&database, "SELECT count(*) FROM pg_class WHERE relname = 't'").await, 0);
    stack.cli.ok(&["pass", &id, "drained"]).await;
    running.until("the hook behind the soak", waits_for("signed")).await;
    stack.kill_server();
    stack.start_server().await;
    stack.cli.ok(&["pass", &id, "signed", "--reason", "the numbers are good"]).await;
    assert_eq!(running.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn what_a_person_says_has_failed_is_taken_back() {
    let mut stack = Stack::start().await;
    stack.environment("staging").await;
    stack.pipeline(&pipeline("rollback", "[[stage.hook]]\nname = \"tests\"\nexternal = true\n")).await;
    let mut running = Running::deploy(&stack, &stack.migration("001_t", &TABLE));
    running.until("the hook", waits_for("tests")).await;
    let id = running.id().await;
    stack.cli.ok(&["fail", &id, "tests", "--reason", "sign-in is broken"]).await;
    assert_eq!(running.process.ended().await.code(), Some(1));
    let records = log(&stack.cli, &id).await;
    let back = records.iter().find(|r| is_event(r, "rollback_started")).expect("a rollback");
    assert_eq!(back["event"]["cause"], "the hook tests failed: sign-in is broken");
    let late = stack.cli.run(&["pass", &id, "tests"]).await;
    assert!(late.code == 1 && late.stderr.contains("the deployment has ended: rolled back"), "{late:?}");
}
