//! Who may write: the session lock, orphans, and the fence.

use std::time::Duration;

use stopover_agent::ledger::exclusion::LOCK_KEYS;
use stopover_model::report::ErrorClass;
use tokio_postgres::Client;

use crate::support::*;

const EFFECT: &[(&str, &str)] = &[("up.sql", "CREATE TABLE effect (id int)")];

/// A session that holds the lock under this application name.
async fn holder(bench: &Bench, application: &str) -> Client {
    let mut config = bench.test.config();
    config.application_name(application);
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let (one, two) = LOCK_KEYS;
    assert_eq!(value(&client, &format!("SELECT pg_try_advisory_lock({one}, {two})")).await, "t");
    client
}

#[tokio::test]
async fn an_orphan_of_an_older_epoch_is_ended_before_anything_runs() {
    let bench = Bench::new().await;
    let orphan = holder(&bench, &format!("stopover/{DEPLOYMENT}/migrate/1/e0/deadbeef")).await;
    let pid = value(&orphan, "SELECT pg_backend_pid()").await;
    // It goes on after its client has died.
    let running_orphan = tokio::spawn(async move { orphan.batch_execute("SELECT pg_sleep(60)").await });
    let running = bench.spawn(&migration("001_a", EFFECT));
    let reporter = running.reporter.clone();
    applied(running.end().await);
    assert!(running_orphan.await.unwrap().is_err());
    let lines = shown(&reporter);
    assert!(
        lines
            .iter()
            .any(|line| line.contains(&format!("pid {pid}, which an earlier run left behind, is gone"))),
        "{lines:?}"
    );
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_holder_of_a_newer_epoch_fences_this_attempt() {
    let bench = Bench::new().await;
    let newer = holder(&bench, &format!("stopover/{DEPLOYMENT}/migrate/2/e900/deadbeef")).await;
    let error = failure(bench.migrate(&migration("001_a", EFFECT)).await);
    assert_eq!(error.class, ErrorClass::Fenced);
    assert_eq!(value(&newer, "SELECT to_regclass('effect') IS NULL").await, "t");
}

#[tokio::test]
async fn a_stranger_who_holds_the_lock_is_waited_for_and_then_named() {
    let bench = Bench::new().await;
    let stranger = holder(&bench, "psql").await;
    let mut short = work(&migration("001_a", EFFECT));
    short.locks.lock_retry_for = Duration::from_millis(300);
    let error = failure(bench.spawn_work(short).end().await);
    assert_eq!(error.class, ErrorClass::Lock);
    assert!(error.message.contains("(psql)"), "{}", error.message);

    let running = bench.spawn(&migration("001_a", EFFECT));
    running.said("waits for pid").await;
    drop(stranger);
    applied(running.end().await);
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_database_that_has_seen_a_newer_epoch_refuses_an_older_one() {
    let bench = Bench::new().await;
    applied(bench.migrate(&migration("001_a", EFFECT)).await);
    bench.execute("UPDATE stopover.fence SET epoch = 900").await;
    let error = failure(bench.migrate(&migration("002_b", &[("up.sql", "CREATE TABLE b (id int)")])).await);
    assert_eq!(error.class, ErrorClass::Fenced);
    assert_eq!(bench.value("SELECT to_regclass('b') IS NULL").await, "t");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_fence_taken_in_the_midst_stops_the_next_work_transaction() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE a (id int)").await;
    let sql =
        "INSERT INTO a VALUES (1); DO $$ BEGIN PERFORM pg_sleep(1); COMMIT; END $$; INSERT INTO a VALUES (2)";
    let running = bench.spawn(&migration("001_a", &[("up.sql", sql)]));
    running.said("StatementStarted { index: 1 }").await;
    bench.execute("UPDATE stopover.fence SET epoch = 900, run = 'newer'").await;
    let error = failure(running.end().await);
    assert_eq!(error.class, ErrorClass::Fenced);
    assert_eq!(bench.value("SELECT count(*) FROM a").await, "1");
    bench.assert_clean().await;
}

#[tokio::test]
async fn two_attempts_at_once_give_one_effect() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE effect (id int)").await;
    let one = migration("001_a", &[("up.sql", "INSERT INTO effect VALUES (1); SELECT pg_sleep(0.3)")]);
    let (older, newer) = (bench.spawn(&one), bench.spawn(&one));
    let (older, newer) = (older.end().await, newer.end().await);
    applied(newer);
    // The older one has done it, or was fenced.
    if older.error().is_some() {
        assert_eq!(failure(older).class, ErrorClass::Fenced);
    }
    assert_eq!(bench.value("SELECT count(*) FROM effect").await, "1");
    bench.assert_clean().await;
}
