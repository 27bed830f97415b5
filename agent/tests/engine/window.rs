//! A stage's window, as an agent keeps it by itself.

use std::time::Duration;

use stopover_agent::migrate::{self, MigrateWork};
use stopover_agent::step::StepContext;
use stopover_model::event::StepKind;
use stopover_model::migration::Migration;
use stopover_model::report::Outcome;
use tokio::time::Instant;

use crate::backfill::{assert_each_row_once, plain, up};
use crate::support::*;

fn begun_by(migration: &Migration, by: Instant) -> MigrateWork {
    MigrateWork { begin_by: Some(by), ..work(migration) }
}

fn assert_not_begun(outcome: &Outcome) {
    let Outcome::NotBegun { why } = outcome else { panic!("{outcome:#?}") };
    assert!(why.contains("window"), "{why}");
}

#[tokio::test]
async fn a_backfill_stops_at_a_batch_when_its_window_ends_and_goes_on_when_it_hears_of_the_next() {
    let bench = plain().await;
    let context = bench.context(StepKind::Migrate);
    let soon = Instant::now() + Duration::from_secs(2);
    let (tell, batches_until) = tokio::sync::watch::channel(Some(soon));
    let context = StepContext { batches_until, ..context };
    let reporter = context.reporter.clone();
    let slow = up("max_rate=3000 batch_time=10ms");
    let work = work(&migration("001_a", &[("up.sql", &slow)]));
    let running = tokio::spawn(migrate::run(context, work));
    let said = |text| {
        let reporter = reporter.clone();
        async move { shown(&reporter).iter().any(|line| line.contains(text)) }
    };
    until("it says so", || said("the stage's window has ended")).await;
    let count = "SELECT count(*) FROM users WHERE done";
    let there = bench.value(count).await;
    assert!(!running.is_finished() && there != "9000", "{there}");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(bench.value(count).await, there, "no batch begins outside");
    assert_eq!(
        bench.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'").await,
        "0"
    );
    tell.send_replace(None);
    applied(running.await.unwrap());
    assert!(said("the backfill continues after").await);
    assert_each_row_once(&bench).await;
}

#[tokio::test]
async fn what_comes_too_late_does_not_begin_and_leaves_nothing() {
    let bench = Bench::new().await;
    for up in ["CREATE TABLE t (a int)", "CREATE TABLE t (a int); CREATE INDEX CONCURRENTLY i ON t (a)"] {
        let migration = migration("001_a", &[("up.sql", up), ("down.sql", "DROP TABLE t")]);
        let late = begun_by(&migration, Instant::now());
        assert_not_begun(&migrate::run(bench.context(StepKind::Migrate), late).await);
        let left = "SELECT count(*) FROM stopover.migration WHERE id = '001_a'";
        assert_eq!(bench.value(left).await, "0");
        applied(bench.migrate(&migration).await);
        rolled_back(bench.roll_back(&migration).await);
    }
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_lock_that_is_not_to_be_had_in_time_is_not_waited_for_beyond_the_window() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE t (a int)").await;
    let other = bench.test.client().await.unwrap();
    other.batch_execute("BEGIN; SELECT FROM t").await.unwrap();
    for up in ["ALTER TABLE t ADD b int", "ALTER TABLE t ADD b int; CREATE INDEX CONCURRENTLY i ON t (b)"] {
        let migration = migration("001_a", &[("up.sql", up)]);
        let soon = begun_by(&migration, Instant::now() + Duration::from_secs(1));
        assert_not_begun(&migrate::run(bench.context(StepKind::Migrate), soon).await);
        assert_eq!(bench.value("SELECT count(*) FROM stopover.migration").await, "0");
    }
    other.batch_execute("COMMIT").await.unwrap();
    bench.assert_clean().await;
}
