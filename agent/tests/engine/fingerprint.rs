//! What a fingerprint sees, and what it does not.

use stopover_agent::fingerprint::{self, Fingerprint};
use stopover_agent::postgres::{Purpose, SessionName};
use stopover_model::event::StepKind;

use crate::support::*;

async fn look(bench: &Bench) -> Fingerprint {
    let name = SessionName::of(&bench.context(StepKind::Inspect));
    let session = bench.database.connect(&Purpose::reading(&name)).await.unwrap();
    let fingerprint = fingerprint::take(&session).await.unwrap();
    session.close().await;
    fingerprint
}

#[tokio::test]
async fn every_kind_of_object_is_seen_and_undoing_restores_the_fingerprint() {
    let bench = Bench::new().await;
    bench
        .execute(
            "CREATE TABLE t (a int, b text); CREATE SCHEMA app; CREATE TYPE mood AS ENUM ('sad'); \
             CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        )
        .await;
    let pairs = [
        ("ALTER TABLE t ADD c int", "ALTER TABLE t DROP c", "column t.c"),
        ("ALTER TABLE t ALTER a SET NOT NULL", "ALTER TABLE t ALTER a DROP NOT NULL", "column t.a"),
        ("ALTER TABLE t ALTER a SET DEFAULT 1", "ALTER TABLE t ALTER a DROP DEFAULT", "column t.a"),
        ("ALTER TABLE t ALTER a TYPE bigint", "ALTER TABLE t ALTER a TYPE int", "column t.a"),
        ("CREATE INDEX i ON t (a)", "DROP INDEX i", "index t.i"),
        (
            "ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0) NOT VALID",
            "ALTER TABLE t DROP CONSTRAINT k",
            "constraint t.k",
        ),
        ("CREATE VIEW v AS SELECT a FROM t", "DROP VIEW v", "view v"),
        ("CREATE MATERIALIZED VIEW m AS SELECT 1 AS a", "DROP MATERIALIZED VIEW m", "materialized view m"),
        (
            "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
            "DROP TRIGGER g ON t",
            "trigger t.g",
        ),
        (
            "CREATE FUNCTION app.h(x int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "DROP FUNCTION app.h",
            "function app.h(x integer)",
        ),
        (
            "CREATE AGGREGATE s(int) (SFUNC = int4pl, STYPE = int)",
            "DROP AGGREGATE s(int)",
            "function s(integer)",
        ),
        ("CREATE TYPE kind AS ENUM ('x')", "DROP TYPE kind", "type kind"),
        ("CREATE DOMAIN d AS int CHECK (VALUE > 0)", "DROP DOMAIN d", "constraint d.d_check"),
        ("CREATE SEQUENCE q", "DROP SEQUENCE q", "sequence q"),
        ("CREATE POLICY p ON t USING (a > 0)", "DROP POLICY p ON t", "policy t.p"),
        ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", "ALTER TABLE t DISABLE ROW LEVEL SECURITY", "table t"),
        ("CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING", "DROP RULE r ON t", "rule t.r"),
        ("CREATE STATISTICS st ON a, b FROM t", "DROP STATISTICS st", "statistics st"),
        ("CREATE TABLE \"We\"\"ird.\" (a int)", "DROP TABLE \"We\"\"ird.\"", "table \"We\"\"ird.\""),
        ("CREATE SCHEMA other", "DROP SCHEMA other", "schema other"),
        ("COMMENT ON COLUMN t.a IS 'x'", "COMMENT ON COLUMN t.a IS NULL", "column t.a"),
    ];
    let start = look(&bench).await;
    for (change, undo, object) in pairs {
        bench.execute(change).await;
        let changed = look(&bench).await;
        assert_ne!(changed.digest, start.digest, "{change}");
        let seen = fingerprint::changes(&start.objects, &changed.objects);
        assert!(seen.contains_key(object), "{change}: {seen:?}");
        bench.execute(undo).await;
        assert_eq!(look(&bench).await, start, "{undo}");
    }
    bench.execute("ALTER TYPE mood ADD VALUE 'glad'").await;
    let changed = look(&bench).await;
    assert_eq!(
        fingerprint::changes(&start.objects, &changed.objects).keys().collect::<Vec<_>>(),
        ["type mood"]
    );
}

#[tokio::test]
async fn rows_the_ledger_and_the_search_path_do_not_count() {
    let bench = Bench::new().await;
    bench
        .execute("CREATE SCHEMA app; CREATE TABLE app.t (a int); CREATE VIEW v AS SELECT a FROM app.t")
        .await;
    let start = look(&bench).await;
    bench.execute("INSERT INTO app.t VALUES (1)").await;
    applied(bench.migrate(&migration("001_a", &[("up.sql", "SELECT 1")])).await);
    bench.execute(&format!("ALTER DATABASE {} SET search_path = app", bench.test.name())).await;
    assert_eq!(look(&bench).await, start);
}
