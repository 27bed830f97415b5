//! Rehearsals on a real PostgreSQL: a database beside the one that they are for stands for its copy.

use std::time::Duration;

use stopover_cluster::TestDatabase;
use stopover_model::event::StepKind;
use stopover_model::impact::LockMode;
use stopover_model::report::{RehearsalReport, RehearsedRun};

use super::*;
use crate::testing::{context, database, messages, prepared};

const USERS: &str = "CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL); \
    INSERT INTO users SELECT n, 'User' || n || '@example.org' FROM generate_series(1, 2000) AS n";

/// The database, and one that holds the same.
struct Pair {
    live: TestDatabase,
    copy: TestDatabase,
}

struct Rehearsed {
    report: RehearsalReport,
    ended: Result<(), StepError>,
    messages: Vec<String>,
}

impl Pair {
    async fn of(sql: &str) -> Self {
        Self { live: prepared(sql).await, copy: prepared(sql).await }
    }

    fn copy(&self) -> Copy {
        Copy {
            database: database(self.copy.url()),
            of: "a copy".into(),
            unprivileged: false,
            on_live_server: true,
        }
    }

    async fn rehearse(&self, work: RehearseWork) -> Rehearsed {
        let context = context(self.live.url(), StepKind::Rehearse);
        let (report, ended) = on_copy(&context, self.copy(), &work).await;
        Rehearsed { report, ended, messages: messages(&context) }
    }
}

fn migration(id: &str, files: &[(&str, &str)]) -> (Migration, Variant) {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    (Migration::parse(id.parse().unwrap(), files).unwrap(), Variant::Standard)
}

fn work(migrations: Vec<(Migration, Variant)>) -> RehearseWork {
    RehearseWork {
        migrations,
        locks: LockSettings::default(),
        backfill: BackfillSettings::default(),
        allow_cluster_effects: false,
        backup_attempt: Attempt(1),
        system_identifier: String::new(),
        only_tables: Vec::new(),
        limits: Limits::default(),
    }
}

/// Of `up`, by the statements' places.
fn places(run: Option<&RehearsedRun>) -> Vec<u32> {
    run.unwrap().statements.iter().map(|s| s.index).collect()
}

#[tokio::test]
async fn up_verify_down_and_up_again_are_measured_and_compared() {
    let pair = Pair::of(USERS).await;
    let up = "ALTER TABLE users ADD COLUMN done boolean; UPDATE users SET done = true; CREATE INDEX users_done ON users (done)";
    let toml = "[[verify]]\nname = \"all are done\"\nsql = \"SELECT count(*) FROM users WHERE done\"\nexpect = 2000\n\
        [[verify]]\nname = \"the index is used\"\nsql = \"SELECT * FROM users WHERE NOT done\"\nuses_index = \"users_done\"";
    let files =
        [("up.sql", up), ("down.sql", "ALTER TABLE users DROP COLUMN done"), ("migration.toml", toml)];
    let Rehearsed { report, ended, messages } = pair.rehearse(work(vec![migration("001_x", &files)])).await;
    ended.unwrap();
    let rehearsed = &report.migrations[0];
    assert!(rehearsed.came_back(), "{rehearsed:?}");
    assert!(rehearsed.changed_rows.is_empty() && rehearsed.tables_compared == 1, "{rehearsed:?}");
    assert!(rehearsed.checks.len() == 2 && rehearsed.checks.iter().all(|c| c.passed));
    let up = rehearsed.up.as_ref().unwrap();
    assert_eq!(places(Some(up)), [0, 1, 2]);
    assert_eq!(up.statements[1].rows, 2_000);
    assert!(up.statements[1].wal_bytes > 50_000 && up.wal_bytes >= up.statements[1].wal_bytes, "{up:?}");
    let lock = up.worst_lock().unwrap();
    assert_eq!(
        (lock.relation.as_str(), lock.mode, lock.statement),
        ("public.users", LockMode::AccessExclusive, 0)
    );
    let others: Duration = up.statements[1..].iter().map(|s| s.took).sum();
    assert!(lock.held >= others && lock.held <= up.took, "held {:?} of {up:?}", lock.held);
    assert!(
        messages.iter().any(|m| m.starts_with("001_x/up.sql ran on the copy: 3 statements in ")),
        "{messages:?}"
    );
    // Nothing of it is in the database itself.
    let client = pair.live.client().await.unwrap();
    let there = client.query("SELECT FROM pg_attribute WHERE attname = 'done'", &[]).await.unwrap();
    assert!(there.is_empty());
}

