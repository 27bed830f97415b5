//! A migration on the session that the one before it has left: what goes out together must be as careful as what goes out
//! one by one.

use stopover_agent::migrate::{self, MigrateWork, Parking};
use stopover_model::event::StepKind;
use stopover_model::report::{Effect, ErrorClass, LogLine, Outcome};

use crate::support::*;

/// A deployment's migrations, one behind the other.
pub(crate) struct Train {
    pub(crate) bench: Bench,
    parking: Parking,
}

impl Train {
    /// With a session that a first migration has left.
    pub(crate) async fn begun(setup: &str) -> Self {
        Self::begun_on(Bench::new().await, setup).await
    }

    pub(crate) async fn begun_on(bench: Bench, setup: &str) -> Self {
        bench.execute(setup).await;
        let train = Self { bench, parking: parking() };
        applied(train.migrate("000_a", "SELECT 1").await);
        train
    }

    pub(crate) fn work(&self, id: &str, up: &str) -> MigrateWork {
        MigrateWork { parking: self.parking.clone(), ..work(&migration(id, &[("up.sql", up)])) }
    }

    pub(crate) async fn migrate(&self, id: &str, up: &str) -> Outcome {
        migrate::run(self.bench.context(StepKind::Migrate), self.work(id, up)).await
    }

    async fn session(&self) -> String {
        let sql = "SELECT pid FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name LIKE 'stopover/%'";
        self.bench.value(sql).await
    }
}

