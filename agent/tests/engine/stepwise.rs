//! Scripts statement by statement: how far they got, and how they go on.

use stopover_model::report::{Effect, ErrorClass, LogLine};

use crate::support::*;

/// Counts how often each row was changed.
const COUNTED: &str = "CREATE TABLE users (id int PRIMARY KEY, done boolean, changes int NOT NULL DEFAULT 0); \
    CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.changes := OLD.changes + 1; RETURN NEW; END'; \
    CREATE TRIGGER count_change BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION count_change()";

const BATCHES: &str = "ALTER TABLE users ADD COLUMN extra int;
DO $$
DECLARE n bigint; updated bigint := 0;
BEGIN
    LOOP
        UPDATE users SET done = true WHERE id IN (SELECT id FROM users WHERE done IS NULL ORDER BY id LIMIT 100);
        GET DIAGNOSTICS n = ROW_COUNT;
        EXIT WHEN n = 0;
        COMMIT;
        updated := updated + n;
        RAISE NOTICE 'Updated % of % users', updated, 2000;
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
CREATE INDEX CONCURRENTLY idx_done ON users (done);
COMMENT ON COLUMN users.done IS 'x';
ANALYZE users;
";

const SAFE: (&str, &str) = ("migration.toml", "rerun = \"safe\"");

async fn with_users() -> Bench {
    let bench = Bench::new().await;
    bench.execute(COUNTED).await;
    bench.execute("INSERT INTO users (id) SELECT generate_series(1, 2000)").await;
    bench
}

async fn assert_each_row_once(bench: &Bench) {
    assert_eq!(bench.value("SELECT count(*) FROM users WHERE done AND changes = 1").await, "2000");
    assert_eq!(
        bench.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_done'::regclass").await,
        "t"
    );
    assert_eq!(bench.value("SELECT state FROM stopover.migration").await, "applied");
    assert_eq!(bench.value("SELECT count(*) FROM stopover.statement WHERE state = 'done'").await, "5");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_batched_script_runs_with_its_progress() {
    let bench = with_users().await;
    let running = bench.spawn(&migration("001_a", &[("up.sql", BATCHES), SAFE]));
    let progress = running.reporter.watch_progress();
    let report = applied(running.end().await);
    assert_eq!(report.statements, 5);
    assert!(progress.borrow().is_some());
    assert_each_row_once(&bench).await;
    assert!(applied(bench.migrate(&migration("001_a", &[("up.sql", BATCHES), SAFE])).await).already_applied);
}

#[tokio::test]
async fn a_backend_killed_inside_the_loop_costs_no_row_and_doubles_none() {
    let bench = with_users().await;
    let running = bench.spawn(&migration("001_a", &[("up.sql", BATCHES), SAFE]));
    running.said("Updated 700 of 2000").await;
    bench.kill_when("query LIKE 'DO %'").await;
    let reporter = running.reporter.clone();
    applied(running.end().await);
    assert!(
        shown(&reporter).iter().any(|line| line.contains("migration.toml says rerun")),
        "{:?}",
        shown(&reporter)
    );
    assert_each_row_once(&bench).await;
}

#[tokio::test]
async fn an_agent_that_vanishes_is_followed_by_another_that_goes_on() {
    let bench = with_users().await;
    let one = migration("001_a", &[("up.sql", BATCHES), SAFE]);
    let running = bench.spawn(&one);
    running.said("Updated 500 of 2000").await;
    // As kill -9 does: nobody says goodbye, and the server process goes on.
    running.outcome.abort();
    let next = bench.spawn(&one);
    let reporter = next.reporter.clone();
    applied(next.end().await);
    assert!(
        shown(&reporter).iter().any(|line| line.contains("goes on with statement 2")),
        "{:?}",
        shown(&reporter)
    );
    let started: Vec<_> = reporter
        .lines_after(0)
        .into_iter()
        .filter_map(|(_, line)| match line {
            LogLine::StatementStarted { index } => Some(index),
            _ => None,
        })
        .collect();
    assert_eq!(started, [1, 2, 3, 4]);
    assert_each_row_once(&bench).await;
}

#[tokio::test]
async fn an_error_in_the_midst_is_partial_and_another_attempt_goes_on_behind_what_is_done() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE a (id int)").await;
    let sql = "INSERT INTO a VALUES (1);\nVACUUM a;\nINSERT INTO b VALUES (2);\n";
    let one = migration("001_a", &[("up.sql", sql)]);
    let error = failure(bench.migrate(&one).await);
    assert_eq!((error.class, error.effect), (ErrorClass::Sql, Effect::Partial));
    assert_eq!(error.place.as_ref().map(|place| (place.line, place.column)), Some((3, 13)));
    assert_eq!(bench.value("SELECT state FROM stopover.migration").await, "running");
    bench.execute("CREATE TABLE b (id int)").await;
    let report = applied(bench.migrate(&one).await);
    assert_eq!(report.rows, 2);
    assert_eq!(bench.value("SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM b)").await, "2");
    bench.assert_clean().await;
}

#[tokio::test]
async fn settings_of_the_script_are_made_again_on_the_next_session() {
    let bench = Bench::new().await;
    bench.execute("CREATE SCHEMA app; CREATE TABLE app.a (id int); CREATE TABLE app.gate (id int)").await;
    let sql = "SET search_path = app;\nVACUUM a;\nINSERT INTO a VALUES (1);\nSELECT pg_sleep(1);\nINSERT INTO a VALUES (2);";
    let running = bench.spawn(&migration("001_a", &[("up.sql", sql)]));
    running.said("StatementStarted { index: 3 }").await;
    bench.kill_when("query LIKE 'SELECT pg_sleep%'").await;
    applied(running.end().await);
    assert_eq!(bench.value("SELECT string_agg(id::text, ',') FROM app.a").await, "1,2");
}

#[tokio::test]
async fn a_lock_behind_done_statements_is_tried_again_by_itself() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE a (id int); CREATE TABLE users (id int)").await;
    let holder = bench.test.client().await.unwrap();
    holder.batch_execute("BEGIN; SELECT FROM users").await.unwrap();
    let sql = "INSERT INTO a VALUES (1); VACUUM a; ALTER TABLE users ADD b int;";
    let running = bench.spawn(&migration("001_a", &[("up.sql", sql)]));
    running.said("LockWait").await;
    holder.batch_execute("COMMIT").await.unwrap();
    applied(running.end().await);
    assert_eq!(bench.value("SELECT count(*) FROM a").await, "1");
}

#[tokio::test]
async fn a_cancelled_script_says_what_it_left() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE a (id int)").await;
    let sql = "INSERT INTO a VALUES (1); VACUUM a; SELECT pg_sleep(60);";
    let running = bench.spawn(&migration("001_a", &[("up.sql", sql)]));
    running.said("StatementStarted { index: 2 }").await;
    running.cancel.cancel();
    let error = failure(running.end().await);
    assert_eq!((error.class, error.effect), (ErrorClass::Cancelled, Effect::Partial));
    bench.assert_clean().await;
}