#[tokio::test]
async fn a_way_back_that_does_not_restore_is_caught_object_by_object() {
    let pair = Pair::of(USERS).await;
    let up = "ALTER TABLE users ADD COLUMN nick text; CREATE TABLE nicks (a int); ALTER TABLE users ALTER email DROP NOT NULL";
    let files = [("up.sql", up), ("down.sql", "ALTER TABLE users DROP COLUMN nick")];
    let Rehearsed { report, ended, .. } = pair.rehearse(work(vec![migration("001_x", &files)])).await;
    let error = ended.unwrap_err();
    assert_eq!(error.class, ErrorClass::Check);
    assert!(error.message.contains("001_x/down.sql does not bring the schema back: "), "{}", error.message);
    assert!(error.hint.unwrap().contains("let 001_x/down.sql take back all that"));
    let found = &report.migrations[0];
    assert_eq!(found.schema_restored, Some(false));
    assert_eq!(found.differences.len(), 2, "{:?}", found.differences);
    assert!(
        found.differences.iter().any(|d| d.starts_with("column public.users.email changed")),
        "{found:?}"
    );
    assert!(found.differences.iter().any(|d| d.starts_with("table public.nicks is new")), "{found:?}");
    assert!(found.up.is_some() && found.down.is_some() && found.again.is_none());
}

#[tokio::test]
async fn a_statement_that_fails_on_real_data_alone_fails_before_it_is_real() {
    let pair = Pair::of(USERS).await;
    let sql = "UPDATE users SET email = 'User1@example.org' WHERE id = 2";
    pair.copy.client().await.unwrap().batch_execute(sql).await.unwrap();
    let files = [
        ("up.sql", "SELECT 1;\nCREATE UNIQUE INDEX users_email ON users (email)"),
        ("down.sql", "DROP INDEX users_email"),
    ];
    let Rehearsed { report, ended, .. } = pair.rehearse(work(vec![migration("001_x", &files)])).await;
    let error = ended.unwrap_err();
    assert_eq!(error.sqlstate.as_deref(), Some("23505"), "{error:?}");
    assert!(
        error.message.starts_with("on the copy, statement 2 (line 2) of 001_x/up.sql failed"),
        "{error:?}"
    );
    assert!(error.hint.as_ref().unwrap().contains("nothing has touched the database itself"), "{error:?}");
    assert_eq!(error.place.unwrap().line, 2);
    assert!(report.migrations[0].up.is_none());
}

