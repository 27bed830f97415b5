//! Files with a BEGIN and a COMMIT of their own, and what they leave when they are cut off in a block.

use std::time::Duration;

use stopover_model::report::{Effect, LogLine};
use stopover_tests::Hold;

use crate::support::*;

/// Counts in `touched` how often each statement took effect: nothing in the database keeps it from doing so twice.
const COUNTED: &str = "CREATE TABLE effect (name text); CREATE TABLE touched (name text, at timestamptz); \
    CREATE FUNCTION count_effect() RETURNS trigger LANGUAGE plpgsql AS \
    'BEGIN INSERT INTO touched VALUES (NEW.name, clock_timestamp()); RETURN NEW; END'; \
    CREATE TRIGGER count_effect AFTER INSERT ON effect FOR EACH ROW EXECUTE FUNCTION count_effect()";

const MIXED: &str = "BEGIN;
INSERT INTO effect VALUES ('a');
INSERT INTO effect VALUES ('b');
SELECT pg_sleep(0.3);
COMMIT;
CREATE INDEX CONCURRENTLY effect_name ON effect (name);
BEGIN;
INSERT INTO effect VALUES ('c');
SELECT pg_sleep(0.4);
INSERT INTO effect VALUES ('d');
END;
INSERT INTO effect VALUES ('e');
";

async fn counted() -> Bench {
    let bench = Bench::new().await;
    bench.execute(COUNTED).await;
    bench
}

async fn assert_mixed_once(bench: &Bench, when: &str) {
    let touched = "SELECT string_agg(name, '' ORDER BY at) FROM touched";
    assert_eq!(bench.value(touched).await, "abcde", "{when}");
    assert_eq!(bench.value("SELECT count(*) FROM effect").await, "5", "{when}");
    assert_eq!(bench.value("SELECT state FROM stopover.migration").await, "applied", "{when}");
    let rows = "SELECT count(*) FROM stopover.statement WHERE state = 'done'";
    assert_eq!(bench.value(rows).await, "8", "{when}");
    bench.assert_clean().await;
}

/// Which transaction each statement's row was written in, as the place of its first statement.
const TOGETHER: &str = "SELECT string_agg(first::text, ',' ORDER BY index) FROM \
    (SELECT index, min(index) OVER (PARTITION BY xmin::text) AS first FROM stopover.statement) AS s";

#[tokio::test]
async fn the_rows_of_a_block_are_written_in_the_blocks_own_transaction() {
    let bench = counted().await;
    let report = applied(bench.migrate(&migration("001_a", &[("up.sql", MIXED)])).await);
    assert_eq!((report.statements, report.rows), (8, 5));
    assert_mixed_once(&bench, "undisturbed").await;
    assert_eq!(bench.value(TOGETHER).await, "0,0,0,3,4,4,4,7");
    let effects = "SELECT count(*) FROM effect e JOIN stopover.statement s ON s.xmin::text = e.xmin::text \
                   AND s.index = position(e.name IN 'ab--c-de') - 1";
    assert_eq!(bench.value(effects).await, "5");
}

#[tokio::test]
async fn a_block_that_is_cut_off_is_done_whole_or_not_at_all() {
    for condition in ["query LIKE 'SELECT pg_sleep(0.3)%'", "query LIKE 'SELECT pg_sleep(0.4)%'"] {
        let bench = counted().await;
        let running = bench.spawn(&migration("001_a", &[("up.sql", MIXED)]));
        bench.kill_when(&format!("{condition} AND state = 'active'")).await;
        applied(running.end().await);
        assert_mixed_once(&bench, condition).await;
    }
}

#[tokio::test]
async fn a_connection_lost_at_a_blocks_commit_is_made_good_by_the_ledger() {
    for block in ["pg_sleep(0.3)", "pg_sleep(0.4)"] {
        for hold in [Hold::before("COMMIT"), Hold::answer("COMMIT")] {
            let when = format!("{block}, {hold:?}");
            let mut bench = counted().await;
            let wire = bench.wire().await;
            wire.hold(hold.behind(block));
            let running = bench.spawn(&migration("001_a", &[("up.sql", MIXED)]));
            wire.held().await;
            wire.close();
            let reporter = running.reporter.clone();
            applied(running.end().await);
            let said = shown(&reporter);
            assert!(said.iter().any(|line| line.contains("looks at the ledger")), "{when}: {said:?}");
            assert_mixed_once(&bench, &when).await;
        }
    }
}

