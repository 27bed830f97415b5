//! Bad input and bad surroundings: a clear error, nothing changed, nothing lost.

use std::fs;

use stopover_cluster::TestDatabase;
use stopover_tests::Stack;
use stopover_tests::stack::{AgentOptions, own_cluster};

use crate::support::{Running, deploy, is_event, number, one_stage};

/// File name and text.
type Files = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn what_is_wrong_with_a_migration_is_said_with_its_place_before_anything_is_sent() {
    let stack = Stack::start().await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    let cases: [(&str, Files, &str); 7] = [
        ("no-up", &[("down.sql", "SELECT 1;")], "up.sql"),
        ("empty", &[("up.sql", "-- nothing\n")], "up.sql"),
        ("meta", &[("up.sql", "SELECT 1;\n\\i other.sql\n")], "up.sql: line 2"),
        ("nul", &[("up.sql", "SELECT 1;\n\0")], "up.sql: line 2"),
        ("key", &[("up.sql", "SELECT 1;"), ("migration.toml", "tabel = \"users\"\n")], "migration.toml:1:1"),
        ("directive", &[("up.sql", "-- stopover: backfil\nUPDATE t SET a = 1;")], "line 2"),
        ("quote", &[("up.sql", "SELECT 1;\nSELECT 'x;\n")], "line 2"),
    ];
    for (id, files, place) in cases {
        let directory = stack.migration(id, files);
        let finished = stack.cli.run(&["deploy", &directory]).await;
        assert_eq!(finished.code, 2, "{id}: {}", finished.stderr);
        assert!(finished.stderr.contains(place), "{id}: {}", finished.stderr);
    }
    let bytes = stack.migration("latin1", &[]);
    fs::write(format!("{bytes}/up.sql"), b"SELECT 1;\nSELECT '\xe9';").unwrap();
    let finished = stack.cli.run(&["deploy", &bytes]).await;
    assert!(finished.stderr.contains("line 2") && finished.stderr.contains("UTF-8"), "{}", finished.stderr);
    assert_eq!(stack.cli.run(&["--json", "list"]).await.json().len(), 0, "no deployment was made");
}

#[tokio::test]
async fn a_byte_order_mark_is_accepted() {
    let mut stack = Stack::start().await;
    stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    let directory = stack.migration("001_bom", &[("up.sql", "\u{feff}CREATE TABLE t (a int);")]);
    assert_eq!(deploy(&stack, &directory).await.0.code, 0);
}

#[tokio::test]
async fn a_pipeline_with_a_typo_or_a_hook_that_nobody_answers_is_not_stored() {
    let stack = Stack::start().await;
    for (text, place, wanted) in [
        (
            "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nsaok = \"1h\"\n",
            "p.toml:4:",
            "did you mean `soak`?",
        ),
        (
            "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n[[stage.hook]]\nname = \"x\"\n",
            "p.toml:5:8:",
            "the hook x has one of two",
        ),
    ] {
        let file = stack.directory().join("p.toml");
        fs::write(&file, text).unwrap();
        let finished = stack.cli.run(&["pipeline".as_ref(), "apply".as_ref(), file.as_os_str()]).await;
        assert_eq!(finished.code, 2, "{}", finished.stderr);
        assert!(finished.stderr.contains(place) && finished.stderr.contains(wanted), "{}", finished.stderr);
    }
    assert_ne!(stack.cli.run(&["pipeline", "show", "p"]).await.code, 0);
}

#[tokio::test]
async fn sql_that_fails_half_way_is_rolled_back_and_shown_in_its_place() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "rollback")).await;
    let up =
        "CREATE TABLE t (a int);\n\nINSERT INTO t VALUES (1);\nALTER TABLE t\n  ADD COLUMN b nosuchtype;\n";
    let directory = stack.migration("001_t", &[("up.sql", up), ("down.sql", "DROP TABLE t;")]);
    let finished = stack.cli.run(&["deploy", &directory]).await;
    let printed = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.code, 1, "{printed}");
    for wanted in ["42704", "up.sql:5", "ADD COLUMN b nosuchtype", "^"] {
        assert!(printed.contains(wanted), "{wanted} in {printed}");
    }
    let client = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname = 't'").await, 0);
    assert_eq!(number(&client, "SELECT count(*) FROM stopover.migration").await, 0);
}