#[tokio::test]
async fn a_way_back_or_a_second_way_there_that_fails_is_told_as_such() {
    let pair = Pair::of(USERS).await;
    let files = [("up.sql", "CREATE TABLE a (a int)"), ("down.sql", "DROP TABLE b")];
    let ended = pair.rehearse(work(vec![migration("001_x", &files)])).await.ended;
    let error = ended.unwrap_err();
    assert!(error.message.starts_with("on the copy the way back fails: "), "{error:?}");
    let pair = Pair::of(USERS).await;
    // Large objects are in no fingerprint.
    let files = [("up.sql", "SELECT lo_create(4711)"), ("down.sql", "SELECT 1")];
    let ended = pair.rehearse(work(vec![migration("001_x", &files)])).await.ended;
    let error = ended.unwrap_err();
    assert!(
        error.message.starts_with("on the copy it does not go up again behind its own way back"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_check_that_does_not_hold_stops_it_and_says_what_was_found() {
    let pair = Pair::of(USERS).await;
    let toml = "[[verify]]\nname = \"none is left\"\nsql = \"SELECT count(*) FROM users\"\nexpect = 0";
    let files = [("up.sql", "SELECT 1"), ("down.sql", "SELECT 1"), ("migration.toml", toml)];
    let Rehearsed { report, ended, .. } = pair.rehearse(work(vec![migration("001_x", &files)])).await;
    let error = ended.unwrap_err();
    assert!(
        error.message.starts_with("on the copy, behind 001_x/up.sql, 1 of 1 verifications failed"),
        "{error:?}"
    );
    assert_eq!(report.migrations[0].checks[0].observed, "2000");
}

#[tokio::test]
async fn rows_that_do_not_come_back_are_counted_and_do_not_stop_it() {
    let sql = "CREATE TABLE orders (id bigint PRIMARY KEY, who bigint REFERENCES users ON DELETE CASCADE); \
        INSERT INTO orders SELECT n, n FROM generate_series(1, 100) AS n; \
        CREATE TABLE other (a int); INSERT INTO other VALUES (1)";
    let pair = Pair::of(&format!("{USERS}; {sql}")).await;
    let files = [
        ("up.sql", "UPDATE users SET email = lower(email) WHERE id > 1990; DELETE FROM users WHERE id <= 20"),
        ("down.sql", "SELECT 1"),
    ];
    let Rehearsed { report, ended, messages } = pair.rehearse(work(vec![migration("001_x", &files)])).await;
    ended.unwrap();
    let mut changed: Vec<String> =
        report.migrations[0].changed_rows.iter().map(ToString::to_string).collect();
    changed.sort();
    assert_eq!(
        changed,
        [
            "public.orders: 80 rows, 100 before; 20 of those are not as they were",
            "public.users: 1,980 rows, 2,000 before; 30 of those are not as they were"
        ]
    );
    assert!(
        messages.iter().any(|m| m.contains("001_x/down.sql does not bring all rows back")),
        "{messages:?}"
    );
}

#[tokio::test]
async fn what_reaches_beyond_the_database_is_left_out_with_all_behind_it() {
    let pair = Pair::of(USERS).await;
    let role = format!("rehearsed_{}", std::process::id());
    let create = format!("CREATE ROLE {role}");
    let drop = format!("DROP ROLE {role}");
    let migrations = || {
        vec![
            migration("001_a", &[("up.sql", "CREATE TABLE a (a int)"), ("down.sql", "DROP TABLE a")]),
            migration("002_b", &[("up.sql", &create), ("down.sql", &drop)]),
            migration("003_c", &[("up.sql", "CREATE TABLE c (a int)"), ("down.sql", "DROP TABLE c")]),
        ]
    };
    let Rehearsed { report, ended, messages } = pair.rehearse(work(migrations())).await;
    ended.unwrap();
    let [a, b, c] = &report.migrations[..] else { panic!("{report:?}") };
    assert!(a.came_back());
    let why = b.not_run.as_ref().unwrap();
    assert_eq!(why, "line 1 of 002_b/up.sql changes roles, which all databases of the server share");
    assert!(c.not_run.as_ref().unwrap().contains("may build on 002_b"), "{c:?}");
    assert!(messages.iter().any(|m| m.starts_with("002_b is not rehearsed: ")), "{messages:?}");

    let pair = Pair::of(USERS).await;
    let all = RehearseWork { allow_cluster_effects: true, ..work(migrations()) };
    let Rehearsed { report, ended, messages } = pair.rehearse(all).await;
    ended.unwrap();
    assert!(report.migrations.iter().all(RehearsedMigration::came_back), "{report:?}");
    assert!(messages.iter().any(|m| m.ends_with("it runs all the same, as is allowed")), "{messages:?}");
    let client = pair.live.client().await.unwrap();
    client.batch_execute(&drop).await.unwrap();
}

#[tokio::test]
async fn backfills_concurrent_indexes_and_blocks_run_as_they_would() {
    let pair = Pair::of(USERS).await;
    let up = "ALTER TABLE users ADD COLUMN plan text;\n-- stopover: backfill batch_time=20ms\n\
        UPDATE users SET plan = 'free' WHERE plan IS NULL;\n\
        CREATE INDEX CONCURRENTLY users_plan ON users (plan);\n\
        DO $$ BEGIN UPDATE users SET plan = 'paid' WHERE id < 10; COMMIT; END $$;";
    let down = "DROP INDEX CONCURRENTLY users_plan; ALTER TABLE users DROP COLUMN plan";
    let files = [("up.sql", up), ("down.sql", down), ("migration.toml", "rerun = \"safe\"")];
    let Rehearsed { report, ended, .. } = pair.rehearse(work(vec![migration("001_x", &files)])).await;
    ended.unwrap();
    let rehearsed = &report.migrations[0];
    assert!(rehearsed.came_back(), "{rehearsed:?}");
    let up = rehearsed.up.as_ref().unwrap();
    assert_eq!(places(Some(up)), [0, 1, 2, 3]);
    assert_eq!(up.statements[1].rows, 2_000);
    assert_eq!(places(rehearsed.again.as_ref()), [0, 1, 2, 3]);
    let seen = rehearsed.notes.iter().any(|n| n.contains("at line 5 do can't be seen beforehand"));
    assert!(seen, "{:?}", rehearsed.notes);
}

#[tokio::test]
async fn without_a_way_back_only_the_way_there_is_rehearsed() {
    let pair = Pair::of(USERS).await;
    let migrations = vec![
        migration("001_x", &[("up.sql", "CREATE TABLE a (a int)")]),
        migration("002_y", &[("up.sql", "ALTER TABLE a ADD b int"), ("down.sql", "ALTER TABLE a DROP b")]),
    ];
    let Rehearsed { report, ended, .. } = pair.rehearse(work(migrations)).await;
    ended.unwrap();
    assert!(report.migrations[0].notes.iter().any(|n| n.starts_with("it has no way back")));
    assert!(report.migrations[0].up.is_some() && report.migrations[0].down.is_none());
    assert!(report.migrations[1].came_back());
}

#[tokio::test]
async fn the_databases_own_settings_count_on_the_copy() {
    let pair = Pair::of("CREATE SCHEMA app; CREATE TABLE app.users (id int)").await;
    let client = pair.live.client().await.unwrap();
    let name: String = client.query_one("SELECT current_database()", &[]).await.unwrap().get(0);
    let set = format!(
        "ALTER DATABASE \"{name}\" SET search_path = app, public; ALTER DATABASE \"{name}\" SET work_mem = '5MB'"
    );
    client.batch_execute(&set).await.unwrap();
    let files = [("up.sql", "ALTER TABLE users ADD nick text"), ("down.sql", "ALTER TABLE users DROP nick")];
    let Rehearsed { report, ended, .. } = pair.rehearse(work(vec![migration("001_x", &files)])).await;
    ended.unwrap();
    assert!(report.migrations[0].came_back());
    let copy = pair.copy.client().await.unwrap();
    let shown: String = copy.query_one("SHOW work_mem", &[]).await.unwrap().get(0);
    assert_eq!(shown, "5MB");
}

#[tokio::test]
async fn a_cancelled_rehearsal_ends_at_once() {
    let pair = Pair::of(USERS).await;
    let context = context(pair.live.url(), StepKind::Rehearse);
    let files = [("up.sql", "SELECT pg_sleep(600)")];
    let work = work(vec![migration("001_x", &files)]);
    let running = Box::pin(on_copy(&context, pair.copy(), &work));
    let cancelling = async {
        let mut progress = context.reporter.watch_progress();
        let begun = progress.wait_for(|p| p.as_ref().is_some_and(|p| p.doing.contains("statement 1 of 1")));
        tokio::time::timeout(Duration::from_mins(1), begun).await.unwrap().unwrap();
        context.cancel.cancel();
    };
    let ((_, ended), ()) =
        tokio::time::timeout(Duration::from_secs(90), async { tokio::join!(running, cancelling) })
            .await
            .unwrap();
    assert_eq!(ended.unwrap_err().class, ErrorClass::Cancelled);
}
