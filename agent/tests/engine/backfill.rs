//! Statements in batches: each row touched once, whatever the key is and whatever is killed.

use std::time::Duration;

use stopover_cluster::Cluster;
use stopover_model::backfill::Throttle;
use stopover_model::report::{Effect, ErrorClass};

use crate::support::*;

pub(crate) const ROWS: u32 = 9_000;

/// Counts how often each row is changed, in the transaction that changes it.
const COUNTER: &str = "CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS \
    'BEGIN NEW.changes := OLD.changes + 1; RETURN NEW; END'; \
    CREATE TRIGGER count_change BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION count_change()";

/// A table with this key, counted.
pub(crate) async fn users(key: &str, primary: &str, select: &str) -> Bench {
    fill(Bench::new().await, key, primary, select).await
}

pub(crate) async fn fill(bench: Bench, key: &str, primary: &str, select: &str) -> Bench {
    let columns = "n int NOT NULL, done boolean, changes int NOT NULL DEFAULT 0";
    bench.execute(&format!("CREATE TABLE users ({key}, {columns}, PRIMARY KEY ({primary}))")).await;
    bench
        .execute(&format!("INSERT INTO users SELECT {select}, i, NULL, 0 FROM generate_series(1, {ROWS}) i"))
        .await;
    bench.execute(COUNTER).await;
    bench.execute("ANALYZE users").await;
    bench
}

pub(crate) async fn plain() -> Bench {
    users("id bigint", "id", "i").await
}

pub(crate) async fn plain_on(cluster: &Cluster) -> Bench {
    fill(Bench::on(cluster).await, "id bigint", "id", "i").await
}

pub(crate) fn up(directive: &str) -> String {
    format!("-- stopover: backfill {directive}\nUPDATE users SET done = true WHERE done IS NULL")
}

pub(crate) async fn assert_each_row_once(bench: &Bench) {
    let once = bench.value("SELECT count(*) FROM users WHERE done AND changes = 1").await;
    assert_eq!(once, ROWS.to_string());
    assert_eq!(bench.value("SELECT state FROM stopover.migration").await, "applied");
    assert_eq!(bench.value("SELECT bool_and(done) FROM stopover.backfill").await, "t");
    assert_eq!(bench.value("SELECT rows FROM stopover.statement").await, ROWS.to_string());
    bench.assert_clean().await;
}

#[tokio::test]
async fn any_key_is_walked_along_in_either_direction() {
    for (key, primary, select) in [
        ("id bigint", "id", "i * 1000"),
        ("id uuid", "id", "md5(i::text)::uuid"),
        ("id text", "id", "'O''Hara\\ ' || md5(i::text)"),
        ("tenant int, \"The Id\" text", "tenant, \"The Id\"", "i % 7, 'x' || i"),
        ("id timestamptz", "id", "'2020-01-01'::timestamptz + i * interval '1.001 second'"),
    ] {
        for directive in ["batch_time=20ms", "order=desc batch_time=20ms", "workers=3 batch_time=20ms"] {
            let bench = users(key, primary, select).await;
            let report = applied(bench.migrate(&migration("001_a", &[("up.sql", &up(directive))])).await);
            assert_eq!(report.rows, u64::from(ROWS), "{key} {directive}");
            let batches: u32 =
                bench.value("SELECT sum(batches) FROM stopover.backfill").await.parse().unwrap();
            assert!(batches >= 3, "{key} {directive}: {batches} batches");
            assert_each_row_once(&bench).await;
        }
    }
}

#[tokio::test]
async fn what_no_index_looks_at_is_changed_in_lanes() {
    for (index, lanes) in [
        ("", "2"),
        ("CREATE INDEX ON users (n)", "2"),
        ("CREATE INDEX ON users (done)", "1"),
        ("CREATE INDEX ON users (n) INCLUDE (done)", "1"),
        ("CREATE INDEX ON users (n) WHERE NOT done", "1"),
        ("CREATE INDEX ON users ((coalesce(done, false)))", "1"),
    ] {
        let bench = plain().await;
        bench.execute(index).await;
        applied(bench.migrate(&migration("001_a", &[("up.sql", &up("batch_time=20ms"))])).await);
        assert_eq!(bench.value("SELECT max(lanes) FROM stopover.backfill").await, lanes, "{index}");
        assert_eq!(bench.value("SELECT count(*) FROM stopover.backfill").await, lanes, "{index}");
        let walked = bench.value("SELECT sum(walked) BETWEEN 1 AND 9000 FROM stopover.backfill").await;
        assert_eq!(walked, "t", "{index}");
        assert_each_row_once(&bench).await;
    }
}

