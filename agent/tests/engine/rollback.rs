//! Taking back, and looking whether it is gone.

use stopover_model::event::Resolution;
use stopover_model::report::{Effect, ErrorClass, Outcome, StepReport};

use crate::support::*;

const UP: &str = "ALTER TABLE users ADD b boolean DEFAULT true; CREATE INDEX i ON users (b); CREATE TABLE n (id serial PRIMARY KEY)";

async fn with_users() -> Bench {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE users (id int PRIMARY KEY, a text)").await;
    bench
}

#[tokio::test]
async fn a_rollback_restores_the_schema_and_says_so() {
    let bench = with_users().await;
    let down = "DROP TABLE n; DROP INDEX i; ALTER TABLE users DROP b;";
    let one = migration("001_a", &[("up.sql", UP), ("down.sql", down)]);
    let before = applied(bench.migrate(&one).await).fingerprint_before;
    assert!(before.is_some());
    // What others do in the meantime is none of its business.
    applied(bench.migrate(&migration("002_b", &[("up.sql", "CREATE TABLE later (id int)")])).await);
    let report = rolled_back(bench.roll_back(&one).await);
    assert_eq!((report.nothing_to_do, report.statements, report.schema_restored), (false, 3, Some(true)));
    assert_eq!(report.differences, [""; 0]);
    assert_eq!(bench.value("SELECT count(*) FROM stopover.migration").await, "1");
    assert_eq!(
        bench.value("SELECT string_agg(what, ',' ORDER BY id) FROM stopover.history").await,
        "applied,applied,rolled back"
    );
    // The same deployment asks again: the answer is the same.
    let again = rolled_back(bench.roll_back(&one).await);
    assert_eq!((again.nothing_to_do, again.schema_restored), (false, Some(true)));
    // And it may be applied anew.
    assert!(!applied(bench.migrate(&one).await).already_applied);
    bench.assert_clean().await;
}

#[tokio::test]
async fn what_down_sql_forgot_is_named() {
    let bench = with_users().await;
    let one = migration("001_a", &[("up.sql", UP), ("down.sql", "ALTER TABLE users DROP b, DROP a;")]);
    applied(bench.migrate(&one).await);
    let Outcome::Failed { error, report: Some(StepReport::RolledBack(report)) } = bench.roll_back(&one).await
    else {
        panic!("it failed with a report");
    };
    assert_eq!((error.class, error.effect), (ErrorClass::Check, Effect::Partial));
    assert!(error.message.contains("table n"), "{}", error.message);
    assert_eq!(report.schema_restored, Some(false));
    for difference in
        ["table n is still there", "column users.a is missing, and the migration had not made it"]
    {
        assert!(report.differences.iter().any(|d| d == difference), "{:?}", report.differences);
    }
}

#[tokio::test]
async fn a_column_that_down_sql_changes_otherwise_is_a_difference_and_no_failure() {
    let bench = with_users().await;
    let files = [
        ("up.sql", "ALTER TABLE users ALTER a SET DEFAULT 'x'"),
        ("down.sql", "ALTER TABLE users ALTER a SET DEFAULT 'y'"),
    ];
    let one = migration("001_a", &files);
    applied(bench.migrate(&one).await);
    let report = rolled_back(bench.roll_back(&one).await);
    assert_eq!(report.schema_restored, Some(false));
    assert_eq!(report.differences, ["column users.a is not as it was"]);
}

#[tokio::test]
async fn a_rollback_statement_by_statement_goes_on_after_its_backend_was_killed() {
    let bench = with_users().await;
    let down = "DROP INDEX CONCURRENTLY i;\nDROP TABLE n;\nSELECT pg_sleep(0.5);\nALTER TABLE users DROP b;";
    let one = migration("001_a", &[("up.sql", UP), ("down.sql", down)]);
    applied(bench.migrate(&one).await);
    let context = bench.context(stopover_model::event::StepKind::Rollback);
    let running = tokio::spawn(stopover_agent::rollback::run(context, rollback_work(&one)));
    bench.kill_when("query LIKE 'SELECT pg_sleep%' AND state = 'active'").await;
    assert_eq!(bench.value("SELECT state FROM stopover.migration").await, "reverting");
    let report = rolled_back(running.await.unwrap());
    assert_eq!(report.schema_restored, Some(true));
    assert_eq!(bench.value("SELECT count(*) FROM stopover.statement").await, "0");
    bench.assert_clean().await;
}

#[tokio::test]
async fn an_unfinished_migration_is_taken_back_too() {
    let bench = with_users().await;
    let files = [
        ("up.sql", "ALTER TABLE users ADD b int; VACUUM users; INSERT INTO nowhere VALUES (1)"),
        ("down.sql", "ALTER TABLE users DROP COLUMN IF EXISTS b"),
    ];
    let one = migration("001_a", &files);
    assert_eq!(failure(bench.migrate(&one).await).effect, Effect::Partial);
    let report = rolled_back(bench.roll_back(&one).await);
    assert_eq!(report.schema_restored, Some(true));
    bench.assert_clean().await;
}

#[tokio::test]
async fn there_may_be_nothing_to_take_back_or_no_way_to() {
    let bench = with_users().await;
    let one = migration("001_a", &[("up.sql", UP), ("down.sql", "SELECT 1")]);
    assert!(rolled_back(bench.roll_back(&one).await).nothing_to_do);
    let error = failure(bench.roll_back(&migration("002_b", &[("up.sql", UP)])).await);
    assert_eq!(error.class, ErrorClass::Setup);
    assert!(error.message.contains("has no down.sql"));
    applied(bench.migrate(&one).await);
    let other = migration("001_a", &[("up.sql", UP), ("down.sql", "SELECT 2")]);
    assert_eq!(failure(bench.roll_back(&other).await).class, ErrorClass::Drift);
}

#[tokio::test]
async fn a_committing_block_of_down_sql_waits_for_a_person_and_takes_their_word() {
    let bench = with_users().await;
    let down =
        "DO $$ BEGIN INSERT INTO users VALUES (1); COMMIT; PERFORM pg_sleep(60); END $$; DROP TABLE n;";
    let one = migration("001_a", &[("up.sql", "CREATE TABLE n (id int)"), ("down.sql", down)]);
    applied(bench.migrate(&one).await);
    let killed = async {
        until("the block has committed", || async { bench.value("SELECT count(*) FROM users").await == "1" })
            .await;
        bench.kill_when("query LIKE 'DO %'").await;
    };
    let (outcome, ()) = tokio::join!(bench.roll_back(&one), killed);
    let error = unknown(outcome);
    assert!(error.hint.as_ref().unwrap().contains("stopover resolve"), "{error:?}");
    // Another attempt never tries it blind.
    unknown(bench.roll_back(&one).await);
    rolled_back(bench.roll_back_resolved(&one, Resolution::Applied).await);
    assert_eq!(bench.value("SELECT count(*) FROM users").await, "1", "the block did not run again");
    assert_eq!(bench.value("SELECT to_regclass('n') IS NULL").await, "t");
    bench.assert_clean().await;
}
