//! What a migration sees of the schema from within its own transaction, and the session that it leaves to the next one.

use stopover_agent::fingerprint::{self, Counts, Fingerprint, Reach, changes, look_locally};
use stopover_agent::migrate;
use stopover_agent::postgres::{Purpose, Session, SessionName};
use stopover_model::event::StepKind;
use stopover_model::sql::split;

use crate::support::*;

/// Runs a script in a transaction, and gives the look from within it, if there was one.
async fn near(session: &Session, before: &Fingerprint, script: &str) -> Option<Fingerprint> {
    let client = session.client();
    client.batch_execute("BEGIN").await.unwrap();
    let counts = Counts::take(session).await.unwrap();
    client.batch_execute(script).await.unwrap_or_else(|e| panic!("{script}: {e:?}"));
    client.batch_execute("SET LOCAL search_path = ''").await.unwrap();
    let kinds: Vec<_> = split(script).unwrap().iter().map(stopover_model::sql::Statement::kind).collect();
    let looked = look_locally(session, &Reach::of(&kinds), &counts, before).await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    let looked = looked?;
    let whole = fingerprint::take(session).await.unwrap();
    assert_eq!(before.changes_with(&looked), changes(&before.objects, &whole.objects), "{script}");
    assert_eq!(before.digest_with(&looked), whole.digest, "{script}");
    let mut after = before.clone();
    after.take_on(looked);
    Some(after)
}

#[tokio::test]
async fn a_look_from_within_is_what_a_whole_look_gives() {
    let bench = Bench::new().await;
    bench
        .execute(
            "CREATE SCHEMA app; CREATE TABLE old (a int, b int); ALTER TABLE old DROP b; \
             CREATE TABLE shown (a int); CREATE VIEW v AS SELECT * FROM shown; \
             CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent); \
             CREATE TABLE parts (a int) PARTITION BY LIST (a); CREATE TABLE touched (a int); \
             CREATE FUNCTION ddl() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN EXECUTE 'ALTER TABLE shown ADD COLUMN IF NOT EXISTS t int'; RETURN NEW; END $$; \
             CREATE TRIGGER g BEFORE INSERT ON touched FOR EACH ROW EXECUTE FUNCTION ddl(); \
             CREATE FUNCTION sly() RETURNS int LANGUAGE plpgsql AS \
                 $$ BEGIN EXECUTE 'ALTER TABLE old RENAME a TO z'; RETURN 1; END $$",
        )
        .await;
    let name = SessionName::of(&bench.context(StepKind::Migrate));
    let session = bench.database.connect(&Purpose::writing(&name)).await.unwrap();
    let scripts = [
        (
            true,
            "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text NOT NULL DEFAULT 'x')",
        ),
        (
            true,
            "CREATE TABLE app.\"We.ird\" (id serial PRIMARY KEY, u int UNIQUE CHECK (u > 0), e text); \
                CREATE INDEX ON app.\"We.ird\" (lower(e)); ALTER TABLE app.\"We.ird\" ADD COLUMN \"x.y\" int",
        ),
        (
            true,
            "ALTER TABLE t ADD COLUMN b timestamptz NOT NULL DEFAULT now(), ADD COLUMN c int CHECK (c > 0)",
        ),
        (true, "ALTER TABLE t ADD COLUMN IF NOT EXISTS b int; CREATE TABLE IF NOT EXISTS t (z int)"),
        (true, "CREATE UNIQUE INDEX i ON t (a) WHERE b IS NOT NULL; CREATE INDEX j ON t (c) INCLUDE (a)"),
        (true, "INSERT INTO t (a) VALUES ('1'); UPDATE t SET c = 1; DELETE FROM t; SELECT 1"),
        (true, "CREATE TABLE l (LIKE t INCLUDING ALL)"),
        (true, "CREATE TABLE s AS SELECT 1 AS one; CREATE INDEX ON s (one)"),
        (true, "SELECT count(*) FROM t"),
        (true, "CREATE UNLOGGED TABLE n (a int) WITH (fillfactor = 70)"),
        (false, "CREATE TABLE f (t bigint REFERENCES t)"),
        (false, "ALTER TABLE old ADD COLUMN c int"),
        (false, "ALTER TABLE shown ADD COLUMN c int"),
        (false, "ALTER TABLE parent ADD COLUMN c int"),
        (false, "CREATE INDEX ON parts (a)"),
        (false, "CREATE TABLE p1 PARTITION OF parts FOR VALUES IN (1)"),
        (false, "INSERT INTO touched VALUES (1)"),
        (false, "ALTER TABLE t ADD COLUMN sly int NOT NULL DEFAULT sly()"),
        (false, "ALTER TABLE t RENAME TO u"),
        (false, "DROP TABLE n"),
        (false, "COMMENT ON TABLE l IS 'x'"),
        (false, "CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN d AS int"),
        (false, "DO $$ BEGIN CREATE TABLE made (a int); END $$"),
        (false, "CREATE TABLE k (a int); INSERT INTO k VALUES (1)"),
        (true, "CREATE TABLE with_types (a mood, b d)"),
        (
            false,
            "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS \
                 $$ BEGIN NULL; END $$; CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION e()",
        ),
        (false, "CREATE TABLE watched (a int)"),
    ];
    let mut known = fingerprint::take(&session).await.unwrap();
    for (expected, script) in scripts {
        let seen = near(&session, &known, script).await;
        let whole = fingerprint::take(&session).await.unwrap();
        assert_eq!(seen.is_some(), expected, "{script}");
        if let Some(seen) = seen {
            assert_eq!(seen, whole, "{script}");
        }
        known = whole;
    }
    session.close().await;
}