#[tokio::test]
async fn rows_of_the_second_lane_stay_on_their_pages() {
    // What others have open makes room late; here nobody has.
    let cluster = Cluster::builder().name("lanes").setting("autovacuum", "off").start().await.unwrap();
    let bench = plain_on(&cluster).await;
    applied(bench.migrate(&migration("001_a", &[("up.sql", &up("batch_time=20ms"))])).await);
    until("the statistics know of all rows", || async {
        let known = bench.value("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'users'").await;
        known == ROWS.to_string()
    })
    .await;
    let hot = "SELECT n_tup_hot_upd > 0.3 * n_tup_upd FROM pg_stat_user_tables WHERE relname = 'users'";
    assert_eq!(bench.value(hot).await, "t");
}

#[tokio::test]
async fn there_are_no_lanes_where_rows_do_not_lie_in_the_order_of_the_key() {
    for (key, select, lanes) in [
        ("id uuid", "md5(i::text)::uuid", "1"),
        ("id uuid", "lpad(to_hex(i), 32, '0')::uuid", "2"),
        ("id text", "to_char(i, '0000000')", "2"),
        ("id timestamptz", "'2020-01-01'::timestamptz + i * interval '1.001 second'", "1"),
    ] {
        let bench = users(key, "id", select).await;
        applied(bench.migrate(&migration("001_a", &[("up.sql", &up("batch_time=20ms"))])).await);
        let found = bench.value("SELECT max(lanes) FROM stopover.backfill").await;
        assert_eq!(found, lanes, "{key} {select}");
        assert_each_row_once(&bench).await;
    }
}

#[tokio::test]
async fn a_partition_with_an_index_of_its_own_leaves_its_table_without_lanes() {
    for (index, lanes) in [("", "2"), ("CREATE INDEX ON users_1 (done)", "1")] {
        let bench = Bench::new().await;
        bench
            .execute(
                "CREATE TABLE users (id bigint PRIMARY KEY, n int, done boolean, changes int NOT NULL DEFAULT 0) \
                 PARTITION BY RANGE (id)",
            )
            .await;
        bench
            .execute(
                "CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (1) TO (5000); \
                 CREATE TABLE users_2 PARTITION OF users FOR VALUES FROM (5000) TO (10000)",
            )
            .await;
        bench
            .execute(&format!("INSERT INTO users SELECT i, i, NULL, 0 FROM generate_series(1, {ROWS}) i"))
            .await;
        bench.execute(COUNTER).await;
        bench.execute(index).await;
        applied(bench.migrate(&migration("001_a", &[("up.sql", &up("batch_time=20ms order=desc"))])).await);
        assert_eq!(bench.value("SELECT max(lanes) FROM stopover.backfill").await, lanes, "{index}");
        assert_each_row_once(&bench).await;
    }
}

#[tokio::test]
async fn backends_killed_again_and_again_cost_no_row_and_double_none() {
    let bench = plain().await;
    let script = up("batch_time=20ms pause=5ms workers=2");
    let running = bench.spawn(&migration("001_a", &[("up.sql", &script)]));
    // Fewer than one attempt looks again.
    for _ in 0..3 {
        bench.kill_when("query LIKE '%UPDATE users%'").await;
    }
    applied(running.end().await);
    assert_each_row_once(&bench).await;
}

#[tokio::test]
async fn an_agent_that_vanishes_is_followed_by_another_that_goes_on_at_its_place() {
    let bench = plain().await;
    let migration = migration("001_a", &[("up.sql", &up("batch_time=20ms pause=20ms"))]);
    for _ in 0..5 {
        let running = bench.spawn(&migration);
        until("some batches are done", || async { running.reporter.watch_progress().borrow().is_some() })
            .await;
        let before = bench.value("SELECT coalesce(sum(batches), 0) FROM stopover.backfill").await;
        until("another batch is done", || async {
            bench.value("SELECT coalesce(sum(batches), 0) FROM stopover.backfill").await != before
        })
        .await;
        running.outcome.abort();
    }
    let running = bench.spawn(&migration);
    let reporter = running.reporter.clone();
    applied(running.end().await);
    let lines = shown(&reporter);
    assert!(lines.iter().any(|line| line.contains("goes on")), "{lines:?}");
    assert_each_row_once(&bench).await;
}

