//! Statements in batches: each row touched once, whatever the key is and whatever is killed.

use std::time::Duration;

use stopover_cluster::Cluster;
use stopover_model::backfill::{Brakes, Canary, Throttle};
use stopover_model::report::{Effect, ErrorClass};

use crate::support::*;

const ROWS: u32 = 9_000;

/// Counts how often each row is changed, in the transaction that changes it.
const COUNTER: &str = "CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS \
    'BEGIN NEW.changes := OLD.changes + 1; RETURN NEW; END'; \
    CREATE TRIGGER count_change BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION count_change()";

/// A table with this key, counted.
async fn users(key: &str, primary: &str, select: &str) -> Bench {
    fill(Bench::new().await, key, primary, select).await
}

async fn fill(bench: Bench, key: &str, primary: &str, select: &str) -> Bench {
    let columns = "n int NOT NULL, done boolean, changes int NOT NULL DEFAULT 0";
    bench.execute(&format!("CREATE TABLE users ({key}, {columns}, PRIMARY KEY ({primary}))")).await;
    bench
        .execute(&format!("INSERT INTO users SELECT {select}, i, NULL, 0 FROM generate_series(1, {ROWS}) i"))
        .await;
    bench.execute(COUNTER).await;
    bench.execute("ANALYZE users").await;
    bench
}

async fn plain() -> Bench {
    users("id bigint", "id", "i").await
}

async fn plain_on(cluster: &Cluster) -> Bench {
    fill(Bench::on(cluster).await, "id bigint", "id", "i").await
}

fn up(directive: &str) -> String {
    format!("-- stopover: backfill {directive}\nUPDATE users SET done = true WHERE done IS NULL")
}

