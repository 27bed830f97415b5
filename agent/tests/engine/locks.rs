//! Waiting for locks: whom the lines name, beside whom nothing begins, and what everybody else feels of it.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stopover_agent::migrate::MigrateWork;
use stopover_cluster::Cluster;
use stopover_model::event::StepKind;
use stopover_model::migration::Migration;
use stopover_model::report::{Effect, ErrorClass, LogLine, Session as Blocker};
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::support::*;

fn alter() -> Migration {
    migration("001_a", &[("up.sql", "ALTER TABLE t ADD b int"), ("down.sql", "ALTER TABLE t DROP b")])
}

async fn with_table() -> Bench {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)").await;
    bench
}

/// Another client, called so.
async fn client(bench: &Bench, application: &str) -> Client {
    let client = bench.test.client().await.unwrap();
    client.batch_execute(&format!("SET application_name = '{application}'")).await.unwrap();
    client
}

/// Work that waits for `retry_for` at most.
fn impatient(migration: &Migration, retry_for: Duration) -> MigrateWork {
    let mut work = work(migration);
    work.locks.lock_retry_for = retry_for;
    work
}

/// The first blocker that the step tells of.
async fn blocker_of(running: &Running) -> Blocker {
    let named = || {
        running.reporter.lines_after(0).into_iter().find_map(|(_, line)| match line {
            LogLine::LockWait { blockers, .. } => blockers.into_iter().next(),
            _ => None,
        })
    };
    until("a blocker is named", || async { named().is_some() }).await;
    named().unwrap()
}

