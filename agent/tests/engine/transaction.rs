//! Scripts in one transaction.

use std::time::Duration;

use stopover_model::report::{Effect, ErrorClass, LogLine};

use crate::support::*;

#[tokio::test]
async fn a_migration_takes_effect_together_with_its_ledger_row_and_only_once() {
    let bench = Bench::new().await;
    let one = migration("001_a", &[("up.sql", "CREATE TABLE a (id int);\nINSERT INTO a VALUES (1), (2);")]);
    let report = applied(bench.migrate(&one).await);
    assert_eq!((report.statements, report.rows, report.already_applied), (2, 2, false));
    assert_ne!(report.fingerprint_before, report.fingerprint_after);
    let row = "SELECT concat_ws(' ', id, state, variant, deployment, agent, statements, applied_at IS NOT NULL, \
               objects_before IS NULL, changes) FROM stopover.migration";
    let expected = format!("001_a applied standard {DEPLOYMENT} agent-1 2 t t ");
    assert!(bench.value(row).await.starts_with(&expected), "{}", bench.value(row).await);

    let again = applied(bench.migrate(&one).await);
    assert!(again.already_applied);
    assert_eq!(bench.value("SELECT count(*) FROM a").await, "2");
    assert_eq!(bench.value("SELECT string_agg(what, ',') FROM stopover.history").await, "applied");
    bench.assert_clean().await;
}

#[tokio::test]
async fn the_same_name_with_other_content_is_drift() {
    let bench = Bench::new().await;
    applied(bench.migrate(&migration("001_a", &[("up.sql", "CREATE TABLE a (id int)")])).await);
    let other = migration("001_a", &[("up.sql", "CREATE TABLE b (id int)")]);
    let error = failure(bench.migrate(&other).await);
    assert_eq!((error.class, error.effect), (ErrorClass::Drift, Effect::None));
    assert!(error.message.contains("with other content"), "{}", error.message);
    assert_eq!(bench.value("SELECT to_regclass('b') IS NULL").await, "t");
}

#[tokio::test]
async fn an_error_half_way_leaves_nothing_and_shows_its_place() {
    let bench = Bench::new().await;
    let sql = "CREATE TABLE a (id int);\n\n-- źle\nINSERT INTO a (id, nope)\n  VALUES (1, 2);\n";
    let error = failure(bench.migrate(&migration("001_a", &[("up.sql", sql)])).await);
    assert_eq!(
        (error.class, error.effect, error.sqlstate.as_deref()),
        (ErrorClass::Sql, Effect::None, Some("42703"))
    );
    let place = error.place.unwrap();
    assert_eq!((place.file.as_str(), place.line, place.column), ("001_a/up.sql", 4, 20));
    assert_eq!(place.text, "INSERT INTO a (id, nope)");
    assert_eq!(
        bench.value("SELECT to_regclass('a') IS NULL AND NOT EXISTS (SELECT FROM stopover.migration)").await,
        "t"
    );
    bench.assert_clean().await;
}

#[tokio::test]
async fn an_error_inside_a_block_shows_the_line_of_the_block() {
    let bench = Bench::new().await;
    let sql = "SELECT 1;\nDO $$\nBEGIN\n  RAISE NOTICE 'on the way';\n  PERFORM 1 / 0;\nEND $$;";
    let error = failure(bench.migrate(&migration("001_a", &[("up.sql", sql)])).await);
    let place = error.place.unwrap();
    assert_eq!((place.line, place.text.as_str()), (5, "  PERFORM 1 / 0;"));
}