#[tokio::test]
async fn each_is_in_the_ledger_with_all_that_it_changed() {
    let train = Train::begun("").await;
    let session = train.session().await;
    let report = applied(train.migrate("001_a", "CREATE TABLE a (id int PRIMARY KEY, b text)").await);
    assert_ne!(report.fingerprint_before, report.fingerprint_after);
    let report = applied(train.migrate("002_b", "INSERT INTO a VALUES (1), (2)").await);
    assert_eq!((report.rows, report.statements), (2, 1));
    assert_eq!(report.fingerprint_before, report.fingerprint_after);
    let two = "ALTER TABLE a ADD c int DEFAULT 7;\nCREATE INDEX i ON a (c);";
    assert_eq!(applied(train.migrate("003_c", two).await).statements, 2);
    assert_eq!(train.session().await, session, "they had one session");
    let bench = &train.bench;
    let rows = "SELECT string_agg(concat_ws(' ', id, state, statements, applied_at >= started_at, \
                    objects_before IS NULL, (SELECT count(*) FROM jsonb_object_keys(changes))), ', ' ORDER BY id) \
                FROM stopover.migration WHERE id > '001'";
    assert_eq!(
        bench.value(rows).await,
        "001_a applied 1 t t 5, 002_b applied 1 t t 0, 003_c applied 2 t t 2",
        "a table, two columns, a constraint and its index; nothing; a column and an index"
    );
    let history = "SELECT string_agg(what || ' ' || migration, ', ' ORDER BY id) FROM stopover.history";
    assert_eq!(bench.value(history).await, "applied 000_a, applied 001_a, applied 002_b, applied 003_c");
    let look = stopover_agent::drift::look(&bench.context(StepKind::Inspect)).await.unwrap();
    assert!(format!("{:?}", look.comparison).starts_with("Known"), "{:?}", look.comparison);
    assert_eq!(bench.value("SELECT count(*) FROM stopover.object WHERE object LIKE '% a%'").await, "7");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_statement_that_fails_leaves_nothing_and_shows_its_place() {
    for up in ["\nINSERT INTO effect (nope) VALUES (1)", "INSERT INTO effect VALUES (1);\nSELECT nope"] {
        let train = Train::begun("CREATE TABLE effect (id int)").await;
        let error = failure(train.migrate("001_a", up).await);
        assert_eq!((error.class, error.effect), (ErrorClass::Sql, Effect::None));
        assert_eq!((error.sqlstate.as_deref(), error.place.unwrap().line), (Some("42703"), 2));
        let left =
            "SELECT count(*) + (SELECT count(*) FROM stopover.migration WHERE id = '001_a') FROM effect";
        assert_eq!(train.bench.value(left).await, "0");
        train.bench.assert_clean().await;
    }
}

#[tokio::test]
async fn what_fails_at_the_commit_leaves_nothing() {
    let train = Train::begun("CREATE TABLE a (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)").await;
    let error = failure(train.migrate("001_a", "INSERT INTO a VALUES (1), (1)").await);
    assert_eq!((error.sqlstate.as_deref(), error.effect), (Some("23505"), Effect::None));
    let left = "SELECT count(*) + (SELECT count(*) FROM stopover.migration WHERE id = '001_a') FROM a";
    assert_eq!(train.bench.value(left).await, "0");
    train.bench.assert_clean().await;
}

#[tokio::test]
async fn what_the_ledger_has_already_does_not_run_again() {
    let train = Train::begun("CREATE TABLE effect (id int)").await;
    let up = "INSERT INTO effect VALUES (1)";
    applied(train.bench.migrate(&migration("001_a", &[("up.sql", up)])).await);
    assert!(applied(train.migrate("001_a", up).await).already_applied);
    assert_eq!(train.bench.value("SELECT count(*) FROM effect").await, "1");
    train.bench.assert_clean().await;
}

#[tokio::test]
async fn a_lock_is_let_go_and_tried_again() {
    let train = Train::begun("CREATE TABLE users (id int)").await;
    let holder = train.bench.test.client().await.unwrap();
    holder.batch_execute("BEGIN; SELECT FROM users").await.unwrap();
    let running = train.bench.spawn_work(train.work("001_a", "ALTER TABLE users ADD a int"));
    running.said("LockWait").await;
    train.bench.execute("SET lock_timeout = '20s'; SELECT FROM users").await;
    holder.batch_execute("COMMIT").await.unwrap();
    let reporter = running.reporter.clone();
    assert!(applied(running.end().await).lock_retries > 0);
    let started = reporter.lines_after(0);
    let started = started.iter().filter(|(_, line)| matches!(line, LogLine::StatementStarted { .. })).count();
    assert_eq!(started, 1, "it is told of once");
    assert_eq!(train.bench.value("SELECT count(*) FROM stopover.migration WHERE id = '001_a'").await, "1");
    train.bench.assert_clean().await;
}

#[tokio::test]
async fn a_cancelled_one_stops_and_leaves_nothing() {
    let train = Train::begun("CREATE TABLE effect (id int)").await;
    let running =
        train.bench.spawn_work(train.work("001_a", "INSERT INTO effect SELECT 1 FROM pg_sleep(60)"));
    running.said("StatementStarted { index: 0 }").await;
    running.cancel.cancel();
    let error = failure(running.end().await);
    assert_eq!((error.class, error.effect), (ErrorClass::Cancelled, Effect::None));
    assert_eq!(train.bench.value("SELECT count(*) FROM effect").await, "0");
    train.bench.assert_clean().await;
}

#[tokio::test]
async fn the_role_that_the_user_begins_with_is_that_of_each_script() {
    let mut bench = Bench::new().await;
    let (user, owner) = (format!("user_{}", bench.test.name()), format!("owner_{}", bench.test.name()));
    let roles = format!(
        "CREATE ROLE {owner}; CREATE ROLE {user} LOGIN PASSWORD '{user}' IN ROLE {owner}; \
         ALTER ROLE {user} SET role = '{owner}'; GRANT CREATE ON DATABASE {0} TO {owner}; \
         GRANT CREATE ON SCHEMA public TO {owner}; GRANT pg_monitor TO {owner}",
        bench.test.name()
    );
    bench.execute(&roles).await;
    bench.login_as(&user);
    let train = Train { bench, parking: parking() };
    for (id, up) in [
        ("001_a", "CREATE TABLE a (id int)"),
        ("002_b", "CREATE TABLE b (id int)"),
        ("003_c", "DO $$ BEGIN CREATE TABLE c (id int); END $$"),
        ("004_d", "CREATE TABLE d (id int)"),
    ] {
        applied(train.migrate(id, up).await);
    }
    let owners = "SELECT string_agg(DISTINCT tableowner, ',') || ' ' || count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(train.bench.value(owners).await, format!("{owner} 4"));
    train.bench.assert_clean().await;
    train.bench.execute(&format!("DROP OWNED BY {owner}, {user}; DROP ROLE {user}; DROP ROLE {owner}")).await;
}
