//! Statements that no transaction holds, cut off at each point, and what a later look makes of it.

use std::time::Duration;

use stopover_model::event::{Resolution, StepKind};
use stopover_model::migration::Migration;
use stopover_model::report::{Effect, ErrorClass};
use stopover_tests::Hold;

use crate::support::*;

const BUILD: &str = "CREATE INDEX CONCURRENTLY i ON t (a)";

async fn with_table() -> Bench {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)").await;
    bench
}

fn build() -> Migration {
    migration("001_a", &[("up.sql", BUILD)])
}

/// As if an agent had written its intent and then vanished.
async fn crash_after_intent(bench: &Bench, migration: &Migration, noted: &str) {
    let ledger = include_str!("../../src/ledger/schema.sql");
    bench.execute(ledger).await;
    bench
        .execute(&format!(
            "INSERT INTO stopover.migration (id, digest, state, variant, deployment, attempt, epoch, run, agent, statements) \
             VALUES ('{}', '{}', 'running', 'standard', '{DEPLOYMENT}', 1, 0, 'r', 'agent-0', 1); \
             INSERT INTO stopover.statement (migration, direction, index, state, epoch, run, pid, backend_start, noted) \
             VALUES ('{0}', 'up', 0, 'intent', 0, 'r', 4242, 0, {noted})",
            migration.id, migration.digest
        ))
        .await;
}

async fn assert_built(bench: &Bench) {
    let sql = "SELECT count(*) FILTER (WHERE indisvalid) || ' of ' || count(*) FROM pg_index WHERE indrelid = 't'::regclass";
    assert_eq!(bench.value(sql).await, "1 of 1");
    assert_eq!(bench.value("SELECT state FROM stopover.statement").await, "done");
    bench.assert_clean().await;
}

#[tokio::test]
async fn an_index_that_was_intended_and_is_not_there_is_built() {
    let bench = with_table().await;
    crash_after_intent(&bench, &build(), "'{}'").await;
    applied(bench.migrate(&build()).await);
    assert_built(&bench).await;
}

#[tokio::test]
async fn an_index_whose_done_row_is_missing_is_not_built_again() {
    let bench = with_table().await;
    crash_after_intent(&bench, &build(), "'{}'").await;
    bench.execute(BUILD).await;
    let oid = bench.value("SELECT 'i'::regclass::oid").await;
    applied(bench.migrate(&build()).await);
    assert_eq!(bench.value("SELECT 'i'::regclass::oid").await, oid);
    assert_built(&bench).await;
}

#[tokio::test]
async fn an_invalid_index_that_an_interrupted_build_left_is_dropped_and_built_again() {
    for sql in [BUILD, "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)"] {
        let bench = with_table().await;
        bench.execute("INSERT INTO t VALUES (1)").await;
        assert!(bench.client.batch_execute("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)").await.is_err());
        assert_eq!(
            bench.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass").await,
            "f"
        );
        applied(bench.migrate(&migration("001_a", &[("up.sql", sql)])).await);
        assert_built(&bench).await;
    }
}

#[tokio::test]
async fn a_build_that_is_killed_while_it_waits_for_a_writer_is_done_again() {
    let bench = with_table().await;
    let writer = bench.test.client().await.unwrap();
    writer.batch_execute("SET application_name = 'shop'; BEGIN; INSERT INTO t VALUES (0)").await.unwrap();
    let running = bench.spawn(&build());
    running.said("CREATE INDEX CONCURRENTLY waits for pid").await;
    bench.kill_when("query LIKE 'CREATE INDEX%'").await;
    running.said("connects anew").await;
    writer.batch_execute("COMMIT").await.unwrap();
    let reporter = running.reporter.clone();
    applied(running.end().await);
    let lines = shown(&reporter);
    assert!(lines.iter().any(|l| l.contains("(shop as postgres, idle in transaction")), "{lines:?}");
    assert!(lines.iter().any(|l| l.contains("drops the invalid index i")), "{lines:?}");
    assert_built(&bench).await;
}

#[tokio::test]
async fn a_build_without_a_name_is_found_by_what_was_there_before() {
    let bench = with_table().await;
    let sql = "CREATE INDEX CONCURRENTLY ON t (a)";
    let one = migration("001_a", &[("up.sql", sql)]);
    crash_after_intent(&bench, &one, "'{}'").await;
    bench.execute(sql).await;
    applied(bench.migrate(&one).await);
    assert_built(&bench).await;
}