#[tokio::test]
async fn a_row_value_is_never_shown() {
    let bench = Bench::new().await;
    bench
        .execute("CREATE TABLE people (email text); INSERT INTO people VALUES ('a@secret'), ('a@secret')")
        .await;
    for sql in
        ["ALTER TABLE people ADD UNIQUE (email)", "ALTER TABLE people ALTER email TYPE int USING email::int"]
    {
        let error = failure(bench.migrate(&migration("001_a", &[("up.sql", sql)])).await);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn notices_are_lines_and_progress() {
    let bench = Bench::new().await;
    let sql =
        "DO $$ BEGIN RAISE NOTICE 'Updated 10 of 40 users%', E'\\x1b[31m'; RAISE WARNING 'careful'; END $$";
    let running = bench.spawn(&migration("001_a", &[("up.sql", sql)]));
    let progress = running.reporter.watch_progress();
    let reporter = running.reporter.clone();
    applied(running.end().await);
    let notices: Vec<_> = reporter
        .lines_after(0)
        .into_iter()
        .filter_map(|(_, line)| match line {
            LogLine::Notice { severity, text, .. } => Some(format!("{severity}: {text}")),
            _ => None,
        })
        .collect();
    assert_eq!(notices, ["NOTICE: Updated 10 of 40 users\\u{1b}[31m", "WARNING: careful"]);
    let progress = progress.borrow().clone().unwrap();
    assert_eq!((progress.done, progress.total), (10, 40));
}

#[tokio::test]
async fn copied_data_is_carried_over() {
    let bench = Bench::new().await;
    let sql = "CREATE TABLE a (id int, name text);\nCOPY a (id, name) FROM stdin;\n1\tone\n2\t\\N\n\\.\nINSERT INTO a VALUES (3);";
    let report = applied(bench.migrate(&migration("001_a", &[("up.sql", sql)])).await);
    assert_eq!(report.rows, 3);
    assert_eq!(bench.value("SELECT string_agg(concat(id, name), ',' ORDER BY id) FROM a").await, "1one,2,3");
}

#[tokio::test]
async fn a_lock_is_let_go_and_tried_again_until_its_holder_ends() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE users (id int)").await;
    let holder = bench.test.client().await.unwrap();
    holder.batch_execute("SET application_name = 'report'; BEGIN; SELECT FROM users").await.unwrap();
    // The script's own setting must not bring the queue back.
    let sql = "CREATE TABLE a (id int); SET lock_timeout = 0; ALTER TABLE users ADD a int";
    let running = bench.spawn(&migration("001_a", &[("up.sql", sql)]));
    running.said("LockWait").await;
    // A reader gets in beside it; behind a queue it would wait for ever.
    bench.execute("SET lock_timeout = '20s'; SELECT FROM users").await;
    until("the blocker is named", || async {
        running.reporter.lines_after(0).iter().any(|(_, line)| {
            matches!(line, LogLine::LockWait { index: 2, blockers, .. }
                if blockers.iter().any(|b| b.application == "report" && b.state == "idle in transaction"))
        })
    })
    .await;
    holder.batch_execute("COMMIT").await.unwrap();
    let reporter = running.reporter.clone();
    let report = applied(running.end().await);
    assert!(report.lock_retries > 0);
    let started =
        reporter.lines_after(0).iter().filter(|(_, l)| matches!(l, LogLine::StatementStarted { .. })).count();
    assert_eq!(started, 3, "each statement is told of once");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_lock_that_never_comes_is_a_failure_that_names_the_blocker() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE users (id int)").await;
    let holder = bench.test.client().await.unwrap();
    holder.batch_execute("SET application_name = 'report'; BEGIN; SELECT FROM users").await.unwrap();
    let mut work = work(&migration("001_a", &[("up.sql", "ALTER TABLE users ADD a int")]));
    work.locks.lock_retry_for = Duration::from_secs(1);
    let error = failure(bench.spawn_work(work).end().await);
    assert_eq!((error.class, error.effect), (ErrorClass::Lock, Effect::None));
    assert!(error.hint.as_ref().unwrap().contains("report as postgres, idle in transaction"), "{error:?}");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_cancelled_step_stops_its_statement_and_leaves_nothing() {
    let bench = Bench::new().await;
    let running =
        bench.spawn(&migration("001_a", &[("up.sql", "CREATE TABLE a (id int); SELECT pg_sleep(60)")]));
    running.said("StatementStarted { index: 1 }").await;
    running.cancel.cancel();
    let error = failure(running.end().await);
    assert_eq!((error.class, error.effect), (ErrorClass::Cancelled, Effect::None));
    assert_eq!(bench.value("SELECT to_regclass('a') IS NULL").await, "t");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_user_who_may_not_make_the_ledger_is_told_what_to_grant() {
    let bench = Bench::new().await;
    let role = format!("limited_{}", bench.test.name());
    bench.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await;
    let url = bench.test.url();
    let behind = url.split_once('@').unwrap().1;
    let mut context = bench.context(stopover_model::event::StepKind::Migrate);
    context.database = database(&format!("postgresql://{role}:x@{behind}"));
    let one = migration("001_a", &[("up.sql", "SELECT 1")]);
    let error = failure(stopover_agent::migrate::run(context, work(&one)).await);
    bench.execute(&format!("DROP ROLE {role}")).await;
    assert_eq!(error.class, ErrorClass::Setup);
    assert!(error.hint.as_ref().unwrap().starts_with("GRANT CREATE ON DATABASE"), "{error:?}");
}

#[tokio::test]
async fn a_new_enum_value_may_be_used_by_the_next_statement() {
    let bench = Bench::new().await;
    bench.execute("CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE a (m mood)").await;
    let sql = "ALTER TYPE mood ADD VALUE 'glad';\nINSERT INTO a VALUES ('glad');";
    assert_eq!(applied(bench.migrate(&migration("001_a", &[("up.sql", sql)])).await).rows, 1);
}

#[tokio::test]
async fn a_script_may_take_on_a_role_that_knows_nothing_of_the_ledger() {
    let bench = Bench::new().await;
    let role = format!("owner_{}", bench.test.name());
    bench.execute(&format!("CREATE ROLE {role}; CREATE SCHEMA app AUTHORIZATION {role}")).await;
    let tables = "CREATE TABLE a (id int)";
    for (id, sql) in [
        ("001_a", format!("SET ROLE {role}; SET search_path = app; {tables}; ALTER TABLE a ADD b int")),
        ("002_b", format!("SET search_path = app; SET ROLE {role}; VACUUM a; CREATE TABLE c (id int)")),
    ] {
        applied(bench.migrate(&migration(id, &[("up.sql", &sql)])).await);
    }
    let owners = "SELECT string_agg(DISTINCT tableowner, ',') || ' ' || count(*) FROM pg_tables WHERE schemaname = 'app'";
    assert_eq!(bench.value(owners).await, format!("{role} 2"));
    bench.assert_clean().await;
    bench.execute(&format!("DROP SCHEMA app CASCADE; DROP ROLE {role}")).await;
}
