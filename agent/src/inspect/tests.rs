use std::time::Duration;

use stopover_model::event::StepKind;
use stopover_model::report::Inspection;

use super::*;
use crate::testing::{context, migration, prepared};

async fn inspection(url: &str, migrations: Vec<Migration>) -> Inspection {
    match run(&context(url, StepKind::Inspect), &InspectRequest { migrations, sample: None, backup: None })
        .await
    {
        Outcome::Succeeded { report: StepReport::Inspected(inspection) } => inspection,
        other => panic!("{other:?}"),
    }
}

fn adds_a_column(table: &str) -> Migration {
    let toml = format!("table = '{table}'");
    let up = format!(
        "ALTER TABLE {table} ADD COLUMN done boolean; CREATE INDEX i ON {table} (done); CREATE TABLE extra (id int)"
    );
    migration(&[("up.sql", &up), ("migration.toml", &toml)])
}

#[tokio::test]
async fn an_untouched_database_is_described() {
    let database =
        prepared("CREATE TABLE users (id int); INSERT INTO users SELECT generate_series(1, 1234)").await;
    let found = inspection(database.url(), vec![adds_a_column("users"), adds_a_column("missing")]).await;
    assert!(found.server_version_num >= 150_000 && found.server_version.starts_with("15."), "{found:?}");
    assert_eq!(found.database, database.name());
    assert!(!found.in_recovery && found.system_identifier.parse::<u64>().is_ok(), "{found:?}");
    assert!(found.database_bytes > 1_000_000);
    let users = &found.tables[0];
    assert_eq!((users.rows, users.rows_counted, users.exists), (1234, true, true));
    assert!(users.total_bytes >= 8192);
    assert!(!found.tables[1].exists);
    assert_eq!((found.existing, found.ledger, found.locks), (vec![], vec![], vec![]));
    assert_eq!(found.warnings, Vec::<String>::new());
}

#[tokio::test]
async fn hostile_names_are_only_names() {
    let setup = "CREATE SCHEMA \"a.b\"; CREATE TABLE \"a.b\".\"users; DROP TABLE x\" (id int, done boolean);
        INSERT INTO \"a.b\".\"users; DROP TABLE x\" VALUES (1); CREATE INDEX i ON \"a.b\".\"users; DROP TABLE x\" (id)";
    let database = prepared(setup).await;
    let found = inspection(database.url(), vec![adds_a_column("\"a.b\".\"users; DROP TABLE x\"")]).await;
    assert_eq!(found.tables[0].rows, 1);
    let existing: Vec<&str> = found.existing.iter().map(|e| e.object.as_str()).collect();
    let table = "\"a.b\".\"users; DROP TABLE x\"";
    assert_eq!(existing, [format!("column {table}.done (boolean)"), format!("index i on {table}")]);
}

#[tokio::test]
async fn others_at_work_are_shown_without_their_queries() {
    let database = prepared("CREATE TABLE users (id int)").await;
    let other = database.client().await.unwrap();
    let statements = "SET application_name = 'batch\u{1b}[2J'; BEGIN; LOCK TABLE users IN SHARE MODE; SELECT 'top secret', pg_sleep(5.2)";
    other.batch_execute(statements).await.unwrap();
    let found = inspection(database.url(), vec![adds_a_column("users")]).await;
    let long = &found.long_running[0];
    assert_eq!((long.state.as_str(), long.user.as_str()), ("idle in transaction", "postgres"));
    assert!(
        long.transaction_age > Duration::from_secs(5) && !long.application.contains('\u{1b}'),
        "{long:?}"
    );
    let lock = &found.locks[0];
    assert_eq!((lock.table.as_str(), lock.mode.as_str(), lock.granted), ("users", "ShareLock", true));
    assert_eq!(lock.holder.pid, long.pid);
    assert!(!format!("{found:?}").contains("secret"));
}

#[tokio::test]
async fn a_dump_is_shown_from_its_first_moment_and_an_ordinary_transaction_is_not() {
    let database = prepared("CREATE TABLE users (id int)").await;
    let begin = |application| format!("SET application_name = '{application}'; BEGIN; SELECT FROM users");
    let (dump, other) = (database.client().await.unwrap(), database.client().await.unwrap());
    dump.batch_execute(&begin("pg_dump")).await.unwrap();
    other.batch_execute(&begin("app")).await.unwrap();
    let found = inspection(database.url(), vec![adds_a_column("users")]).await;
    let shown: Vec<&str> = found.long_running.iter().map(|s| s.application.as_str()).collect();
    assert_eq!(shown, ["pg_dump"]);
}

