//! Connections lost around the COMMIT, where only the ledger knows.

use std::time::Duration;

use stopover_cluster::Cluster;
use stopover_model::report::{Effect, ErrorClass};

use crate::support::*;

const ONCE: &str =
    "CREATE TABLE IF NOT EXISTS effect (at timestamptz DEFAULT now()); INSERT INTO effect DEFAULT VALUES";

/// The message as it is on the wire.
const COMMIT: &str = "Q\0\0\0\x0bCOMMIT";

async fn server_port(bench: &Bench) -> u16 {
    bench.value("SHOW port").await.parse().unwrap()
}

#[tokio::test]
async fn an_answer_lost_at_commit_is_found_in_the_ledger() {
    for cut in [Cut::Before, Cut::After] {
        let mut bench = Bench::new().await;
        bench.execute("CREATE TABLE effect (at timestamptz DEFAULT now())").await;
        // The first COMMIT ends the look at the schema.
        let wire = Wire::new(server_port(&bench).await, cut, COMMIT, 2).await;
        bench.through(&wire);
        let running = bench.spawn(&migration("001_a", &[("up.sql", ONCE)]));
        let reporter = running.reporter.clone();
        let report = applied(running.end().await);
        assert!(!report.already_applied, "{cut:?}: this call did it");
        assert!(
            shown(&reporter).iter().any(|line| line.contains("looks at the ledger")),
            "{:?}",
            shown(&reporter)
        );
        assert_eq!(bench.value("SELECT count(*) FROM effect").await, "1", "{cut:?}");
        assert_eq!(bench.value("SELECT count(*) FROM stopover.history").await, "1", "{cut:?}");
        bench.assert_clean().await;
    }
}

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
    let one = migration("001_a", &[("up.sql", "INSERT INTO effect DEFAULT VALUES; SELECT pg_sleep(1)")]);
    let wire = Wire::new(cluster.port(), Cut::After, COMMIT, 2).await;
    let direct = bench.database.clone();
    bench.through(&wire);
    let mut quick = work(&one);
    quick.limits.reconnect = Duration::from_secs(1);
    let running = bench.spawn_work(quick);
    running.said("StatementFinished { index: 1").await;
    // The wire is gone for good, the server is not.
    wire.stop_accepting();
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

#[tokio::test]
async fn a_killed_server_is_waited_for() {
    let cluster = Cluster::builder().name("killed").durable(true).start().await.unwrap();
    let bench = Bench::on(&cluster).await;
    bench.execute("CREATE TABLE effect (id int)").await;
    let running =
        bench.spawn(&migration("001_a", &[("up.sql", "INSERT INTO effect VALUES (1); SELECT pg_sleep(2)")]));
    running.said("StatementStarted { index: 1 }").await;
    cluster.kill9().await.unwrap();
    cluster.start_again().await.unwrap();
    applied(running.end().await);
    let client = bench.test.client().await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM effect").await, "1");
}
