use stopover_model::event::StepKind;
use stopover_model::migration::Scalar;
use stopover_model::report::Effect;

use super::*;
use crate::testing::{context, messages, prepared};

fn check(name: &str, sql: &str, expect: Expectation) -> Check {
    Check { name: name.to_owned(), sql: sql.to_owned(), expect }
}

fn request(checks: Vec<Check>) -> VerifyRequest {
    VerifyRequest { checks, system_identifier: String::new(), statement_timeout: Duration::from_millis(300) }
}

fn checks_of(outcome: Outcome) -> Vec<CheckResult> {
    match outcome {
        Outcome::Succeeded { report: StepReport::Verified(report) }
        | Outcome::Failed { report: Some(StepReport::Verified(report)), .. } => report.checks,
        other => panic!("{other:?}"),
    }
}

async fn index_check(setup: &str, sql: &str, index: &str) -> CheckResult {
    let database = prepared(setup).await;
    // Counts of changes reach the statistics late; what ANALYZE resets must have arrived before.
    let client = database.client().await.unwrap();
    if setup.contains("ANALYZE users") {
        client.batch_execute("ANALYZE users").await.unwrap();
    }
    let check = check("the index", sql, Expectation::UsesIndex(index.to_owned()));
    let mut asked = request(vec![check]);
    asked.statement_timeout = VerifyRequest::DEFAULT_TIMEOUT;
    checks_of(run(&context(database.url(), StepKind::Verify), &asked).await).remove(0)
}

#[tokio::test]
async fn each_check_stands_for_itself() {
    let database =
        prepared("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 250)").await;
    let context = context(database.url(), StepKind::Verify);
    let zero = || Expectation::Value(Scalar::Int(0));
    let checks = vec![
        check("rows", "SELECT id FROM t", Expectation::Rows(250)),
        check("broken", "SELECT nothing FROM t", zero()),
        check("writes", "DELETE FROM t", zero()),
        check("slow", "SELECT pg_sleep(60)", zero()),
        check("commits", "COMMIT", zero()),
        check("value", "SELECT count(*) FROM t -- all of it", Expectation::Value(Scalar::Int(250))),
        check("data", "SELECT ('secret ' || id)::int FROM t", zero()),
    ];
    let outcome = run(&context, &request(checks)).await;
    let error = outcome.error().unwrap().clone();
    assert_eq!((error.class, error.effect), (ErrorClass::Check, Effect::None));
    assert!(
        error.message.starts_with("5 of 7 verifications failed: broken: expected 0, found"),
        "{}",
        error.message
    );
    let results = checks_of(outcome);
    let passed: Vec<bool> = results.iter().map(|result| result.passed).collect();
    assert_eq!(passed, [true, false, false, false, false, true, false]);
    assert!(results[1].observed.contains("SQLSTATE 42703"), "{}", results[1].observed);
    assert!(results[2].observed.contains("a check may only read"), "{}", results[2].observed);
    assert_eq!(results[3].observed, "no answer within 300 ms");
    assert!(!results[6].observed.contains("secret"), "{}", results[6].observed);
    let said = messages(&context);
    assert_eq!(said.len(), 7);
    assert_eq!(said[0], "passed: rows");
    let left: i64 =
        database.client().await.unwrap().query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(left, 250, "nothing was deleted");
}

#[tokio::test]
async fn another_cluster_is_not_asked_anything() {
    let database = prepared("").await;
    let mut asked = request(vec![check("x", "SELECT 1", Expectation::Rows(1))]);
    asked.system_identifier = "1234".to_owned();
    let outcome = run(&context(database.url(), StepKind::Verify), &asked).await;
    assert_eq!(outcome.error().unwrap().class, ErrorClass::Drift);
}

