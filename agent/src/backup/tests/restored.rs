//! The level `restored`: what is proven, what is caught, and that nothing stays behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stopover_model::report::RestoreProof;
use tokio_postgres::Client;

use super::*;
use crate::scratch::Scratch;

/// One of everything that a comparison could trip over.
const ALL_SORTS: &str = r#"
CREATE SCHEMA ext; CREATE EXTENSION pg_trgm SCHEMA ext; CREATE EXTENSION hstore;
COMMENT ON EXTENSION hstore IS 'pairs';
CREATE TABLE users (id bigserial PRIMARY KEY, gone int, email text, mood real, weight float8, seen timestamptz, span interval,
    raw bytea, tags hstore, doc jsonb, price money, length int GENERATED ALWAYS AS (length(email)) STORED);
ALTER TABLE users DROP COLUMN gone;
INSERT INTO users (email, mood, weight, seen, span, raw, tags, doc, price)
SELECT md5(i::text), i / 3.0, i / 7.0, now(), make_interval(secs => i), decode(md5(i::text), 'hex'), 'a=>1', '{"b": [1]}', i
FROM generate_series(1, 5000) i;
CREATE INDEX ON users USING gin (email ext.gin_trgm_ops);
CREATE TABLE "We""ird; t" ("a b" int, "A" text);
INSERT INTO "We""ird; t" VALUES (1, E'tab\tand\nline'), (1, E'tab\tand\nline'), (NULL, NULL);
CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
CREATE UNLOGGED TABLE quick (a int); INSERT INTO quick VALUES (1);
CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 2), (3, 4);
CREATE TABLE events (at date, n int) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO events VALUES ('2026-05-05', 1);
CREATE TABLE orders (id int PRIMARY KEY, user_id bigint REFERENCES users);
INSERT INTO orders VALUES (1, 1);
ALTER TABLE orders ENABLE ROW LEVEL SECURITY; ALTER TABLE orders FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON orders USING (user_id = 1);
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM users;
CREATE MATERIALIZED VIEW later AS SELECT count(*) FROM users WITH NO DATA;
DELETE FROM users WHERE id = 5000;
CREATE SEQUENCE odd INCREMENT -3 MAXVALUE 100 START 100; SELECT nextval('odd'), nextval('odd');
CREATE SEQUENCE untouched;
SELECT lo_from_bytea(4711, 'a large object'); SELECT lo_create(4712);
CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE $$x$$; END';
CREATE EVENT TRIGGER noted ON ddl_command_end EXECUTE FUNCTION noted();
CREATE VIEW named AS SELECT id, email FROM users WHERE email <> '';
ANALYZE"#;

fn restored() -> BackupRequest {
    BackupRequest::at(BackupLevel::Restored)
}

/// Of this process's own deployment, so that tests beside each other don't meet.
fn context_of(source: &stopover_cluster::TestDatabase) -> StepContext {
    context(source.url(), StepKind::Backup)
}

/// Databases and roles of the step's scratch.
async fn scratches(client: &Client, context: &StepContext) -> Vec<String> {
    let sql = "SELECT datname::text FROM pg_database WHERE datname = $1
        UNION ALL SELECT rolname::text FROM pg_roles WHERE rolname = $1";
    let name = crate::scratch::name_of(context);
    client.query(sql, &[&name]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn every_sort_of_table_compares_equal_and_nothing_stays() {
    let source = prepared(ALL_SORTS).await;
    let client = source.client().await.unwrap();
    // The leavings of a CREATE INDEX CONCURRENTLY that failed: a dump does not have it.
    client.batch_execute("CREATE INDEX CONCURRENTLY broken ON users ((1 / (id - 1)))").await.unwrap_err();
    client
        .batch_execute("REFRESH MATERIALIZED VIEW totals; DELETE FROM users WHERE id = 4999")
        .await
        .unwrap();
    let place = place();
    let context = context_of(&source);
    let report = report(run(&context, &place.settings, &restored()).await);
    assert_eq!(report.level, BackupLevel::Restored);
    let RestoreProof { tables, rows, sequences, large_objects, .. } = report.proof.unwrap();
    assert_eq!((tables, rows, sequences, large_objects), (8, 4998 + 3 + 2 + 1 + 1 + 2 + 1 + 1, 3, 2));
    assert_eq!(scratches(&client, &context).await, Vec::<String>::new());
    assert!(place.scratch_is_empty());
    assert_eq!(messages(&context), Vec::<String>::new());
    // Asked again, it answers from the manifest.
    let again = super::report(run(&context, &place.settings, &restored()).await);
    assert_eq!((again.proof, again.sha256), (report.proof, report.sha256));
}

#[tokio::test]
async fn a_table_that_changes_meanwhile_compares_equal() {
    let source = prepared(TABLES).await;
    let writer = source.client().await.unwrap();
    writer.batch_execute("CREATE TABLE log (id serial, at timestamptz DEFAULT now())").await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let stop = Arc::clone(&stop);
        tokio::spawn(async move {
            let mut written = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let change = "INSERT INTO log DEFAULT VALUES; UPDATE users SET email = email || '!' WHERE id % 100 = 1;
                    DELETE FROM users WHERE id = (SELECT max(id) FROM users)";
                writer.batch_execute(change).await.unwrap();
                written += 1;
            }
            written
        })
    };
    let place = place();
    let context = context_of(&source);
    let report = report(run(&context, &place.settings, &restored()).await);
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 5);
    assert_eq!(report.proof.unwrap().tables, 2);
}