#[tokio::test]
async fn rows_that_come_behind_the_batches_are_found_and_those_beyond_the_bound_are_left() {
    let bench = plain().await;
    let running = bench.spawn(&migration("001_a", &[("up.sql", &up("batch_time=20ms pause=5ms"))]));
    until("the first batch is done", || async {
        bench.value("SELECT count(*) FROM users WHERE done AND id = 1").await == "1"
    })
    .await;
    bench.execute(&format!("INSERT INTO users VALUES (-1, 0, NULL, 0), ({}, 0, NULL, 0)", ROWS + 1)).await;
    bench.execute("DELETE FROM users WHERE id = 8999; UPDATE users SET n = -1 WHERE id = 8998").await;
    applied(running.end().await);
    assert_eq!(bench.value("SELECT done FROM users WHERE id = -1").await, "t");
    assert_eq!(bench.value(&format!("SELECT done FROM users WHERE id = {}", ROWS + 1)).await, "NULL");
    assert_eq!(bench.value("SELECT max(changes) FROM users WHERE id <> 8998").await, "1");
    assert_eq!(bench.value("SELECT pass FROM stopover.backfill").await, "2");
}

#[tokio::test]
async fn what_was_deleted_and_inserted_is_what_the_whole_statement_would_have() {
    let bench = plain().await;
    bench
        .execute("CREATE TABLE log (id bigint, twice int); CREATE TABLE old (LIKE users INCLUDING ALL)")
        .await;
    bench.execute("INSERT INTO old SELECT * FROM users").await;
    let script = "-- stopover: backfill batch_time=20ms\n\
                  INSERT INTO log SELECT u.id, u.n * 2 FROM users u JOIN old o USING (id) WHERE u.n % 3 = 0;\n\
                  -- stopover: backfill batch_time=20ms order=desc\n\
                  DELETE FROM old WHERE n % 2 = 0 OR n < 0;\n";
    let report = applied(bench.migrate(&migration("001_a", &[("up.sql", script)])).await);
    assert_eq!(report.rows, u64::from(ROWS / 3 + ROWS / 2));
    assert_eq!(
        bench
            .value(
                "SELECT count(*) FROM (SELECT id, n * 2 FROM users WHERE n % 3 = 0 EXCEPT ALL TABLE log) x"
            )
            .await,
        "0"
    );
    assert_eq!(bench.value("SELECT count(*) FROM log").await, (ROWS / 3).to_string());
    assert_eq!(bench.value("SELECT count(*) FROM old WHERE n % 2 = 0").await, "0");
    assert_eq!(bench.value("SELECT count(*) FROM old").await, (ROWS / 2).to_string());
}

#[tokio::test]
async fn nothing_is_done_on_an_empty_table() {
    let bench = plain().await;
    bench.execute("TRUNCATE users").await;
    let report = applied(bench.migrate(&migration("001_a", &[("up.sql", &up(""))])).await);
    assert_eq!(report.rows, 0);
    bench.assert_clean().await;
}

#[tokio::test]
async fn the_settings_of_the_script_hold_in_every_batch_of_every_worker() {
    let bench = plain().await;
    bench.execute("CREATE SCHEMA app; ALTER TABLE users SET SCHEMA app").await;
    let script = format!("SET search_path = app, public;\n{}", up("workers=2 batch_time=20ms"));
    applied(bench.migrate(&migration("001_a", &[("up.sql", &script)])).await);
    assert_eq!(bench.value("SELECT count(*) FROM app.users WHERE changes = 1").await, ROWS.to_string());
}

