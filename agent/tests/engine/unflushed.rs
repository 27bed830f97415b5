//! Migrations that commit without waiting for the server's disk: none is told of before it is there, whatever falls.

use std::time::Duration;

use stopover_agent::migrate;
use stopover_agent::step::{Pass, StepContext};
use stopover_cluster::Cluster;
use stopover_model::event::StepKind;
use stopover_model::report::{Effect, ErrorClass, Outcome};
use tokio::task::JoinHandle;

use crate::behind::Train;
use crate::support::*;

const SETUP: &str = "CREATE TABLE effect (id int)";

/// A migration behind which others stand, once it has let them pass.
struct Passed(JoinHandle<Outcome>);

impl Passed {
    async fn behind(train: &Train, id: &str, up: &str) -> Self {
        let pass = Pass::default();
        pass.follow();
        let context = StepContext { pass: pass.clone(), ..train.bench.context(StepKind::Migrate) };
        let running = tokio::spawn(migrate::run(context, train.work(id, up)));
        tokio::time::timeout(Duration::from_secs(20), pass.given()).await.expect("it lets others pass");
        Self(running)
    }

    fn is_told_of(&self) -> bool {
        self.0.is_finished()
    }

    async fn end(self) -> Outcome {
        tokio::time::timeout(Duration::from_secs(40), self.0).await.expect("it ends").unwrap()
    }
}

fn insert(n: u32) -> (String, String) {
    (format!("{n:03}_i"), format!("INSERT INTO effect VALUES ({n})"))
}

#[tokio::test]
async fn the_last_one_of_a_train_brings_all_to_disk() {
    let train = Train::begun(SETUP).await;
    let mut passed = Vec::new();
    for n in 1..=3 {
        let (id, up) = insert(n);
        passed.push(Passed::behind(&train, &id, &up).await);
    }
    assert!(!passed.iter().any(Passed::is_told_of), "none of them is known to be on disk");
    applied(train.migrate("004_i", "INSERT INTO effect VALUES (4)").await);
    for one in passed {
        assert!(!applied(one.end().await).already_applied);
    }
    assert_eq!(train.bench.value("SELECT string_agg(id::text, ' ') FROM effect").await, "1 2 3 4");
    train.bench.assert_clean().await;
}

#[tokio::test]
async fn after_some_one_waits_for_all() {
    let train = Train::begun(SETUP).await;
    let mut passed = Vec::new();
    for n in 1..=7 {
        let (id, up) = insert(n);
        passed.push(Passed::behind(&train, &id, &up).await);
    }
    let context = train.bench.context(StepKind::Migrate);
    context.pass.follow();
    applied(migrate::run(context, train.work("008_i", "INSERT INTO effect VALUES (8)")).await);
    for one in passed {
        applied(one.end().await);
    }
    train.bench.assert_clean().await;
}

#[tokio::test]
async fn nobody_comes_behind_and_it_gets_to_disk_all_the_same() {
    let train = Train::begun(SETUP).await;
    let passed = Passed::behind(&train, "001_i", "INSERT INTO effect VALUES (1)").await;
    applied(passed.end().await);
    train.bench.assert_clean().await;
}

#[tokio::test]
async fn one_that_fails_or_is_of_another_kind_loses_nothing_of_those_before() {
    for up in ["SELECT nope", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"] {
        let train = Train::begun(SETUP).await;
        let passed = Passed::behind(&train, "001_i", "INSERT INTO effect VALUES (1)").await;
        let outcome = train.migrate("002_x", up).await;
        assert_eq!(matches!(outcome, Outcome::Succeeded { .. }), up != "SELECT nope", "{outcome:?}");
        applied(passed.end().await);
        let rows =
            "SELECT count(*) FROM effect WHERE EXISTS (SELECT FROM stopover.migration WHERE id = '001_i')";
        assert_eq!(train.bench.value(rows).await, "1");
        train.bench.assert_clean().await;
    }
}

/// The server's memory is gone with what it had not written; each one runs again where it has to, and only there.
#[tokio::test]
async fn a_server_that_falls_takes_back_what_nobody_was_told_of() {
    let cluster = Cluster::builder().name("falls").setting("wal_writer_delay", "10s").start().await.unwrap();
    let train = Train::begun_on(Bench::on(&cluster).await, SETUP).await;
    let mut passed = Vec::new();
    for n in 1..=3 {
        let (id, up) = insert(n);
        passed.push(Passed::behind(&train, &id, &up).await);
    }
    cluster.stop_immediately().await.unwrap();
    for one in passed {
        let error = unknown(one.end().await);
        assert_eq!((error.class, error.effect), (ErrorClass::Transient, Effect::Possible), "{error:?}");
    }
    cluster.start_again().await.unwrap();
    let client = train.bench.test.client().await.unwrap();
    let both =
        "SELECT (SELECT count(*) FROM effect) = (SELECT count(*) FROM stopover.migration WHERE id > '001')";
    assert_eq!(value(&client, both).await, "t", "row and effect share a fate");
    for n in 1..=3 {
        let (id, up) = insert(n);
        applied(train.migrate(&id, &up).await);
    }
    assert_eq!(value(&client, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM effect").await, "1 2 3");
}

/// What runs when the session is lost is not tried again before those ahead of it are known to be there.
#[tokio::test]
async fn a_session_that_is_lost_hands_all_of_them_back() {
    let train = Train::begun(SETUP).await;
    let passed = Passed::behind(&train, "001_i", "INSERT INTO effect VALUES (1)").await;
    let killing = train.bench.kill_when("query LIKE '%pg_sleep(30)%' AND state = 'active'");
    let slow = "INSERT INTO effect SELECT 2 FROM pg_sleep(30)";
    let (outcome, ()) = tokio::join!(train.migrate("002_i", slow), killing);
    let error = unknown(outcome);
    assert_eq!((error.class, error.effect), (ErrorClass::Transient, Effect::Possible), "{error:?}");
    assert_eq!(unknown(passed.end().await).class, ErrorClass::Transient);
    assert!(applied(train.migrate("001_i", "INSERT INTO effect VALUES (1)").await).already_applied);
    applied(train.migrate("002_i", "INSERT INTO effect VALUES (2)").await);
    assert_eq!(train.bench.value("SELECT string_agg(id::text, ' ' ORDER BY id) FROM effect").await, "1 2");
    train.bench.assert_clean().await;
}