#[tokio::test]
async fn a_session_goes_on_to_the_next_migration_as_good_as_new() {
    let bench = Bench::new().await;
    let parking = parking();
    let migrate = async |id: &str, up: &str| {
        let migration = migration(id, &[("up.sql", up)]);
        let work = migrate::MigrateWork { parking: parking.clone(), ..work(&migration) };
        migrate::run(bench.context(StepKind::Migrate), work).await
    };
    let pid = async |id: &str| {
        let up = format!(
            "CREATE TABLE pid_{id} AS SELECT pg_backend_pid() AS pid, current_setting('search_path') AS path"
        );
        applied(migrate(id, &up).await);
        let row = format!("SELECT pid || ' ' || path FROM pid_{id}");
        bench.value(&row).await
    };
    let first = pid("a").await;
    assert_eq!(pid("b").await, first, "the same session");
    // Whatever a script leaves in its session is gone; so is Stopover's lock when a script lets it go.
    let messy = "SET search_path = pg_temp; CREATE TEMP TABLE pid_c (a int); SELECT pg_advisory_unlock_all()";
    applied(migrate("messy", messy).await);
    assert_eq!(pid("c").await, first);
    let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until("the lock is held between two migrations", || async { bench.value(sql).await == "1" }).await;
    let error = failure(migrate("bad", "SELECT 1/0").await);
    assert!(error.message.contains("division by zero"), "{error:?}");
    assert_ne!(pid("d").await, first, "after a failure the session is not used again");
    // Fingerprints follow one another without a gap.
    let gaps = "SELECT count(*) FROM (SELECT fingerprint_before, lag(fingerprint_after) OVER (ORDER BY applied_at) AS l \
                FROM stopover.migration) AS m WHERE l <> fingerprint_before";
    assert_eq!(bench.value(gaps).await, "0");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_newer_writer_shuts_out_a_session_that_was_left() {
    let bench = Bench::new().await;
    let parking = parking();
    let migrate = async |id: &str| {
        let up = format!("CREATE TABLE made_by_{id} (a int)");
        let migration = migration(id, &[("up.sql", &up)]);
        let work = migrate::MigrateWork { parking: parking.clone(), ..work(&migration) };
        migrate::run(bench.context(StepKind::Migrate), work).await
    };
    applied(migrate("a").await);
    bench.execute("UPDATE stopover.fence SET epoch = 1000, run = 'another'").await;
    let error = failure(migrate("b").await);
    assert_eq!(error.class, stopover_model::report::ErrorClass::Fenced);
    assert_eq!(bench.value("SELECT to_regclass('made_by_b') IS NULL").await, "t");
    bench.assert_clean().await;
}