#[tokio::test]
async fn a_person_pauses_it_and_lets_it_go_on() {
    let bench = plain().await;
    let context = bench.context(stopover_model::event::StepKind::Migrate);
    let (tell, throttle) = tokio::sync::watch::channel(Throttle { paused: true, ..Throttle::default() });
    let context = stopover_agent::step::StepContext { throttle, ..context };
    let reporter = context.reporter.clone();
    let work = work(&migration("001_a", &[("up.sql", &up(""))]));
    let running = tokio::spawn(stopover_agent::migrate::run(context, work));
    until("it says so", || async { shown(&reporter).iter().any(|line| line.contains("is paused")) }).await;
    assert_eq!(bench.value("SELECT count(*) FROM users WHERE done").await, "0");
    tell.send_replace(Throttle { max_rate: Some(1_000_000), ..Throttle::default() });
    applied(running.await.unwrap());
    assert_each_row_once(&bench).await;
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_waited_for_without_holding_others() {
    let bench = plain().await;
    let other = bench.test.client().await.unwrap();
    other.batch_execute("BEGIN; SELECT FROM users WHERE id = 500 FOR UPDATE").await.unwrap();
    let running = bench.spawn(&migration("001_a", &[("up.sql", &up(""))]));
    running.said("a batch waits for pid").await;
    // The batch has let its other rows go between two tries.
    bench.execute("SET lock_timeout = '5s'; UPDATE users SET n = n WHERE id = 1").await;
    other.batch_execute("COMMIT").await.unwrap();
    applied(running.end().await);
    assert_eq!(bench.value("SELECT count(*) FROM users WHERE done").await, ROWS.to_string());
    bench.assert_clean().await;
}

#[tokio::test]
async fn an_error_in_the_middle_keeps_its_place_for_the_next_attempt() {
    let bench = plain().await;
    bench.execute("ALTER TABLE users ADD CHECK (n <> 5000 OR done IS NULL)").await;
    let migration = migration("001_a", &[("up.sql", &up("batch_time=20ms"))]);
    let error = failure(bench.migrate(&migration).await);
    assert_eq!((error.class, error.effect), (ErrorClass::Sql, Effect::Partial));
    assert_eq!(error.place.unwrap().line, 2);
    assert_ne!(bench.value("SELECT count(*) FROM users WHERE done").await, "0");
    bench.execute("ALTER TABLE users DROP CONSTRAINT users_check").await;
    applied(bench.migrate(&migration).await);
    assert_each_row_once(&bench).await;
}

#[tokio::test]
async fn a_cancelled_backfill_stops_behind_its_batch() {
    let bench = plain().await;
    let migration = migration("001_a", &[("up.sql", &up("batch_time=20ms pause=20ms"))]);
    let running = bench.spawn(&migration);
    until("a batch is done", || async { bench.value("SELECT count(*) FROM users WHERE done").await != "0" })
        .await;
    running.cancel.cancel();
    let error = failure(running.end().await);
    assert_eq!((error.class, error.effect), (ErrorClass::Cancelled, Effect::Partial));
    bench.assert_clean().await;
    applied(bench.migrate(&migration).await);
    assert_each_row_once(&bench).await;
}

#[tokio::test]
async fn a_batch_that_hangs_is_ended_when_the_step_is_cancelled() {
    let bench = plain().await;
    bench
        .execute("CREATE FUNCTION hang() RETURNS boolean LANGUAGE sql AS 'SELECT pg_sleep(600) IS NOT NULL'")
        .await;
    let script = "-- stopover: backfill\nUPDATE users SET done = hang() WHERE id = 1";
    let running = bench.spawn(&migration("001_a", &[("up.sql", script)]));
    until("it hangs", || async {
        bench.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'").await == "1"
    })
    .await;
    running.cancel.cancel();
    assert_eq!(failure(running.end().await).class, ErrorClass::Cancelled);
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_table_without_a_fitting_key_is_refused_before_anything_happens() {
    let bench = Bench::new().await;
    bench
        .execute(
            "CREATE TABLE users (a int UNIQUE, b int NOT NULL UNIQUE, c int NOT NULL, done boolean); \
             CREATE UNIQUE INDEX ON users (c) WHERE c > 0; CREATE VIEW shown AS TABLE users",
        )
        .await;
    for (sql, expected, hint) in [
        (up(""), "has no primary key to walk along", "key=b"),
        (up("key=a"), "no unique index over exactly a", "key=b"),
        (up("key=c"), "no unique index over exactly c", "key=b"),
        (
            "-- stopover: backfill key=b\nUPDATE users SET b = 1".to_owned(),
            "it changes b",
            "stay as they are",
        ),
        (
            "-- stopover: backfill\nUPDATE gone SET b = 1".to_owned(),
            "the table gone is not in the database",
            "correct its name",
        ),
        (
            "-- stopover: backfill\nUPDATE shown SET b = 1".to_owned(),
            "no table with rows of its own",
            "holds the rows",
        ),
    ] {
        let error = failure(bench.migrate(&migration("001_a", &[("up.sql", &sql)])).await);
        assert!(error.message.contains(expected), "{sql}: {}", error.message);
        assert!(error.hint.unwrap().contains(hint), "{sql}");
        assert_eq!(error.effect, Effect::None);
    }
    applied(bench.migrate(&migration("002_b", &[("up.sql", &up("key=b"))])).await);
}

#[tokio::test]
async fn a_rate_is_kept() {
    let bench = plain().await;
    bench.execute("DELETE FROM users WHERE id > 2000").await;
    let began = tokio::time::Instant::now();
    let report = applied(bench.migrate(&migration("001_a", &[("up.sql", &up("max_rate=2_000"))])).await);
    assert_eq!(report.rows, 2_000);
    // A lower bound holds on the busiest machine; the last batch is followed by no rest.
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
}