#[tokio::test]
async fn a_table_that_can_not_be_counted_is_estimated() {
    let setup =
        "CREATE TABLE users (id int); INSERT INTO users SELECT generate_series(1, 5000); ANALYZE users";
    let database = prepared(setup).await;
    let other = database.client().await.unwrap();
    other.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let found = inspection(database.url(), vec![adds_a_column("users")]).await;
    let users = &found.tables[0];
    assert_eq!((users.rows, users.rows_counted), (5000, false));
    assert_eq!(found.locks[0].mode, "AccessExclusiveLock");
}

#[tokio::test]
async fn partitions_count_for_their_table() {
    let setup = "CREATE TABLE users (id int) PARTITION BY RANGE (id);
        CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (0) TO (1000000);
        INSERT INTO users SELECT generate_series(1, 700)";
    let database = prepared(setup).await;
    let users = inspection(database.url(), vec![adds_a_column("users")]).await.tables.remove(0);
    assert_eq!((users.rows, users.rows_counted), (700, true));
    assert!(users.total_bytes > 0);
}

#[tokio::test]
async fn what_an_ordinary_role_can_not_see_is_said() {
    let database = prepared("CREATE TABLE users (id int); INSERT INTO users VALUES (1)").await;
    let admin = database.client().await.unwrap();
    let role = format!("role_{}", database.name());
    let grant = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'a:b\\c'; GRANT CONNECT ON DATABASE {} TO {role}",
        database.name()
    );
    admin.batch_execute(&grant).await.unwrap();
    let config = database.config();
    let url = format!(
        "host=127.0.0.1 port={} user={role} password='a:b\\\\c' dbname={}",
        config.get_ports()[0],
        database.name()
    );
    let found = inspection(&url, vec![adds_a_column("users")]).await;
    let said = found.warnings.join("\n");
    assert!(said.contains("could not count the rows of users"), "{said}");
    assert!(said.contains("GRANT pg_read_all_stats"), "{said}");
    assert!(!found.tables[0].rows_counted);
    admin.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn an_invalid_index_is_worth_a_word() {
    let setup = "CREATE TABLE users (id int); CREATE INDEX broken ON users (id);
        UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass";
    let database = prepared(setup).await;
    let found = inspection(database.url(), vec![adds_a_column("users")]).await;
    assert!(found.warnings[0].contains("the index broken on users is invalid"), "{:?}", found.warnings);
}

#[tokio::test]
async fn a_table_name_that_is_none_is_shown_with_its_file() {
    let database = prepared("").await;
    let toml = "table = 'users; DROP TABLE x'";
    let request = InspectRequest {
        migrations: vec![migration(&[("up.sql", "SELECT 1"), ("migration.toml", toml)])],
        sample: None,
        backup: None,
    };
    let outcome = run(&context(database.url(), StepKind::Inspect), &request).await;
    let error = outcome.error().unwrap();
    assert!(error.message.starts_with("001_x/migration.toml: `table`:"), "{}", error.message);
}

#[tokio::test]
async fn what_a_directory_of_small_migrations_would_do_costs_next_to_nothing() {
    let database = prepared("CREATE TABLE users (id int)").await;
    let one = |n: usize| {
        let sql = format!("CREATE TABLE t{n} (id int PRIMARY KEY, name text); CREATE INDEX ON t{n} (name)");
        migration(&[("up.sql", &sql)])
    };
    let migrations: Vec<Migration> = (0..500).map(one).collect();
    let found = inspection(database.url(), migrations).await;
    assert_eq!((found.impacts, found.warnings), (vec![], vec![]), "nobody waits for what is new");
    let locks = |_| migration(&[("up.sql", "LOCK TABLE users; ALTER TABLE users ADD a int")]);
    let found = inspection(database.url(), (0..150).map(locks).collect()).await;
    assert_eq!(found.impacts.iter().map(|script| script.statements.len()).sum::<usize>(), 200);
    assert!(found.warnings[0].contains("what 100 more statements lock"), "{:?}", found.warnings);
}