#[tokio::test]
async fn an_error_in_a_block_undoes_the_block_and_another_attempt_does_it() {
    let bench = counted().await;
    let sql = "INSERT INTO effect VALUES ('a');\nBEGIN;\nINSERT INTO effect VALUES ('b');\nINSERT INTO late VALUES (1);\nCOMMIT;";
    let one = migration("001_a", &[("up.sql", sql)]);
    let error = failure(bench.migrate(&one).await);
    assert_eq!((error.effect, error.place.map(|place| place.line)), (Effect::Partial, Some(4)));
    assert_eq!(bench.value("SELECT string_agg(name, '') FROM effect").await, "a");
    bench.execute("CREATE TABLE late (id int)").await;
    assert_eq!(applied(bench.migrate(&one).await).rows, 3);
    assert_eq!(bench.value("SELECT string_agg(name, '' ORDER BY at) FROM touched").await, "ab");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_lock_that_a_block_takes_holds_to_its_commit_and_is_tried_again() {
    let bench = Bench::new().await;
    bench
        .execute("CREATE TABLE stock (n int); CREATE TABLE total (n bigint); INSERT INTO stock VALUES (1)")
        .await;
    let writer = bench.test.client().await.unwrap();
    writer.batch_execute("BEGIN; INSERT INTO stock VALUES (2)").await.unwrap();
    let sql = "VACUUM total;\nBEGIN;\nLOCK TABLE stock IN SHARE MODE;\nSELECT pg_sleep(0.3);\n\
               INSERT INTO total SELECT sum(n) FROM stock;\nCOMMIT;";
    let running = bench.spawn(&migration("001_a", &[("up.sql", sql)]));
    running.said("LockWait { index: 1").await;
    writer.batch_execute("COMMIT").await.unwrap();
    running.said("StatementStarted { index: 2").await;
    // It comes while the block sleeps, and waits for its end.
    writer.batch_execute("INSERT INTO stock VALUES (4)").await.unwrap();
    applied(running.end().await);
    let order = "SELECT concat_ws(' ', (SELECT n FROM total), (SELECT sum(n) FROM stock))";
    assert_eq!(bench.value(order).await, "3 7");
    bench.assert_clean().await;
}

#[tokio::test]
async fn with_one_snapshot_a_block_sees_what_was_there_when_its_lock_was_had() {
    for begin in
        ["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"]
    {
        for (first, of_whole_file) in [("", true), ("VACUUM total;\n", false)] {
            let bench = Bench::new().await;
            bench.execute("CREATE TABLE stock (n int); CREATE TABLE total (n bigint)").await;
            let writer = bench.test.client().await.unwrap();
            writer.batch_execute("BEGIN; INSERT INTO stock VALUES (2)").await.unwrap();
            let sql = format!(
                "{first}{begin};\nLOCK TABLE stock IN SHARE MODE;\nINSERT INTO total SELECT sum(n) FROM stock;\nCOMMIT;"
            );
            let mut work = work(&migration("001_a", &[("up.sql", &sql)]));
            assert_eq!(work.migration.up.one_transaction(), of_whole_file);
            // The writer ends while the first try waits, so no second one hides a snapshot that was taken too early.
            work.locks.lock_timeout = Duration::from_secs(10);
            let running = bench.spawn_work(work);
            until("the lock is waited for", || async {
                bench
                    .value("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'stock'::regclass")
                    .await
                    == "1"
            })
            .await;
            writer.batch_execute("COMMIT").await.unwrap();
            let report = applied(running.end().await);
            assert_eq!(report.lock_retries, 0);
            assert_eq!(bench.value("SELECT n FROM total").await, "2", "{begin}, {of_whole_file}");
            bench.assert_clean().await;
        }
    }
}

#[tokio::test]
async fn a_serializable_block_runs_at_its_level_and_again_after_a_conflict() {
    for first in ["", "VACUUM total;\n"] {
        let bench = Bench::new().await;
        bench
            .execute(
                "CREATE TABLE total (n int, level text); INSERT INTO total VALUES (1, NULL); \
                 CREATE TABLE tries (at timestamptz); CREATE SEQUENCE tried",
            )
            .await;
        let sql = format!(
            "{first}BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT nextval('tried'), n FROM total;\nSELECT pg_sleep(0.5);\n\
             UPDATE total SET n = n * 10, level = current_setting('transaction_isolation');\nCOMMIT;"
        );
        let running = bench.spawn(&migration("001_a", &[("up.sql", &sql)]));
        until("the block has its snapshot", || async {
            bench.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' \
                         AND datname = current_database()").await == "1"
        })
        .await;
        bench.execute("UPDATE total SET n = n + 1").await;
        let reporter = running.reporter.clone();
        let report = applied(running.end().await);
        assert_eq!(report.lock_retries, 1, "{first:?}: {:?}", shown(&reporter));
        assert_eq!(bench.value("SELECT concat_ws(' ', n, level) FROM total").await, "20 serializable");
        assert_eq!(bench.value("SELECT last_value FROM tried").await, "2");
        let finished = |line: &LogLine| matches!(line, LogLine::StatementFinished { .. });
        let told = reporter.lines_after(0).iter().filter(|(_, line)| finished(line)).count();
        assert_eq!(told, report.statements as usize, "each statement is told of once");
        bench.assert_clean().await;
    }
}

#[tokio::test]
async fn a_newer_writer_shuts_out_a_block_with_one_snapshot() {
    for first in ["", "VACUUM effect;\n"] {
        let bench = counted().await;
        let sql = format!(
            "{first}BEGIN ISOLATION LEVEL REPEATABLE READ;\nINSERT INTO effect VALUES ('a');\nSELECT pg_sleep(0.5);\nCOMMIT;"
        );
        let running = bench.spawn(&migration("001_a", &[("up.sql", &sql)]));
        until("the block has begun", || async {
            bench.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' \
                         AND datname = current_database()").await == "1"
        })
        .await;
        bench.execute("UPDATE stopover.fence SET epoch = 99, run = 'newer'").await;
        let error = failure(running.end().await);
        assert_eq!(error.class, stopover_model::report::ErrorClass::Fenced, "{error:?}");
        assert_eq!(bench.value("SELECT count(*) FROM effect").await, "0");
    }
}

#[tokio::test]
async fn what_a_block_sets_survives_it_also_on_the_next_session() {
    let bench = Bench::new().await;
    bench.execute("CREATE SCHEMA app; CREATE TABLE app.a (id int)").await;
    let sql = "BEGIN;\nSET search_path = app;\nSET LOCAL application_name = 'gone';\nINSERT INTO a VALUES (1);\nCOMMIT;\n\
               SELECT pg_sleep(1);\nINSERT INTO a VALUES (2);\nRESET search_path;\nCREATE TABLE b (id int);";
    let running = bench.spawn(&migration("001_a", &[("up.sql", sql)]));
    running.said("StatementStarted { index: 3 }").await;
    bench.kill_when("query LIKE 'SELECT pg_sleep%'").await;
    applied(running.end().await);
    assert_eq!(bench.value("SELECT string_agg(id::text, ',') FROM app.a").await, "1,2");
    assert_eq!(bench.value("SELECT to_regclass('public.b') IS NOT NULL").await, "t");
}

#[tokio::test]
async fn a_role_that_a_block_takes_on_is_kept_from_the_ledger() {
    let bench = Bench::new().await;
    let role = format!("Owner {}", bench.test.name());
    bench.execute(&format!("CREATE ROLE \"{role}\"; CREATE SCHEMA app AUTHORIZATION \"{role}\"")).await;
    let sql = format!(
        "BEGIN ISOLATION LEVEL SERIALIZABLE; SET ROLE \"{role}\"; CREATE TABLE app.a (id int); COMMIT;\n\
         CREATE TABLE app.b (id int); BEGIN; CREATE TABLE app.c (id int); RESET ROLE; COMMIT; CREATE TABLE d (id int);"
    );
    applied(bench.migrate(&migration("001_a", &[("up.sql", &sql)])).await);
    let owners = "SELECT string_agg(tablename, '' ORDER BY tablename) || ' ' || string_agg(DISTINCT tableowner, ',') \
                  FROM pg_tables WHERE schemaname = 'app'";
    assert_eq!(bench.value(owners).await, format!("abc {role}"));
    assert_eq!(bench.value("SELECT tableowner <> 'x' FROM pg_tables WHERE tablename = 'd'").await, "t");
    bench.assert_clean().await;
    bench.execute(&format!("DROP SCHEMA app CASCADE; DROP ROLE \"{role}\"")).await;
}

#[tokio::test]
async fn a_rollback_with_blocks_goes_on_where_it_stopped() {
    let bench = counted().await;
    let down = "BEGIN;\nINSERT INTO effect VALUES ('undo');\nSELECT pg_sleep(0.3);\nCOMMIT;\nVACUUM effect;\nBEGIN;\nDROP TABLE a;\nCOMMIT;";
    let one = migration("001_a", &[("up.sql", "CREATE TABLE a (id int)"), ("down.sql", down)]);
    applied(bench.migrate(&one).await);
    let killed = bench.kill_when("query LIKE 'SELECT pg_sleep%' AND state = 'active'");
    let (outcome, ()) = tokio::join!(bench.roll_back(&one), killed);
    rolled_back(outcome);
    assert_eq!(bench.value("SELECT count(*) FROM touched").await, "1");
    assert_eq!(bench.value("SELECT to_regclass('a') IS NULL").await, "t");
    bench.assert_clean().await;
}