#[tokio::test]
async fn a_build_that_breaks_a_rule_leaves_no_invalid_index() {
    let bench = with_table().await;
    bench.execute("INSERT INTO t VALUES (1)").await;
    let unique = migration("001_a", &[("up.sql", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)")]);
    let error = failure(bench.migrate(&unique).await);
    assert_eq!(
        (error.class, error.effect, error.sqlstate.as_deref()),
        (ErrorClass::Sql, Effect::None, Some("23505"))
    );
    assert_eq!(bench.value("SELECT to_regclass('i') IS NULL").await, "t");
    bench.assert_clean().await;
    // It is known to have left nothing, so it may simply be tried again.
    bench.execute("DELETE FROM t WHERE ctid IN (SELECT max(ctid) FROM t WHERE a = 1)").await;
    applied(bench.migrate(&unique).await);
    assert_built(&bench).await;
}

#[tokio::test]
async fn a_build_that_is_cancelled_leaves_no_invalid_index() {
    let bench = with_table().await;
    let writer = bench.test.client().await.unwrap();
    writer.batch_execute("BEGIN; INSERT INTO t VALUES (0)").await.unwrap();
    let running = bench.spawn(&build());
    running.said("waits for pid").await;
    running.cancel.cancel();
    // Dropping waits for the writer as building does.
    running.said("drops the invalid index").await;
    writer.batch_execute("COMMIT").await.unwrap();
    let error = failure(running.end().await);
    assert_eq!((error.class, error.effect), (ErrorClass::Cancelled, Effect::None));
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_block_that_commits_and_is_not_declared_safe_waits_for_a_person() {
    let sql = "DO $$ BEGIN INSERT INTO t VALUES (-1); COMMIT; PERFORM pg_sleep(60); INSERT INTO t VALUES (-2); END $$";
    let one = migration("001_a", &[("up.sql", sql)]);
    for (resolution, rows) in [(Resolution::Applied, "1"), (Resolution::NotApplied, "2")] {
        let bench = with_table().await;
        let running = bench.spawn(&one);
        until("the block has committed", || async {
            bench.value("SELECT count(*) FROM t WHERE a < 0").await == "1"
        })
        .await;
        bench.kill_when("query LIKE 'DO %'").await;
        let error = unknown(running.end().await);
        assert_eq!((error.class, error.effect), (ErrorClass::Setup, Effect::Possible));
        assert!(error.message.contains("statement 1 (line 1) of 001_a/up.sql"), "{}", error.message);
        assert!(error.hint.as_ref().unwrap().contains("stopover resolve 0123456789 --applied"), "{error:?}");
        // Another attempt never tries it blind.
        unknown(bench.migrate(&one).await);
        assert_eq!(bench.value("SELECT count(*) FROM t WHERE a < 0").await, "1");

        if resolution == Resolution::NotApplied {
            // This time it must not sleep.
            let mut again = work(&one);
            again.resolution = Some(resolution);
            let running = bench.spawn_work(again);
            until("the block runs again", || async {
                bench.value("SELECT count(*) FROM t WHERE a < 0").await == "2"
            })
            .await;
            running.cancel.cancel();
            assert_eq!(failure(running.end().await).effect, Effect::Partial);
        } else {
            applied(bench.resolve(&one, resolution).await);
            assert_eq!(bench.value("SELECT state FROM stopover.migration").await, "applied");
        }
        assert_eq!(bench.value("SELECT count(*) FROM t WHERE a < 0").await, rows);
        let history = bench.value("SELECT what FROM stopover.history ORDER BY id LIMIT 1").await;
        assert!(history.starts_with("resolved as"), "{history}");
        bench.assert_clean().await;
    }
}

#[tokio::test]
async fn a_block_that_fails_behind_a_commit_is_partial_and_then_unknown() {
    let bench = with_table().await;
    let sql = "DO $$ BEGIN\n INSERT INTO t VALUES (-1);\n COMMIT;\n RAISE EXCEPTION 'no';\nEND $$";
    let one = migration("001_a", &[("up.sql", sql)]);
    let error = failure(bench.migrate(&one).await);
    assert_eq!((error.class, error.effect), (ErrorClass::Sql, Effect::Partial));
    assert_eq!(error.place.as_ref().unwrap().line, 4);
    let error = unknown(bench.migrate(&one).await);
    assert!(error.message.contains("failed with P0001"), "{}", error.message);
}

#[tokio::test]
async fn a_vacuum_may_be_run_again() {
    let bench = with_table().await;
    let one = migration("001_a", &[("up.sql", "VACUUM t")]);
    crash_after_intent(&bench, &one, "'{}'").await;
    applied(bench.migrate(&one).await);
    bench.assert_clean().await;
}

#[tokio::test]
async fn what_an_interrupted_reindex_left_is_cleared_away() {
    let bench = with_table().await;
    bench.execute("CREATE INDEX i ON t (a)").await;
    let writer = bench.test.client().await.unwrap();
    writer.batch_execute("BEGIN; INSERT INTO t VALUES (0)").await.unwrap();
    let running = bench.spawn(&migration("001_a", &[("up.sql", "REINDEX INDEX CONCURRENTLY i")]));
    running.said("waits for pid").await;
    bench.kill_when("query LIKE 'REINDEX%'").await;
    running.said("connects anew").await;
    assert_eq!(bench.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid").await, "1");
    writer.batch_execute("COMMIT").await.unwrap();
    applied(running.end().await);
    assert_built(&bench).await;
}

#[tokio::test]
async fn an_index_that_was_being_dropped_is_dropped() {
    let bench = with_table().await;
    bench.execute("CREATE INDEX i ON t (a)").await;
    let one = migration("001_a", &[("up.sql", "DROP INDEX CONCURRENTLY i")]);
    crash_after_intent(&bench, &one, "ARRAY['i'::regclass::oid::text]").await;
    applied(bench.migrate(&one).await);
    assert_eq!(bench.value("SELECT to_regclass('i') IS NULL").await, "t");

    let bench = with_table().await;
    crash_after_intent(&bench, &one, "'{1}'").await;
    applied(bench.migrate(&one).await);
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_concurrent_statement_is_not_broken_off_by_the_stages_lock_timeout() {
    let bench = with_table().await;
    let writer = bench.test.client().await.unwrap();
    writer.batch_execute("BEGIN; INSERT INTO t VALUES (0)").await.unwrap();
    let mut short = work(&build());
    short.locks.lock_timeout = Duration::from_millis(20);
    let running = bench.spawn_work(short);
    running.said("waits for pid").await;
    writer.batch_execute("COMMIT").await.unwrap();
    assert_eq!(applied(running.end().await).lock_retries, 0);
    assert_built(&bench).await;
}

#[tokio::test]
async fn a_cancelled_build_that_can_not_be_cleaned_up_at_once_is_by_the_next_attempt() {
    let bench = with_table().await;
    let writer = bench.test.client().await.unwrap();
    writer.batch_execute("BEGIN; INSERT INTO t VALUES (0)").await.unwrap();
    let mut short = work(&build());
    short.locks.concurrent_lock_timeout = Duration::from_secs(2);
    let running = bench.spawn_work(short);
    running.said("waits for pid").await;
    running.cancel.cancel();
    let error = failure(running.end().await);
    assert_eq!((error.class, error.effect), (ErrorClass::Cancelled, Effect::Partial));
    writer.batch_execute("COMMIT").await.unwrap();
    applied(bench.migrate(&build()).await);
    assert_built(&bench).await;
}

#[tokio::test]
async fn a_detaching_that_is_killed_in_its_second_half_is_ended() {
    let bench = Bench::new().await;
    bench
        .execute(
            "CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
        )
        .await;
    let reader = bench.test.client().await.unwrap();
    reader.batch_execute("BEGIN; SELECT FROM p").await.unwrap();
    let one = migration("001_a", &[("up.sql", "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY")]);
    let running = bench.spawn(&one);
    running.said("waits for pid").await;
    bench.kill_when("query LIKE 'ALTER TABLE%'").await;
    running.said("connects anew").await;
    assert_eq!(bench.value("SELECT inhdetachpending FROM pg_inherits").await, "t");
    reader.batch_execute("COMMIT").await.unwrap();
    applied(running.end().await);
    assert_eq!(bench.value("SELECT count(*) FROM pg_inherits").await, "0");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_detaching_that_waits_too_long_is_ended_by_another_try() {
    let bench = Bench::new().await;
    bench
        .execute(
            "CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
        )
        .await;
    let reader = bench.test.client().await.unwrap();
    reader.batch_execute("BEGIN; SELECT FROM p").await.unwrap();
    let mut short =
        work(&migration("001_a", &[("up.sql", "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY")]));
    short.locks.concurrent_lock_timeout = Duration::from_millis(500);
    let running = bench.spawn_work(short);
    running.said("LockWait").await;
    assert_eq!(bench.value("SELECT inhdetachpending FROM pg_inherits").await, "t");
    reader.batch_execute("COMMIT").await.unwrap();
    applied(running.end().await);
    assert_eq!(bench.value("SELECT count(*) FROM pg_inherits").await, "0");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_word_on_an_earlier_attempt_is_none_on_what_its_own_attempt_has_sent() {
    let bench = with_table().await;
    let sql = "DO $$ BEGIN INSERT INTO t VALUES (-1); COMMIT; PERFORM pg_sleep(60); END $$";
    let one = migration("001_a", &[("up.sql", sql)]);
    crash_after_intent(&bench, &one, "'{}'").await;
    let mut work = work(&one);
    work.resolution = Some(Resolution::NotApplied);
    let context = bench.context(StepKind::Migrate);
    let killed = tokio::spawn(stopover_agent::migrate::run(context.clone(), work.clone()));
    until("the block has committed", || async {
        bench.value("SELECT count(*) FROM t WHERE a < 0").await == "1"
    })
    .await;
    killed.abort();
    // The agent is started again, and asked for the same attempt with the same word.
    let mut again = context;
    again.run = uuid::Uuid::new_v4().to_string().parse().unwrap();
    unknown(stopover_agent::migrate::run(again, work.clone()).await);
    assert_eq!(bench.value("SELECT count(*) FROM t WHERE a < 0").await, "1", "it was run blind");
    applied(bench.resolve(&one, Resolution::Applied).await);
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_persons_word_that_the_ledger_never_got_is_taken_again() {
    let mut bench = with_table().await;
    let one = migration("001_a", &[("up.sql", "DO $$ BEGIN INSERT INTO t VALUES (-1); COMMIT; END $$")]);
    for (word, rows) in [(Resolution::Applied, "0"), (Resolution::NotApplied, "1")] {
        crash_after_intent(&bench, &one, "'{}'").await;
        let wire = bench.wire().await;
        wire.hold(Hold::before("COMMIT").behind("INSERT INTO stopover.history"));
        let cut = async {
            wire.held().await;
            wire.close();
        };
        let (outcome, ()) = tokio::join!(bench.resolve(&one, word), cut);
        applied(outcome);
        assert_eq!(bench.value("SELECT count(*) FROM t WHERE a < 0").await, rows);
        let said = "SELECT count(*) FROM stopover.history WHERE what LIKE 'resolved%'";
        assert_eq!(bench.value(said).await, "1");
        bench.assert_clean().await;
        bench.execute("DROP SCHEMA stopover CASCADE").await;
    }
}

#[tokio::test]
async fn what_an_interrupted_reindex_left_beside_long_values_is_cleared_away() {
    let bench = with_table().await;
    bench.execute("ALTER TABLE t ADD b text").await;
    let writer = bench.test.client().await.unwrap();
    writer.batch_execute("BEGIN; INSERT INTO t VALUES (0)").await.unwrap();
    let running = bench.spawn(&migration("001_a", &[("up.sql", "REINDEX TABLE CONCURRENTLY t")]));
    running.said("waits for pid").await;
    bench.kill_when("query LIKE 'REINDEX%'").await;
    running.said("connects anew").await;
    let left = "SELECT count(*) FROM pg_index JOIN pg_class c ON c.oid = indexrelid \
                WHERE NOT indisvalid AND relnamespace = 'pg_toast'::regnamespace";
    assert_eq!(bench.value(left).await, "1");
    writer.batch_execute("COMMIT").await.unwrap();
    applied(running.end().await);
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_script_that_discards_all_leaves_its_session_locked_and_guarded() {
    let bench = with_table().await;
    let sql = "DISCARD ALL;\nINSERT INTO t SELECT -1 WHERE current_setting('client_connection_check_interval') = '1s';\n\
               SELECT pg_sleep(60)";
    let running = bench.spawn(&migration("001_a", &[("up.sql", sql)]));
    running.said("StatementStarted { index: 2 }").await;
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(bench.value(locks).await, "1", "nobody else may begin");
    running.cancel.cancel();
    failure(running.end().await);
    assert_eq!(bench.value("SELECT count(*) FROM t WHERE a < 0").await, "1", "the settings are there again");
    bench.assert_clean().await;
}