#[tokio::test]
async fn a_cancelled_verification_ends_its_query() {
    let database = prepared("").await;
    let context = context(database.url(), StepKind::Verify);
    let mut asked = request(vec![check("slow", "SELECT pg_sleep(600)", Expectation::Rows(1))]);
    asked.statement_timeout = VerifyRequest::DEFAULT_TIMEOUT;
    let cancel = context.cancel.clone();
    let running = tokio::spawn(async move { run(&context, &asked).await });
    let client = database.client().await.unwrap();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%'";
    while client.query_one(sleeping, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cancel.cancel();
    assert_eq!(running.await.unwrap().error().unwrap().class, ErrorClass::Cancelled);
    while client.query_one(&format!("{sleeping} AND state = 'active'"), &[]).await.unwrap().get::<_, i64>(0)
        > 0
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const LARGE: &str = "CREATE TABLE users (id int PRIMARY KEY, email text, plan text);
    INSERT INTO users SELECT i, 'u' || i, CASE WHEN i % 10 = 0 THEN 'team' ELSE 'free' END FROM generate_series(1, 100000) i;
    CREATE INDEX users_email ON users (email); CREATE INDEX users_plan ON users (plan); SELECT pg_stat_force_next_flush();";

#[tokio::test]
async fn a_large_tables_index_must_be_used() {
    let setup = format!("{LARGE} ANALYZE users");
    let used = index_check(&setup, "SELECT * FROM users WHERE email = 'u77';", "users_email").await;
    assert!(used.passed && used.note.is_none(), "{used:?}");
    assert!(used.observed.contains("using users_email"), "{used:?}");

    let unrelated = index_check(&setup, "SELECT * FROM users WHERE email = 'u77'", "users_plan").await;
    assert!(!unrelated.passed, "{unrelated:?}");
    assert!(
        unrelated.observed.contains("users_email") && unrelated.observed.contains("can't serve"),
        "{unrelated:?}"
    );

    let unselective = index_check(&setup, "SELECT * FROM users WHERE plan = 'free'", "users_plan").await;
    assert!(!unselective.passed && unselective.observed.contains("does not pay"), "{unselective:?}");
}

#[tokio::test]
async fn a_planner_without_statistics_is_not_held_against_the_index() {
    let sql = "SELECT * FROM users WHERE done = false LIMIT 10";
    let setup = format!(
        "{LARGE} ANALYZE; ALTER TABLE users ADD done bool DEFAULT true; ALTER TABLE users SET (autovacuum_enabled = off);
         CREATE INDEX users_done ON users (done)"
    );
    let result = index_check(&setup, sql, "users_done").await;
    assert!(result.passed, "{result:?}");
    if let Some(note) = result.note {
        assert!(note.contains("was not analyzed"), "{note}");
    }
}

#[tokio::test]
async fn a_tiny_table_is_told_apart() {
    let setup = "CREATE SCHEMA \"We\"\"ird; t\"; CREATE TABLE \"We\"\"ird; t\".users (id int, email text);
        INSERT INTO \"We\"\"ird; t\".users SELECT i, 'u' || i FROM generate_series(1, 50) i;
        CREATE INDEX \"I x\" ON \"We\"\"ird; t\".users (email); ANALYZE \"We\"\"ird; t\".users";
    let sql = "SELECT * FROM \"We\"\"ird; t\".users WHERE email = 'u7'";
    let tiny = index_check(setup, sql, "\"I x\"").await;
    assert!(tiny.passed, "{tiny:?}");
    assert!(tiny.note.unwrap().contains("has 50 rows, so few that the planner reads it whole"));
    let other = index_check(setup, &sql.replace("email = 'u7'", "id = 7"), "\"I x\"").await;
    assert!(!other.passed, "{other:?}");
}

#[tokio::test]
async fn a_missing_and_an_invalid_index_are_named() {
    let missing = index_check("CREATE TABLE t (a int)", "SELECT * FROM t", "no_such").await;
    assert_eq!(missing.observed, "there is no index no_such");
    let setup = "CREATE TABLE t (a int); CREATE INDEX i ON t (a);
        UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass";
    let invalid = index_check(setup, "SELECT * FROM t WHERE a = 1", "i").await;
    assert!(!invalid.passed && invalid.observed.contains("invalid"), "{invalid:?}");
}

#[tokio::test]
async fn the_index_of_a_partitioned_table_is_known_by_its_parts() {
    let setup = "CREATE TABLE t (a int, b int) PARTITION BY RANGE (a);
        CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (1000000);
        INSERT INTO t SELECT i, i FROM generate_series(1, 20000) i; CREATE INDEX i ON t (b); ANALYZE t";
    let result = index_check(setup, "SELECT * FROM t WHERE b = 7", "i").await;
    assert!(result.passed && result.note.is_none(), "{result:?}");
}
