//! People are told, by each of the ways there are, whatever happens to the server.

use std::net::{SocketAddr, TcpListener};

use stopover_tests::mailbox::{PASSWORD, USER};
use stopover_tests::receiver::Reply;
use stopover_tests::{Mailbox, Received, Receiver, Stack, eventually};

use crate::support::{deploy, is_event, outcome};

/// Where nobody listens yet.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

/// A server that knows the secrets and the mail server.
async fn stack(slack: &str, mailbox: &Mailbox) -> Stack {
    let settings = format!(
        "[smtp]\nhost = \"localhost\"\nport = {}\nusername = \"{USER}\"\npassword = \"mail\"\n\
         from = \"stopover@example.com\"\nca = \"secrets/ca\"\n",
        mailbox.address.port()
    );
    let secrets =
        [("hook", "whsec_c2VjcmV0"), ("slack", slack), ("mail", PASSWORD), ("ca", &mailbox.certificate)];
    Stack::start_with_secrets(&secrets, &settings).await
}

fn pipeline(hook: &str) -> String {
    format!(
        "name = \"p\"\ncontacts = [\"#db-oncall\"]\n\
         [[notify]]\nwebhook = \"{hook}\"\nsecret = \"hook\"\n\
         [[notify]]\nslack = \"slack\"\nevents = [\"failed\"]\n\
         [[notify]]\nemail = [\"dba@example.com\"]\n\
         [[stage]]\nenvironment = \"staging\"\non_failure = \"rollback\"\n"
    )
}

fn kind(received: &Received) -> String {
    received.json()["type"].as_str().expect("a type").to_owned()
}

#[tokio::test]
async fn a_failure_is_told_by_all_ways_although_the_server_is_killed_before_they_are_open() {
    let (hook, chat, mailbox) = (free_address(), free_address(), Mailbox::start());
    let mut stack = stack(&format!("http://{chat}/services/x"), &mailbox).await;
    stack.environment("staging").await;
    stack.pipeline(&pipeline(&format!("http://{hook}/stopover"))).await;
    let files = [
        ("up.sql", "CREATE TABLE t (a int);\nCREATE INDEX CONCURRENTLY i ON t (a);\nSELECT 1 / 0;"),
        ("down.sql", "DROP TABLE IF EXISTS t;"),
    ];
    let (finished, records) = deploy(&stack, &stack.migration("001_broken", &files)).await;
    assert_eq!((finished.code, outcome(&records).as_str()), (1, "rolled_back"));
    let id = records[0]["deployment"].as_str().unwrap().to_owned();
    assert!(records.iter().any(|r| is_event(r, "rollback_started")));

    // Those that are down are not told yet, and who is there need not wait for them.
    let mails = eventually("the mails", || async { Some(mailbox.mails()).filter(|m| m.len() == 2) }).await;
    assert!(mails.iter().all(|mail| mail.trusted && mail.to == ["dba@example.com"]), "{mails:?}");
    for said in ["staging failed and is being taken back", "SQLSTATE 22012", "up.sql line 3", "#db-oncall"] {
        assert!(mails[0].text.contains(said), "{said} is not in {}", mails[0].text);
    }
    assert!(mails[1].text.contains("was rolled back in staging"), "{}", mails[1].text);
    let listed = stack.cli.ok(&["notifications", "list"]).await;
    assert!(listed.contains("not told yet") || listed.contains("to be told"), "{listed}");

    stack.kill_server();
    let taken = |_, _: &Received| Reply::Answer(200, "ok".into());
    let (hook, chat) = (Receiver::at(hook, taken).await, Receiver::at(chat, taken).await);
    stack.start_server().await;
    hook.until("the last notice", |r| kind(r) == "deployment.rolled_back").await;
    let kinds: Vec<_> = hook.received().iter().map(kind).collect();
    assert_eq!(kinds, ["deployment.failed", "deployment.rolled_back"], "in order, and each once");
    let failed = hook.received().remove(0);
    assert_eq!(failed.json()["data"]["about"]["deployment"], id.as_str());
    assert!(failed.header("webhook-signature").starts_with("v1,"));
    let told = chat.until("what Slack is told", |_| true).await;
    let text = told.json()["text"].as_str().unwrap().to_owned();
    assert!(text.contains(&format!("`stopover watch {id}`")), "{text}");

    eventually("the end of all", || async {
        let listed = stack.cli.run(&["--json", "notifications", "list"]).await.json();
        listed.iter().all(|n| n["state"] == "delivered").then_some(listed.len())
    })
    .await;
    assert_eq!(chat.received().len(), 1, "it asked for failures alone");
}

#[tokio::test]
async fn a_trial_says_who_can_be_told_and_a_pipeline_that_tells_nobody_is_refused() {
    let (hook, chat, mailbox) = (Receiver::start().await, free_address(), Mailbox::start());
    let stack = stack(&format!("http://{chat}/"), &mailbox).await;
    let file = stack.directory().join("p.toml");
    let unknown = pipeline(&hook.url("/")).replace("\"hook\"", "\"nothing\"");
    std::fs::write(&file, unknown).unwrap();
    let refused = stack.cli.run(&["pipeline".as_ref(), "apply".as_ref(), file.as_os_str()]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("server.toml has no secret `nothing`"), "{}", refused.stderr);

    stack.pipeline(&pipeline(&hook.url("/"))).await;
    let tried = stack.cli.run(&["notifications", "test", "p"]).await;
    assert_eq!(tried.code, 1, "{}", tried.stdout);
    assert!(tried.stdout.contains("✗ slack slack  could not reach it"), "{}", tried.stdout);
    assert_eq!(tried.stdout.matches("took it in").count(), 2, "{}", tried.stdout);
    assert_eq!(kind(&hook.received()[0]), "deployment.trial");
    assert!(mailbox.mails()[0].text.contains("this is a trial by admin"));
    assert_eq!(stack.cli.ok(&["notifications", "list", "--failed"]).await.trim(), "nothing was given up");
}

#[tokio::test]
async fn a_follow_up_that_fails_after_the_deployment_is_told_with_the_command_to_type() {
    let receiver = Receiver::start().await;
    let mut stack = Stack::start_with_secrets(&[("hook", "key")], "").await;
    stack.environment("staging").await;
    let notify = format!("[[notify]]\nwebhook = \"{}\"\nsecret = \"hook\"\n", receiver.url("/"));
    stack.pipeline(&format!("name = \"p\"\n{notify}[[stage]]\nenvironment = \"staging\"\n")).await;
    let follow_up = "[[follow_up]]\nname = \"it is used\"\nafter = \"1s\"\nsql = \"SELECT 0\"\nexpect = 1\n";
    let files = [("up.sql", "CREATE TABLE t (a int);"), ("migration.toml", follow_up)];
    let (finished, records) = deploy(&stack, &stack.migration("001_t", &files)).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let id = records[0]["deployment"].as_str().unwrap();
    let failed = |r: &Received| kind(r) == "deployment.follow_up_failed";
    let told = receiver.until("the failure", failed).await.json();
    let text = told["data"]["text"].as_str().unwrap();
    for said in [
        "the follow-up \"it is used\" failed in staging/",
        "expected 1, observed 0",
        &format!("stopover acknowledge {id} 'it is used' --reason WHY"),
    ] {
        assert!(text.contains(said), "{said} is not in {text}");
    }
    assert_eq!(receiver.received().iter().filter(|r| failed(r)).count(), 1, "it is told once");
}
