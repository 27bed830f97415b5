//! Connections lost around the COMMIT, where only the ledger knows.

use std::time::Duration;

use stopover_cluster::Cluster;
use stopover_model::report::{Effect, ErrorClass};
use stopover_tests::Hold;

use crate::support::*;

#[tokio::test]
async fn a_backend_killed_in_a_statement_or_at_commit_takes_its_transaction_with_it() {
    let bench = Bench::new().await;
    bench
        .execute(
            "CREATE TABLE effect (id int); CREATE TABLE slow (id int); \
             CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END'; \
             CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION wait()",
        )
        .await;
    let sql = "INSERT INTO effect VALUES (1); SELECT pg_sleep(0.5); INSERT INTO slow VALUES (1);";
    let running = bench.spawn(&migration("001_a", &[("up.sql", sql)]));
    bench.kill_when("query LIKE 'SELECT pg_sleep%' AND state = 'active'").await;
    bench.kill_when("query = 'COMMIT' AND state = 'active'").await;
    applied(running.end().await);
    assert_eq!(bench.value("SELECT count(*) FROM effect").await, "1");
    assert_eq!(bench.value("SELECT count(*) FROM slow").await, "1");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_database_that_stays_away_after_the_commit_was_sent_leaves_the_outcome_unknown() {
    let cluster = Cluster::builder().name("away").start().await.unwrap();
    let mut bench = Bench::on(&cluster).await;
    bench.execute("CREATE TABLE effect (at timestamptz DEFAULT now())").await;
    let one = migration("001_a", &[("up.sql", "INSERT INTO effect DEFAULT VALUES")]);
    let direct = bench.database.clone();
    let wire = bench.wire().await;
    wire.hold(Hold::answer("COMMIT").behind("INSERT INTO stopover.history"));
    let mut quick = work(&one);
    quick.limits.reconnect = Duration::from_secs(1);
    let running = bench.spawn_work(quick);
    wire.held().await;
    // The wire is gone for good, the server is not.
    wire.refuse();
    wire.close();
    let error = unknown(running.end().await);
    assert_eq!((error.class, error.effect), (ErrorClass::Transient, Effect::Possible));
    bench.database = direct;
    assert!(applied(bench.migrate(&one).await).already_applied);
    assert_eq!(bench.value("SELECT count(*) FROM effect").await, "1");
}

#[tokio::test]
async fn a_commit_that_waits_for_a_dead_standby_is_looked_for_on_another_session() {
    let cluster = Cluster::builder().name("standby").start().await.unwrap();
    let bench = Bench::on(&cluster).await;
    bench.execute("CREATE TABLE effect (id int)").await;
    let mut work =
        work(&migration("001_a", &[("up.sql", "INSERT INTO effect VALUES (1); SELECT pg_sleep(1)")]));
    work.limits.commit_deadline = Duration::from_secs(1);
    let running = bench.spawn_work(work);
    running.said("StatementStarted { index: 1 }").await;
    bench.execute("ALTER SYSTEM SET synchronous_standby_names = 'gone'").await;
    bench.execute("SELECT pg_reload_conf()").await;
    let reporter = running.reporter.clone();
    let report = applied(running.end().await);
    assert!(!report.already_applied);
    assert!(
        shown(&reporter).iter().any(|l| l.contains("is a synchronous standby gone?")),
        "{:?}",
        shown(&reporter)
    );
    assert_eq!(bench.value("SELECT count(*) FROM effect").await, "1");
    bench.assert_clean().await;
}
