//! What holds a backfill, each with its real cause, and what keeps the table small meanwhile.

use std::time::Duration;

use stopover_cluster::Cluster;
use stopover_model::backfill::{Brakes, Canary};
use stopover_model::pipeline::VacuumAfter;

use crate::backfill::{assert_each_row_once, plain, plain_on, up};
use crate::support::*;

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

#[tokio::test]
async fn a_server_that_writes_much_wal_holds_it() {
    let bench = plain().await;
    bench.execute("CREATE TABLE filler (t text)").await;
    let busy = bench.test.client().await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let writes = tokio::spawn({
        let stop = stop.clone();
        async move {
            while !stop.is_cancelled() {
                let write = "INSERT INTO filler SELECT repeat('x', 200) FROM generate_series(1, 2000)";
                busy.batch_execute(write).await.unwrap();
            }
        }
    });
    let brakes = only(|b| b.wal_rate = Some(512 << 10));
    assert_held(&bench, brakes, "the server writes", async || {
        stop.cancel();
        writes.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_autovacuum_of_the_table_is_left_alone_with_it() {
    let cluster = Cluster::builder()
        .name("autovacuum")
        .setting("autovacuum", "on")
        .setting("autovacuum_naptime", "1s")
        // So slow that it is there until it is told to go.
        .setting("autovacuum_vacuum_cost_delay", "100ms")
        .setting("autovacuum_vacuum_cost_limit", "1")
        .start()
        .await
        .unwrap();
    let bench = plain_on(&cluster).await;
    bench
        .execute(
            "ALTER TABLE users SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0)",
        )
        .await;
    bench.execute("BEGIN; ALTER TABLE users DISABLE TRIGGER USER; UPDATE users SET n = n; ALTER TABLE users ENABLE TRIGGER USER; COMMIT").await;
    until("autovacuum is at the table", || async {
        bench.value("SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 'users'::regclass").await
            == "1"
    })
    .await;
    let brakes = only(|b| b.autovacuum = true);
    // Whoever needs the table's lock ends an autovacuum that holds it.
    let switch_off = async || bench.execute("ALTER TABLE users SET (autovacuum_enabled = off)").await;
    assert_held(&bench, brakes, "autovacuum is at work on the table", switch_off).await;
}

/// A table of some size, of which nothing is vacuumed but by the backfill.
async fn large() -> Bench {
    let bench = Bench::new().await;
    bench
        .execute(
            "CREATE TABLE users (id bigint PRIMARY KEY, n int, done boolean) WITH (autovacuum_enabled = off); \
             INSERT INTO users SELECT i, i FROM generate_series(1, 100000) i; CREATE INDEX ON users (done, n)",
        )
        .await;
    bench.execute("VACUUM ANALYZE users").await;
    bench
}

#[tokio::test]
async fn dead_rows_are_vacuumed_while_it_runs() {
    let bench = large().await;
    let running = bench.spawn(&migration("001_a", &[("up.sql", &up("batch_time=20ms max_rate=25_000"))]));
    let reporter = running.reporter.clone();
    applied(running.end().await);
    assert!(
        shown(&reporter).iter().any(|line| line.starts_with("vacuumed users in")),
        "{:?}",
        shown(&reporter)
    );
    until("the statistics know of it", || async {
        bench.value("SELECT vacuum_count > 1 FROM pg_stat_user_tables WHERE relname = 'users'").await == "t"
    })
    .await;
    bench.assert_clean().await;
}

#[tokio::test]
async fn it_is_left_to_autovacuum_where_the_stage_says_so() {
    let bench = large().await;
    let mut work = work(&migration("001_a", &[("up.sql", &up("batch_time=20ms max_rate=50_000"))]));
    work.backfill.vacuum = VacuumAfter::Off;
    let running = bench.spawn_work(work);
    let reporter = running.reporter.clone();
    applied(running.end().await);
    assert!(!shown(&reporter).iter().any(|line| line.contains("vacuum")), "{:?}", shown(&reporter));
}

#[tokio::test]
async fn its_vacuum_gives_way_to_whoever_waits_for_the_table() {
    let bench = large().await;
    let database = bench.test.name().to_owned();
    // So slow that it would take minutes.
    bench.execute(&format!("ALTER DATABASE {database} SET vacuum_cost_limit = 1")).await;
    let running = bench.spawn(&migration("001_a", &[("up.sql", &up("batch_time=20ms max_rate=25_000"))]));
    until("it is vacuumed", || async {
        bench.value("SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 'users'::regclass").await
            == "1"
    })
    .await;
    let other = bench.test.client().await.unwrap();
    other.batch_execute("ALTER TABLE users SET (fillfactor = 90)").await.unwrap();
    running.said("the VACUUM of users gave way to a session that waits for a lock on it").await;
    applied(running.end().await);
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_table_of_somebody_else_is_not_vacuumed_and_it_says_so() {
    let mut bench = large().await;
    let (database, user) = (bench.test.name().to_owned(), format!("guest_{}", bench.test.name()));
    bench
        .execute(&format!(
            "CREATE ROLE {user} LOGIN PASSWORD '{user}'; GRANT SELECT, INSERT, UPDATE, DELETE ON users TO {user}; \
             GRANT CREATE ON DATABASE {database} TO {user}; GRANT pg_monitor TO {user}"
        ))
        .await;
    bench.login_as(&user);
    let running = bench.spawn(&migration("001_a", &[("up.sql", &up("batch_time=20ms max_rate=50_000"))]));
    let reporter = running.reporter.clone();
    applied(running.end().await);
    let says = format!("users is not vacuumed while the backfill runs: {user} does not own it");
    assert!(shown(&reporter).iter().any(|line| line.contains(&says)), "{:?}", shown(&reporter));
    bench.execute(&format!("DROP OWNED BY {user} CASCADE; DROP ROLE {user}")).await;
}