/// As soon as the writer's transaction has ended, the step goes on.
async fn goes_on(bench: &Bench, running: Running, writer: &Client, end: &str) {
    writer.batch_execute(end).await.unwrap();
    applied(running.end().await);
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_blocker_is_named_and_its_query_only_where_the_stage_allows_it() {
    for show_queries in [false, true] {
        let bench = with_table().await;
        let writer = client(&bench, "billing").await;
        let query = "BEGIN; INSERT INTO t VALUES (4711)\n  /* \u{1b}[2J */";
        writer.batch_execute(query).await.unwrap();
        let mut work = work(&alter());
        work.locks.show_queries = show_queries;
        let running = bench.spawn_work(work);
        let blocker = blocker_of(&running).await;
        assert_eq!(
            (blocker.application.as_str(), blocker.user.as_str(), blocker.state.as_str()),
            ("billing", "postgres", "idle in transaction")
        );
        assert_eq!(blocker.pid.to_string(), value(&writer, "SELECT pg_backend_pid()").await);
        let shown_query = "BEGIN; INSERT INTO t VALUES (4711) /* \\u{1b}[2J */";
        assert_eq!(blocker.query.as_deref(), show_queries.then_some(shown_query));
        if !show_queries {
            let lines = shown(&running.reporter);
            assert!(lines.iter().all(|line| !line.contains("4711")), "{lines:?}");
        }
        goes_on(&bench, running, &writer, "COMMIT").await;
    }
}

#[tokio::test]
async fn a_prepared_transaction_that_blocks_is_named_with_the_way_to_end_it() {
    let cluster = Cluster::builder().name("prepared").setting("max_prepared_transactions", "2").start().await;
    let cluster = cluster.unwrap();
    let bench = Bench::on(&cluster).await;
    bench.execute("CREATE TABLE t (a int)").await;
    bench.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'order-7'").await;
    let error = failure(bench.spawn_work(impatient(&alter(), Duration::from_millis(600))).end().await);
    assert_eq!(error.class, ErrorClass::Lock);
    let hint = error.hint.unwrap();
    assert!(hint.contains("the prepared transaction 'order-7' of postgres"), "{hint}");

    // An old one is waited for before anything is tried.
    let mut old = impatient(&alter(), Duration::from_millis(300));
    old.locks.oldest_transaction = Duration::from_millis(1);
    let error = failure(bench.spawn_work(old).end().await);
    assert_eq!((error.class, error.effect), (ErrorClass::Lock, Effect::None));
    assert!(error.hint.as_ref().unwrap().contains("ROLLBACK PREPARED 'order-7'"), "{error:?}");

    let running = bench.spawn(&alter());
    running.said("LockWait").await;
    bench.execute("COMMIT PREPARED 'order-7'").await;
    applied(running.end().await);
    bench.assert_clean().await;
}

#[tokio::test]
async fn others_get_in_while_a_ddl_waits_behind_a_reader_and_the_ddl_after_its_end() {
    let bench = with_table().await;
    let reader = client(&bench, "report").await;
    reader.batch_execute("BEGIN; SELECT FROM t").await.unwrap();
    let running = bench.spawn(&alter());
    running.said("LockWait").await;
    // The reader stays for as long as these take: behind a DDL that queued up they would wait for ever.
    bench.execute("SET lock_timeout = '20s'").await;
    for _ in 0..100 {
        bench.execute("SELECT FROM t").await;
    }
    assert!(!running.outcome.is_finished());
    reader.batch_execute("COMMIT").await.unwrap();
    applied(running.end().await);
    bench.assert_clean().await;
}

/// It would go on for many minutes, and gives way to nobody who waits for less than `deadlock_timeout`.
#[tokio::test]
async fn an_automatic_vacuum_gives_way() {
    let cluster = Cluster::builder()
        .name("vacuum")
        .setting("autovacuum", "on")
        .setting("autovacuum_naptime", "1s")
        .setting("autovacuum_vacuum_cost_delay", "100ms")
        .setting("autovacuum_vacuum_cost_limit", "1");
    let cluster = cluster.start().await.unwrap();
    let bench = Bench::on(&cluster).await;
    bench.execute("CREATE TABLE \"T t\" (a int) WITH (autovacuum_vacuum_threshold = 1)").await;
    bench.execute("INSERT INTO \"T t\" SELECT generate_series(1, 100000)").await;
    bench.execute("DELETE FROM \"T t\" WHERE a % 2 = 0").await;
    let vacuuming = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = '\"T t\"'::regclass";
    until("the vacuum runs", || async { bench.value(vacuuming).await == "1" }).await;
    let running = bench.spawn(&migration("001_a", &[("up.sql", "ALTER TABLE \"T t\" ADD b int")]));
    let blocker = blocker_of(&running).await;
    assert_eq!(blocker.application, "autovacuum worker");
    bench.execute("SET lock_timeout = '20s'; UPDATE \"T t\" SET a = 0 WHERE a = 1").await;
    applied(running.end().await);
    bench.assert_clean().await;
}

/// A real `pg_dump` of the bench's database. It waits for a table that somebody holds, and has its snapshot by then.
struct Dump {
    child: Child,
    held: Client,
}

impl Dump {
    async fn start(bench: &Bench, application: &str) -> Self {
        let held = client(bench, "holder").await;
        // Behind a name late in the alphabet, so that the dump holds its other locks by then.
        held.batch_execute("CREATE TABLE z (a int)").await.unwrap();
        held.batch_execute("BEGIN; LOCK TABLE z IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let child = Command::new("pg_dump")
            .args(["--dbname", bench.test.url()])
            .env("PGAPPNAME", application)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let there = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND query LIKE 'LOCK TABLE%' AND wait_event_type = 'Lock'";
        until("the dump waits", || async { bench.value(there).await == "1" }).await;
        Self { child, held }
    }

    async fn end(mut self) {
        self.held.batch_execute("ROLLBACK").await.unwrap();
        let status = tokio::task::spawn_blocking(move || self.child.wait()).await.unwrap().unwrap();
        assert!(status.success());
    }
}

#[tokio::test]
async fn nothing_begins_beside_a_dump_and_goes_on_when_it_ends() {
    let backup = "stopover/9876543210/backup/1/e7/3f2a9c1d";
    for (application, called) in [("pg_dump", ": a dump"), (backup, ": the backup of deployment 9876543210")]
    {
        let bench = with_table().await;
        let dump = Dump::start(&bench, application).await;
        let error = failure(bench.spawn_work(impatient(&alter(), Duration::from_millis(200))).end().await);
        assert_eq!((error.class, error.effect), (ErrorClass::Lock, Effect::None));
        assert!(error.message.starts_with("001_a/up.sql does not begin beside pid "), "{error:?}");
        assert!(error.message.contains(called), "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("SELECT pg_terminate_backend("), "{error:?}");
        let ledger = "SELECT count(*) FROM stopover.migration";
        assert_eq!(bench.value(ledger).await, "0");

        let running = bench.spawn(&alter());
        running.said("001_a/up.sql waits for pid ").await;
        let progress = running.reporter.watch_progress();
        until("the wait is shown as progress", || async { progress.borrow().is_some() }).await;
        // Whoever waits here keeps nobody from anything.
        let locks = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                     WHERE a.application_name LIKE 'stopover/0123456789/%' AND a.datname = current_database() AND l.locktype = 'relation' AND l.relation > 16384";
        assert_eq!(bench.value(locks).await, "0");
        let snapshots = "SELECT count(*) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND state <> 'active' AND datname = current_database() \
                         AND application_name LIKE 'stopover/0123456789/%'";
        assert_eq!(bench.value(snapshots).await, "0");
        let reporter = running.reporter.clone();
        dump.end().await;
        applied(running.end().await);
        let lines = shown(&reporter);
        assert!(lines.iter().any(|line| line.starts_with("nobody is in the way any more")), "{lines:?}");
        bench.assert_clean().await;
    }
}

#[tokio::test]
async fn a_rollback_waits_for_a_dump_as_well() {
    let bench = with_table().await;
    applied(bench.migrate(&alter()).await);
    let dump = Dump::start(&bench, "pg_dump").await;
    let mut work = rollback_work(&alter());
    work.locks.lock_retry_for = Duration::from_millis(200);
    let context = bench.context(StepKind::Rollback);
    let error = failure(stopover_agent::rollback::run(context, work).await);
    assert_eq!((error.class, error.effect), (ErrorClass::Lock, Effect::None));
    assert!(error.message.starts_with("001_a/down.sql does not begin beside pid "), "{error:?}");
    dump.end().await;
    rolled_back(bench.roll_back(&alter()).await);
    bench.assert_clean().await;
}

#[tokio::test]
async fn an_old_transaction_is_waited_for_and_a_young_one_is_not() {
    let bench = with_table().await;
    let other = client(&bench, "forgotten").await;
    other.batch_execute("BEGIN; SELECT FROM pg_class").await.unwrap();
    applied(bench.migrate(&alter()).await);

    let next = migration("002_b", &[("up.sql", "ALTER TABLE t ADD c int")]);
    let mut work = impatient(&next, Duration::from_millis(300));
    work.locks.oldest_transaction = Duration::from_millis(1);
    let error = failure(bench.spawn_work(work.clone()).end().await);
    assert_eq!((error.class, error.effect), (ErrorClass::Lock, Effect::None));
    assert!(error.message.contains("(forgotten as postgres, idle in transaction for "), "{error:?}");
    assert!(
        error.hint.as_ref().unwrap().ends_with("the stage's lock_retry_for or oldest_transaction"),
        "{error:?}"
    );
    assert_eq!(bench.value("SELECT count(*) FROM stopover.migration").await, "1");

    work.locks.lock_retry_for = Duration::from_secs(20);
    let running = bench.spawn_work(work);
    running.said("waits for pid").await;
    goes_on(&bench, running, &other, "COMMIT").await;
}

#[tokio::test]
async fn an_index_is_not_begun_beside_a_dump_that_came_later() {
    let bench = with_table().await;
    let sql = "DO $$ BEGIN PERFORM pg_sleep(0.01); COMMIT; END $$;\nSELECT pg_advisory_lock(7);\n\
               SELECT pg_advisory_unlock(7);\nCREATE INDEX CONCURRENTLY i ON t (a);";
    let gate = client(&bench, "gate").await;
    gate.batch_execute("SELECT pg_advisory_lock(7)").await.unwrap();
    let mut work = work(&migration("001_a", &[("up.sql", sql)]));
    work.locks.lock_timeout = Duration::from_secs(20);
    let running = bench.spawn_work(work);
    running.said("StatementStarted { index: 1 }").await;
    let dump = Dump::start(&bench, "pg_dump").await;
    gate.batch_execute("SELECT pg_advisory_unlock(7)").await.unwrap();
    running.said("statement 4 (line 4) waits for pid").await;
    assert_eq!(bench.value("SELECT to_regclass('i') IS NULL").await, "t", "nothing is half built meanwhile");
    dump.end().await;
    applied(running.end().await);
    assert_eq!(bench.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass").await, "t");
    bench.assert_clean().await;
}

#[tokio::test]
async fn who_may_not_see_others_says_so_and_still_sees_a_dump() {
    let bench = Bench::new().await;
    let role = format!("blind_{}", bench.test.name());
    let name = bench.test.name();
    bench
        .execute(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT CREATE ON DATABASE {name} TO {role}; \
             CREATE SCHEMA app AUTHORIZATION {role}; SET ROLE {role}; CREATE TABLE app.t (a int); RESET ROLE"
        ))
        .await;
    let behind = bench.test.url().split_once('@').unwrap().1.to_owned();
    let one = migration("001_a", &[("up.sql", "ALTER TABLE app.t ADD b int")]);
    let start = |work| {
        let mut context = bench.context(StepKind::Migrate);
        context.database = database(&format!("postgresql://{role}:x@{behind}"));
        let reporter = context.reporter.clone();
        (tokio::spawn(stopover_agent::migrate::run(context, work)), reporter)
    };
    let dump = Dump::start(&bench, "pg_dump").await;
    let (outcome, reporter) = start(impatient(&one, Duration::from_millis(100)));
    let error = failure(outcome.await.unwrap());
    assert!(error.message.contains("(pg_dump as postgres): a dump"), "{error:?}");
    let lines = shown(&reporter);
    let hidden: Vec<_> =
        lines.iter().filter(|line| line.contains("can't see the transactions of other roles")).collect();
    assert_eq!(hidden.len(), 1, "{lines:?}");
    dump.end().await;
    let (outcome, _) = start(work(&one));
    applied(outcome.await.unwrap());
    bench.assert_clean().await;
    bench.execute(&format!("DROP SCHEMA app CASCADE; DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await;
}

/// Holds the table until somebody has waited for it for a while, though never for as long as a `lock_timeout`.
async fn hold(bench: &Bench, table: &str) -> tokio::task::JoinHandle<()> {
    let (holder, looking) = (client(bench, "writer").await, bench.test.client().await.unwrap());
    holder.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ROW EXCLUSIVE MODE")).await.unwrap();
    let waits = format!("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass");
    tokio::spawn(async move {
        until("somebody waits", || async { value(&looking, &waits).await != "0" }).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        holder.batch_execute("COMMIT").await.unwrap();
    })
}

#[tokio::test]
async fn a_transaction_that_holds_one_lock_waits_for_all_others_together_no_longer_than_once() {
    const TABLES: usize = 8;
    let bench = Bench::new().await;
    let mut sql = String::from("ALTER TABLE first ADD b int;\n");
    bench.execute("CREATE TABLE first (a int)").await;
    for n in 0..TABLES {
        bench.execute(&format!("CREATE TABLE t{n} (a int)")).await;
        writeln!(sql, "ALTER TABLE t{n} ADD b int;").unwrap();
    }
    // Statement by statement, and all waits within one.
    for whole in [sql.clone(), format!("DO $$ BEGIN {sql} END $$")] {
        let mut holders = Vec::new();
        for n in 0..TABLES {
            holders.push(hold(&bench, &format!("t{n}")).await);
        }
        let mut work = work(&migration("001_a", &[("up.sql", &whole)]));
        work.locks.lock_timeout = Duration::from_millis(200);
        let running = bench.spawn_work(work);
        let mut slowest = Duration::ZERO;
        while !running.outcome.is_finished() {
            let asked = Instant::now();
            bench.execute("SELECT FROM first").await;
            slowest = slowest.max(asked.elapsed());
        }
        // Without the bound it is 8 times 150 ms; with it, 200 ms on a machine that has nothing else to do.
        assert!(slowest < Duration::from_millis(1_100), "a reader of the first table waited for {slowest:?}");
        for holder in holders {
            holder.await.unwrap();
        }
        assert!(applied(running.end().await).lock_retries > 0);
        rolled_back_by_hand(&bench, TABLES).await;
        bench.assert_clean().await;
    }
}

async fn rolled_back_by_hand(bench: &Bench, tables: usize) {
    bench.execute("ALTER TABLE first DROP b; DELETE FROM stopover.migration").await;
    for n in 0..tables {
        bench.execute(&format!("ALTER TABLE t{n} DROP b")).await;
    }
}

#[tokio::test]
async fn long_work_before_a_lock_leaves_the_patience_for_it() {
    let bench = with_table().await;
    let holder = client(&bench, "holder").await;
    let sql = "CREATE TABLE w (a int);\nSELECT pg_sleep(1.2);\nALTER TABLE t ADD b int;";
    let mut work = work(&migration("001_a", &[("up.sql", sql)]));
    work.locks.lock_timeout = Duration::from_millis(900);
    let running = bench.spawn_work(work);
    running.said("StatementStarted { index: 1 }").await;
    holder.batch_execute("BEGIN; SELECT FROM t").await.unwrap();
    running.said("StatementStarted { index: 2 }").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(applied(running.end().await).lock_retries, 0);
    bench.assert_clean().await;
}

/// Cancels the step and sees that it left nothing.
async fn cancelled(bench: &Bench, running: Running) {
    running.cancel.cancel();
    let error = failure(running.end().await);
    assert_eq!((error.class, error.effect), (ErrorClass::Cancelled, Effect::None));
    bench.assert_clean().await;
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0";
    assert_eq!(bench.value(columns).await, "1");
}

#[tokio::test]
async fn every_wait_can_be_cancelled() {
    // In the statement.
    let bench = with_table().await;
    let reader = client(&bench, "report").await;
    reader.batch_execute("BEGIN; SELECT FROM t").await.unwrap();
    let mut patient = work(&alter());
    patient.locks.lock_timeout = Duration::from_secs(20);
    let running = bench.spawn_work(patient);
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
    until("the statement waits", || async { bench.value(waits).await == "1" }).await;
    cancelled(&bench, running).await;
    // Between two tries.
    let mut brief = work(&alter());
    brief.locks.lock_timeout = Duration::from_millis(50);
    let running = bench.spawn_work(brief);
    running.said("LockWait").await;
    cancelled(&bench, running).await;
    // Before the first one.
    let mut lonely = work(&alter());
    lonely.locks.oldest_transaction = Duration::from_millis(1);
    let running = bench.spawn_work(lonely);
    running.said("waits for pid").await;
    cancelled(&bench, running).await;
    reader.batch_execute("COMMIT").await.unwrap();
}
