use std::time::{Duration, Instant};

use stopover_cluster::{Cluster, TestDatabase};
use stopover_model::event::StepKind;
use stopover_model::report::{Inspection, Outcome, StepReport};
use tokio_postgres::Client;

use super::*;
use crate::inspect::{self, InspectRequest};
use crate::testing::{context, migration, prepared};

const USERS: &str = "CREATE TABLE users (id int PRIMARY KEY, name text);
    INSERT INTO users SELECT n, 'name ' || n FROM generate_series(1, 2000) n; ANALYZE users";

async fn measured(url: &str, tables: Vec<u32>) -> Metrics {
    let request = MeasureRequest { tables, system_identifier: String::new() };
    match run(&context(url, StepKind::Measure), &request).await {
        Outcome::Succeeded { report: StepReport::Measured(metrics) } => metrics,
        other => panic!("{other:?}"),
    }
}

/// Counters come to be seen up to a second after what they count.
async fn until(url: &str, tables: &[u32], seen: impl Fn(&Metrics) -> bool) -> Metrics {
    let started = Instant::now();
    loop {
        let metrics = measured(url, tables.to_vec()).await;
        if seen(&metrics) {
            return metrics;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{metrics:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn oid(client: &Client, table: &str) -> u32 {
    client.query_one(&format!("SELECT '{table}'::regclass::oid"), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn scans_dead_rows_and_sizes_are_those_of_the_database() {
    let database = prepared(USERS).await;
    let client = database.client().await.unwrap();
    let users = oid(&client, "users").await;
    let first = until(database.url(), &[users], |m| m.tables[0].rows == 2000).await;
    assert_eq!(first.tables[0].table, "public.users");
    assert!(first.since.is_some_and(|since| since < first.at), "{first:?}");
    assert!(first.since_of_server, "nobody has reset this database's");
    assert_eq!(first.tables[0].indexes[0].index, "public.users_pkey");
    for _ in 0..5 {
        client.batch_execute("SELECT count(*) FROM users WHERE name = 'x'").await.unwrap();
    }
    client.batch_execute("SET enable_seqscan = off; SELECT * FROM users WHERE id = 7").await.unwrap();
    client.batch_execute("UPDATE users SET name = name || '!' WHERE id <= 500").await.unwrap();
    drop(client);
    let seen = |m: &Metrics| {
        let (then, now) = (&first.tables[0], &m.tables[0]);
        now.seq_scans >= then.seq_scans + 5
            && now.indexes[0].scans > then.indexes[0].scans
            && now.dead_rows >= 500
    };
    let second = until(database.url(), &[users], seen).await;
    assert!(second.tables[0].bytes > first.tables[0].bytes);
    assert!(second.at > first.at && second.since == first.since);
    // Somebody resets them: from then on they are the database's own.
    let client = database.client().await.unwrap();
    client.batch_execute("SELECT pg_stat_reset()").await.unwrap();
    let reset = until(database.url(), &[users], |m| !m.since_of_server).await;
    assert!(reset.since > first.since && reset.tables[0].seq_scans == 0, "{reset:?}");
}

#[tokio::test]
async fn a_partitioned_table_counts_as_one() {
    let database = prepared(
        "CREATE TABLE logs (id int, day date) PARTITION BY RANGE (day);
         CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
         CREATE TABLE logs_2 PARTITION OF logs FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
         CREATE INDEX logs_day ON logs (day);
         INSERT INTO logs SELECT n, '2026-01-15'::date + n % 40 FROM generate_series(1, 1000) n",
    )
    .await;
    let client = database.client().await.unwrap();
    let logs = oid(&client, "logs").await;
    client.batch_execute("SELECT count(*) FROM logs").await.unwrap();
    drop(client);
    let seen =
        until(database.url(), &[logs], |m| m.tables[0].seq_scans >= 2 && m.tables[0].rows == 1000).await;
    let names: Vec<&str> = seen.tables[0].indexes.iter().map(|i| i.index.as_str()).collect();
    assert_eq!(names, ["public.logs_day"], "with its parts");
    assert!(seen.tables[0].indexes[0].bytes > 0);
}

#[tokio::test]
async fn a_table_that_is_gone_or_renamed_is_no_error() {
    let database = prepared("CREATE TABLE a (id int); CREATE TABLE b (id int)").await;
    let client = database.client().await.unwrap();
    let (a, b) = (oid(&client, "a").await, oid(&client, "b").await);
    client
        .batch_execute("DROP TABLE a; ALTER TABLE b RENAME TO c; CREATE VIEW b AS SELECT * FROM c")
        .await
        .unwrap();
    let seen = measured(database.url(), vec![a, b]).await;
    let tables: Vec<(u32, &str)> = seen.tables.iter().map(|t| (t.oid, t.table.as_str())).collect();
    assert_eq!(tables, [(b, "public.c")]);
}

#[tokio::test]
async fn a_table_that_somebody_alters_is_looked_at_later() {
    let database = prepared("CREATE TABLE a (id int)").await;
    let client = database.client().await.unwrap();
    let a = oid(&client, "a").await;
    client.batch_execute("BEGIN; LOCK TABLE a IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let request = MeasureRequest { tables: vec![a], system_identifier: String::new() };
    let outcome = run(&context(database.url(), StepKind::Measure), &request).await;
    assert_eq!(outcome.error().unwrap().class, ErrorClass::Transient, "{outcome:?}");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(measured(database.url(), vec![a]).await.tables.len(), 1);
}

#[tokio::test]
async fn an_inspection_has_what_a_soak_is_compared_with_where_something_is_to_be_applied() {
    let database = prepared(USERS).await;
    let asked = |migrations| InspectRequest { migrations, sample: None, backup: None };
    let inspection = |outcome: Outcome| -> Inspection {
        match outcome {
            Outcome::Succeeded { report: StepReport::Inspected(inspection) } => inspection,
            other => panic!("{other:?}"),
        }
    };
    let adds = migration(&[("up.sql", "ALTER TABLE users ADD done boolean; CREATE TABLE later (id int)")]);
    let context = context(database.url(), StepKind::Inspect);
    let metrics = inspection(inspect::run(&context, &asked(vec![adds])).await).metrics.unwrap();
    assert_eq!(metrics.tables.iter().map(|t| t.table.as_str()).collect::<Vec<_>>(), ["public.users"]);
    let note = metrics.statements_note.unwrap();
    assert!(note.contains("pg_stat_statements is not installed in this database"), "{note}");
}

#[tokio::test]
async fn statements_are_known_by_their_ids_where_pg_stat_statements_is_there() {
    let cluster = Cluster::builder()
        .name("statements")
        .setting("shared_preload_libraries", "pg_stat_statements")
        .start()
        .await
        .unwrap();
    let database = TestDatabase::create(&cluster).await.unwrap();
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "CREATE SCHEMA \"My stats\"; CREATE EXTENSION pg_stat_statements SCHEMA \"My stats\";
             CREATE ROLE limited LOGIN PASSWORD 'p'",
        )
        .await
        .unwrap();
    for n in 0..30 {
        client.batch_execute(&format!("SELECT {n}, pg_sleep(0.002)")).await.unwrap();
    }
    let seen = measured(database.url(), vec![]).await;
    assert_eq!((seen.statements_note, seen.statements_since.is_some()), (None, true));
    let slept = seen.statements.iter().find(|s| s.calls == 30).expect("it is there once, without its values");
    assert!(slept.took >= Duration::from_millis(60), "{slept:?}");
    // Another role sees its own, and says that it does.
    client.batch_execute("GRANT ALL ON SCHEMA \"My stats\" TO limited").await.unwrap();
    let url =
        format!("host=127.0.0.1 port={} user=limited password=p dbname={}", cluster.port(), database.name());
    let seen = measured(&url, vec![]).await;
    assert!(seen.statements.iter().all(|s| s.calls != 30));
    assert!(seen.statements_note.unwrap().contains("GRANT pg_read_all_stats TO limited"));
}

#[tokio::test]
async fn an_extension_whose_library_is_not_loaded_is_only_said() {
    let database = prepared("CREATE EXTENSION pg_stat_statements").await;
    let seen = measured(database.url(), vec![]).await;
    let note = seen.statements_note.unwrap();
    assert!(note.contains("shared_preload_libraries"), "{note}");
    assert!(seen.statements.is_empty());
}