async fn assert_each_row_once(bench: &Bench) {
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

/// The backfill begins while something holds it, says so, and goes on when that is over.
async fn assert_held(bench: &Bench, brakes: Brakes, says: &str, release: impl AsyncFnOnce()) {
    let mut work = work(&migration("001_a", &[("up.sql", &up(""))]));
    work.backfill.brakes = brakes;
    let running = bench.spawn_work(work);
    running.said(&format!("the backfill is held: {says}")).await;
    assert_eq!(bench.value("SELECT count(*) FROM users WHERE done").await, "0");
    release().await;
    let reporter = running.reporter.clone();
    applied(running.end().await);
    let lines = shown(&reporter);
    assert!(lines.iter().any(|line| line.starts_with("the backfill goes on after")), "{lines:?}");
    assert_each_row_once(bench).await;
}

fn only(brakes: impl FnOnce(&mut Brakes)) -> Brakes {
    let mut only = Brakes {
        replica_behind: None,
        archive_behind: None,
        wal_rate: None,
        lock_waiters: None,
        oldest_transaction: None,
        autovacuum: false,
        canary: None,
    };
    brakes(&mut only);
    only
}

#[tokio::test]
async fn an_old_transaction_holds_it() {
    let bench = plain().await;
    let other = bench.test.client().await.unwrap();
    other.batch_execute("SET application_name = 'report'; BEGIN; SELECT 1").await.unwrap();
    let brakes = only(|b| b.oldest_transaction = Some(Duration::ZERO));
    assert_held(&bench, brakes, "pid", async || other.batch_execute("COMMIT").await.unwrap()).await;
}

#[tokio::test]
async fn whoever_waits_for_a_lock_on_the_table_holds_it() {
    let bench = plain().await;
    let (holder, waiter) = (bench.test.client().await.unwrap(), bench.test.client().await.unwrap());
    holder.batch_execute("BEGIN; LOCK TABLE users IN ROW SHARE MODE").await.unwrap();
    let waiting = tokio::spawn(async move {
        waiter.batch_execute("BEGIN; LOCK TABLE users IN EXCLUSIVE MODE; COMMIT").await
    });
    until("it waits", || async {
        bench.value("SELECT count(*) FROM pg_locks WHERE NOT granted").await != "0"
    })
    .await;
    let brakes = only(|b| b.lock_waiters = Some(1));
    assert_held(&bench, brakes, "1 sessions wait", async || holder.batch_execute("COMMIT").await.unwrap())
        .await;
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_slow_canary_and_one_that_fails_hold_it() {
    let bench = plain().await;
    bench.execute("CREATE TABLE knob (seconds float); INSERT INTO knob VALUES (0.2)").await;
    let canary = |sql: &str| {
        let canary = Canary { sql: sql.to_owned(), p99: Duration::from_millis(150) };
        only(|b| b.canary = Some(canary))
    };
    let mut work = work(&migration("001_a", &[("up.sql", &up(""))]));
    work.backfill.brakes = canary("SELECT pg_sleep((SELECT seconds FROM knob))");
    let running = bench.spawn_work(work.clone());
    running.said("the canary query's p99 is").await;
    running.cancel.cancel();
    failure(running.end().await);
    work.backfill.brakes = canary("SELECT * FROM gone");
    let running = bench.spawn_work(work);
    running.said("the canary query can't be read").await;
    bench.execute("CREATE TABLE gone ()").await;
    applied(running.end().await);
    assert_each_row_once(&bench).await;
}

#[tokio::test]
async fn what_the_agents_user_may_not_see_holds_it() {
    let mut bench = plain().await;
    let (database, user) = (bench.test.name().to_owned(), format!("blind_{}", bench.test.name()));
    bench
        .execute(&format!(
            "CREATE ROLE {user} LOGIN PASSWORD '{user}'; GRANT ALL ON users TO {user}; \
             GRANT CREATE ON DATABASE {database} TO {user}"
        ))
        .await;
    let other = bench.test.client().await.unwrap();
    other.batch_execute("BEGIN").await.unwrap();
    bench.login_as(&user);
    let brakes = only(|b| b.oldest_transaction = Some(Duration::from_hours(1)));
    let mut work = work(&migration("001_a", &[("up.sql", &up(""))]));
    work.backfill.brakes = brakes;
    let running = bench.spawn_work(work);
    running.said(&format!("GRANT pg_monitor TO \"{user}\"")).await;
    bench.execute(&format!("GRANT pg_monitor TO {user}")).await;
    applied(running.end().await);
    bench.execute(&format!("DROP OWNED BY {user} CASCADE; DROP ROLE {user}")).await;
}

#[tokio::test]
async fn archiving_that_is_behind_holds_it() {
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("open");
    let cluster = Cluster::builder()
        .name("archive")
        .setting("archive_mode", "on")
        .setting("archive_command", &format!("test -e {}", gate.display()))
        .start()
        .await
        .unwrap();
    std::fs::write(&gate, "").unwrap();
    let bench = plain_on(&cluster).await;
    bench.execute("SELECT pg_switch_wal()").await;
    until("a segment is archived", || async {
        bench.value("SELECT last_archived_wal IS NOT NULL FROM pg_stat_archiver").await == "t"
    })
    .await;
    std::fs::remove_file(&gate).unwrap();
    for _ in 0..4 {
        bench.execute("CREATE TABLE filler AS SELECT 1; DROP TABLE filler; SELECT pg_switch_wal()").await;
    }
    let brakes = only(|b| b.archive_behind = Some(16 << 20));
    let open = || std::fs::write(&gate, "").unwrap();
    assert_held(&bench, brakes, "WAL archiving is", async || open()).await;
}

#[tokio::test]
async fn a_standby_whose_replay_is_paused_holds_it_until_it_has_caught_up() {
    let primary = Cluster::builder().name("primary").start().await.unwrap();
    let standby = Cluster::builder().name("standby").start_standby_of(&primary).await.unwrap();
    let bench = plain_on(&primary).await;
    let replica = standby.client("postgres").await.unwrap();
    replica.batch_execute("SELECT pg_wal_replay_pause()").await.unwrap();
    until("the replay is paused", || async {
        value(&replica, "SELECT pg_get_wal_replay_pause_state()").await == "paused"
    })
    .await;
    // More than the limit; an idle standby that is paused has no lag in time at all.
    bench.execute("CREATE TABLE filler AS SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i").await;
    let brakes = only(|b| b.replica_behind = Some(1 << 20));
    let resume = async || replica.batch_execute("SELECT pg_wal_replay_resume()").await.unwrap();
    assert_held(&bench, brakes, "the standby", resume).await;
}