#[tokio::test]
async fn a_copy_that_differs_is_named_and_is_no_backup() {
    // The function has changed since: a restore computes other values than the table has.
    let source = prepared(
        "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + 1';
         CREATE TABLE computed (a int, b int GENERATED ALWAYS AS (f(a)) STORED); INSERT INTO computed VALUES (1), (2);
         CREATE TABLE fine (a int); INSERT INTO fine VALUES (1);
         CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + 2'",
    )
    .await;
    let place = place();
    let context = context_of(&source);
    let outcome = run(&context, &place.settings, &restored()).await;
    let error = error(&outcome);
    assert_eq!(error.class, ErrorClass::Check);
    assert_eq!(
        error.message,
        "the restored copy differs from the database, so the backup is none: public.computed: 2 rows in both, with other values"
    );
    assert_eq!(place.files(), Vec::<String>::new());
    let client = source.client().await.unwrap();
    assert_eq!(scratches(&client, &context).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_does_not_restore_is_no_backup_and_code_in_it_has_no_powers() {
    // A check that only a superuser gets through, as a function of somebody who waits for a careless restore.
    let source = prepared(
        "CREATE FUNCTION trap(a int) RETURNS bool LANGUAGE plpgsql AS $$
         BEGIN
             IF current_database() LIKE 'stopover_scratch%' THEN ALTER ROLE postgres CONNECTION LIMIT -1; END IF;
             RETURN true;
         END $$;
         CREATE TABLE trapped (a int CHECK (trap(a))); INSERT INTO trapped VALUES (1)",
    )
    .await;
    let place = place();
    let context = context_of(&source);
    let outcome = run(&context, &place.settings, &restored()).await;
    let error = error(&outcome);
    assert_eq!(error.class, ErrorClass::Setup);
    assert!(
        error.message.starts_with("the backup does not restore, so it is none: pg_restore failed")
            && error.message.contains("must be superuser"),
        "{}",
        error.message
    );
    assert_eq!(place.files(), Vec::<String>::new());
    assert_eq!(scratches(&source.client().await.unwrap(), &context).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_kept_copy_is_found_and_has_the_rows() {
    let source = prepared(TABLES).await;
    let place = place();
    let context = context_of(&source);
    let request = BackupRequest { keep_restored: true, ..restored() };
    report(run(&context, &place.settings, &request).await);
    let copy = Scratch::find(&context).await.unwrap().unwrap();
    let session = copy.database().connect(&crate::postgres::Purpose::tidying()).await.unwrap();
    let row = session.client().query_one("SELECT count(*) FROM users", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 20_000);
    session.close().await;
    copy.remove().await;
}

#[tokio::test]
async fn a_cancelled_proof_leaves_neither_file_nor_scratch() {
    let source = prepared("").await;
    let client = source.client().await.unwrap();
    // The restore waits in a check for as long as it is let.
    client
        .batch_execute(
            "CREATE FUNCTION slow(a int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
             BEGIN
                 IF current_database() LIKE 'stopover_scratch%' THEN PERFORM pg_sleep(600); END IF;
                 RETURN true;
             END $$;
             CREATE TABLE slow (a int CHECK (slow(a))); INSERT INTO slow VALUES (1)",
        )
        .await
        .unwrap();
    let place = place();
    let context = context_of(&source);
    let (of_run, settings) = (context.clone(), place.settings.clone());
    let running = tokio::spawn(async move { run(&of_run, &settings, &restored()).await });
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'stopover\\_scratch%' AND wait_event = 'PgSleep' AND application_name LIKE $1";
    let name = format!("stopover/{}/%", context.deployment);
    let waits = async {
        while client.query_one(sleeping, &[&name]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waits).await.expect("the restore sleeps");
    context.cancel.cancel();
    let outcome = tokio::time::timeout(Duration::from_secs(30), running).await.unwrap().unwrap();
    assert_eq!(error(&outcome).class, ErrorClass::Cancelled);
    assert_eq!(place.files(), Vec::<String>::new());
    assert!(place.scratch_is_empty());
    assert_eq!(scratches(&client, &context).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_was_changed_does_not_restore_unnoticed() {
    let source = prepared(TABLES).await;
    let place = place();
    let context = context_of(&source);
    let good = report(run(&context, &place.settings, &decoded()).await);
    let programs = programs::find(&ProgramPaths::default(), 150_000).await.unwrap();
    let bytes = std::fs::read(&good.path).unwrap();
    let bad = place.root.path().join("bad");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for wrong in [&flipped[..], &bytes[..bytes.len() - 1], &bytes[..bytes.len() / 2], &[]] {
        std::fs::write(&bad, wrong).unwrap();
        let scratch = Scratch::create(&context).await.unwrap();
        let restore = &restore::Restore {
            programs: &programs,
            scratch_directory: &place.settings.scratch,
            path: &bad,
            written: archive::Written { bytes: good.bytes, sha256: good.sha256, dump_bytes: 0 },
            partial: false,
        };
        let error = restore.into(&context, &scratch).await.unwrap_err();
        scratch.remove().await;
        assert!(error.message.contains("so it is none"), "{}", error.message);
    }
    assert!(place.scratch_is_empty());
}