#[tokio::test]
async fn a_wrong_password_is_said_and_nothing_secret_with_it() {
    let mut stack = Stack::start().await;
    let options = AgentOptions { password: Some("hunter2-wrong".to_owned()), ..AgentOptions::default() };
    let place = stack.environment_with("staging", options).await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    let directory = stack.migration("001_t", &[("up.sql", "SELECT 1;")]);
    let mut running = Running::deploy(&stack, &directory);
    let failed = running.until("the failure", |r| r["event"]["outcome"]["outcome"] == "failed").await;
    let error = failed["event"]["outcome"]["error"].to_string();
    assert!(error.contains("password") && error.contains("28P01"), "{error}");
    let id = running.id().await;
    stack.cli.ok(&["cancel", &id]).await;
    assert_eq!(running.ended().await, 1);
    assert!(!running.process.output().contains("hunter2"), "{}", running.process.output());
    assert!(!stack.agents[place].log().contains("hunter2"));
}

#[tokio::test]
async fn a_database_that_is_down_is_tried_again_until_it_is_back() {
    let cluster = own_cluster("down").await;
    let mut stack = Stack::start().await;
    let database = TestDatabase::create(&cluster).await.unwrap();
    let place = stack.environment_on("staging", database, AgentOptions::default()).await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    cluster.stop().await.unwrap();
    let directory = stack.migration("001_t", &[("up.sql", "CREATE TABLE t (a int);")]);
    let mut running = Running::deploy(&stack, &directory);
    running.until("a retry", |r| r["event"]["waiting"]["for"] == "retry").await;
    cluster.start_again().await.unwrap();
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    let client = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname = 't'").await, 1);
}

#[tokio::test]
async fn a_postmaster_killed_in_the_transaction_ends_in_exactly_one_effect() {
    let cluster = own_cluster("killed").await;
    let mut stack = Stack::start().await;
    let database = TestDatabase::create(&cluster).await.unwrap();
    let place = stack.environment_on("staging", database, AgentOptions::default()).await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    let up = "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\nSELECT pg_sleep(3);";
    let directory = stack.migration("001_t", &[("up.sql", up)]);
    let mut running = Running::deploy(&stack, &directory);
    running.until("the last statement", |r| r["event"]["line"]["index"] == 2).await;
    cluster.kill9().await.unwrap();
    cluster.start_again().await.unwrap();
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    let client = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 1);
}

#[tokio::test]
async fn a_backup_that_can_not_be_written_stops_the_stage_before_the_first_statement() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "rollback")).await;
    // A file stands where the directory should be.
    let backups = stack.agents[place].backups();
    fs::remove_dir_all(&backups).unwrap();
    fs::write(&backups, "").unwrap();
    let directory =
        stack.migration("001_t", &[("up.sql", "CREATE TABLE t (a int);"), ("down.sql", "DROP TABLE t;")]);
    let (finished, records) = deploy(&stack, &directory).await;
    assert_eq!(finished.code, 1);
    assert!(!records.iter().any(|r| r["event"]["step"]["kind"] == "migrate"));
    let refused = records.iter().find(|r| is_event(r, "plan_refused")).expect("a refusal");
    let error = &refused["event"]["error"];
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("would fail: the backup directory"), "{message}");
    assert!(error["hint"].as_str().expect("a hint").contains("agent.toml"), "{error}");
    let client = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname = 't'").await, 0);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_exit_code_3() {
    let mut stack = Stack::start().await;
    stack.kill_server();
    let finished = stack.cli.run(&["list"]).await;
    assert_eq!(finished.code, 3, "{}", finished.stderr);
    assert!(finished.stderr.contains("hint:"), "{}", finished.stderr);
}
