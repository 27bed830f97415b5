//! The sample migration under a bare psql: both variants, run twice, taken back, on the guide's table.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use stopover_cluster::{TestDatabase, seed};
use tokio_postgres::Client;

const COLUMNS: &str = "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped";
const INDEXES: &str =
    "SELECT string_agg(indexname, ' ' ORDER BY indexname) FROM pg_indexes WHERE tablename = 'users'";
const STATES: &str = "SELECT coalesce(onboarding_completed::text, 'none') || ' ' || count(*) FROM users
    GROUP BY onboarding_completed ORDER BY 1";
const IS_VALID: &str =
    "SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'idx_users_onboarding_completed'::regclass";
const PLAN: &str = "EXPLAIN SELECT * FROM users WHERE onboarding_completed = false LIMIT 10";

fn sample(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples/001_add_onboarding_completed").join(file)
}

fn psql(database: &TestDatabase, file: &str) -> String {
    let url = database.url();
    let output = Command::new("psql")
        .args(["-X", "-v", "ON_ERROR_STOP=1", "-d", url, "-f"])
        .arg(sample(file))
        .output();
    let Output { status, stderr, .. } = output.expect("psql is installed with the server");
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success(), "{file}: {said}");
    said
}

async fn texts(client: &Client, sql: &str) -> Vec<String> {
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn seeded(count: u64) -> (TestDatabase, Client) {
    let database = TestDatabase::shared().await.unwrap();
    let client = database.client().await.unwrap();
    seed::users(&client, count, 1).await.unwrap();
    (database, client)
}

async fn assert_migrated(client: &Client, users: u64) {
    client
        .batch_execute(
            "INSERT INTO users (email, name, password_hash) VALUES ('new@example.com', 'New', '-')",
        )
        .await
        .unwrap();
    assert_eq!(texts(client, STATES).await, ["false 1".to_owned(), format!("true {users}")]);
    assert_eq!(texts(client, IS_VALID).await, ["true"]);
    let plan = texts(client, PLAN).await.join("\n");
    assert!(plan.contains("idx_users_onboarding_completed"), "{plan}");
}

#[tokio::test]
async fn the_standard_variant_migrates_twice_and_back() {
    let (database, client) = seeded(20_000).await;
    let before = (texts(&client, COLUMNS).await, texts(&client, INDEXES).await);
    psql(&database, "up.sql");
    psql(&database, "up.sql");
    assert_migrated(&client, 20_000).await;
    psql(&database, "down.sql");
    psql(&database, "down.sql");
    assert_eq!(before, (texts(&client, COLUMNS).await, texts(&client, INDEXES).await));
}

#[tokio::test]
async fn the_batched_variant_tells_its_progress_and_goes_on_where_it_was_killed() {
    const COUNT: u64 = 60_000;
    let (database, client) = seeded(COUNT).await;
    let before = (texts(&client, COLUMNS).await, texts(&client, INDEXES).await);
    client
        .batch_execute(
            "CREATE TABLE touched (id BIGINT, times INT);
             CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO touched VALUES (NEW.id, 1); RETURN NEW; END';
             CREATE TRIGGER touch AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()",
        )
        .await
        .unwrap();

    let mut first = Command::new("psql")
        .args(["-X", "-q", "-d", database.url(), "-f"])
        .arg(sample("up.batch.sql"))
        .spawn()
        .unwrap();
    while texts(&client, "SELECT count(*)::text FROM touched").await == ["0"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ended = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'psql'";
    texts(&client, ended).await;
    first.wait().unwrap();

    let said = psql(&database, "up.batch.sql");
    let last = said.lines().rfind(|line| line.contains("NOTICE:  Updated")).expect("it tells its progress");
    let numbers: Vec<u64> = last.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers[0], numbers[1], "{last}");
    assert!(numbers[1] < COUNT, "some of them were done before: {last}");
    let twice = texts(&client, "SELECT id::text FROM touched GROUP BY id HAVING count(*) > 1").await;
    assert!(twice.is_empty(), "{} rows were touched twice", twice.len());
    assert_eq!(texts(&client, "SELECT count(*)::text FROM touched").await, [COUNT.to_string()]);
    assert_migrated(&client, COUNT).await;

    psql(&database, "down.sql");
    assert_eq!(before, (texts(&client, COLUMNS).await, texts(&client, INDEXES).await));
}

#[tokio::test]
async fn a_table_of_the_demonstration_size_is_migrated_batch_by_batch() {
    let (database, client) = seeded(300_000).await;
    let said = psql(&database, "up.batch.sql");
    assert_eq!(said.lines().filter(|line| line.contains("Updated")).count(), 30, "{said}");
    assert_migrated(&client, 300_000).await;
}
